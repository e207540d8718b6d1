import { hasArrived, isCurrent, type Migration, type Watch } from './resource.ts'
import type { Screen } from './screen.ts'
import type { Kubectl } from './target.ts'

export interface DriveOptions {
  readonly kubectl: Kubectl
  readonly namespace: string
  readonly watch: Watch
  readonly screen: Screen
  readonly malformed: number
  readonly jobs: string
  readonly docs: string
}

const STEP_LIMIT_MS = 600_000

/** What the resource said of the malformed jobs while it was held by them. */
export interface Reported {
  readonly malformed: number
}

/** Walks both resources as a person does, one edit after another, and waits for each to arrive. */
export async function drive(options: DriveOptions): Promise<Reported> {
  const { screen, watch, jobs, docs } = options
  const both = [jobs, docs]
  const walk = (title: string, names: readonly string[], spec: object): Promise<void> =>
    screen.phase(title, async () => {
      for (const name of names) await edit(options, name, spec)
      await watch.until(title, names, hasArrived, STEP_LIMIT_MS)
    })

  const reported = await screen.phase('Legacy, held by malformed jobs', () => heldByMalformed(options))
  await walk('Legacy, malformed jobs quarantined', [jobs], { keys: { onMalformed: 'Quarantine' } })
  await screen.phase('Legacy reached', () => watch.until('Legacy', both, hasArrived, STEP_LIMIT_MS))
  await walk('DualWrite 10 %', both, { targetPhase: 'DualWrite', canaryPercentage: 10 })
  await walk('DualWrite 100 %', both, { canaryPercentage: 100 })
  await walk('ReadRouting 50 %', both, { targetPhase: 'ReadRouting', canaryPercentage: 50 })
  await walk('BackfillVerify', both, { targetPhase: 'BackfillVerify', canaryPercentage: 100 })
  await walk('back to Legacy', both, { targetPhase: 'Legacy' })
  await walk('forward again to BackfillVerify', both, { targetPhase: 'BackfillVerify' })
  return reported
}

async function heldByMalformed({ watch, jobs, screen, malformed }: DriveOptions): Promise<Reported> {
  const listed = (m: Migration): boolean => isCurrent(m) && (m.status?.malformed?.count ?? 0) > 0
  await watch.until('the list of malformed jobs', [jobs], listed, STEP_LIMIT_MS)
  const migration = watch.last.find((m) => m.metadata.name === jobs)
  const { count = 0, keys = [] } = migration?.status?.malformed ?? {}
  if (migration !== undefined && hasArrived(migration))
    throw new Error(`${jobs} says it has arrived in Legacy although onMalformed: Block and ${count} jobs are malformed`)
  screen.line(`${jobs} holds: ${migration?.status?.awaits ?? ''}`)
  screen.block(
    keys
      .slice(0, 10)
      .map((key) => `         ${key}`)
      .join('\n'),
  )
  if (count > 10) screen.block(`         ... ${count} of ${malformed} seeded`)
  return { malformed: count }
}

/** One edit of the spec, printed as a person would type it. */
async function edit({ kubectl, namespace, screen }: DriveOptions, name: string, spec: object): Promise<void> {
  const patch = JSON.stringify({ spec })
  screen.line(`kubectl -n ${namespace} patch jkm ${name} --type merge -p '${patch}'`)
  await kubectl(['patch', 'jkm', name, '-n', namespace, '--type', 'merge', '-p', patch])
}
