import { hasArrived, isCurrent, type Migration, type Watch } from './resource.ts'
import type { Screen } from './screen.ts'
import type { Kubectl } from './target.ts'

/** Phases of the walk that `--break` names. */
export const PHASE_TITLES = {
  quarantined: 'Legacy, malformed jobs quarantined',
  canary: 'DualWrite 10 %',
  dualWrite: 'DualWrite 100 %',
  readRouting: 'ReadRouting 50 %',
  backfillVerify: 'BackfillVerify',
  back: 'back to Legacy',
  again: 'forward again to BackfillVerify',
} as const

/** What goes on beside the walk. */
export interface Beside {
  /** Before the edit that begins a phase. */
  before(): Promise<void>
  /** Resolves when the phase may end. */
  during(title: string): Promise<void>
}

export interface DriveOptions {
  readonly kubectl: Kubectl
  readonly namespace: string
  readonly watch: Watch
  readonly screen: Screen
  readonly malformed: number
  readonly jobs: string
  readonly docs: string
  readonly beside?: Beside | undefined
  /** Keys a second of the backfill, where it is to take a while. */
  readonly slowBackfill?: number | undefined
}

const STEP_LIMIT_MS = 600_000
/** As examples/demo has it. */
const FULL_SPEED = 100_000

/** What the resource said of the malformed jobs while it was held by them. */
export interface Reported {
  readonly malformed: number
}

/** Walks both resources as a person does, one edit after another, and waits for each to arrive. */
export async function drive(options: DriveOptions): Promise<Reported> {
  const { screen, watch, jobs, docs, beside, slowBackfill } = options
  const both = [jobs, docs]
  const walk = (title: string, names: readonly string[], spec: object): Promise<void> =>
    screen.phase(title, async () => {
      await beside?.before()
      for (const name of names) await edit(options, name, spec)
      await Promise.all([watch.until(title, names, hasArrived, STEP_LIMIT_MS), beside?.during(title)])
    })
  const worker = (maxKeysPerSecond: number | undefined): object =>
    slowBackfill === undefined ? {} : { worker: { maxKeysPerSecond } }

  const reported = await screen.phase('Legacy, held by malformed jobs', () => heldByMalformed(options))
  await walk(PHASE_TITLES.quarantined, [jobs], { keys: { onMalformed: 'Quarantine' } })
  await screen.phase('Legacy reached', () => watch.until('Legacy', both, hasArrived, STEP_LIMIT_MS))
  await walk(PHASE_TITLES.canary, both, { targetPhase: 'DualWrite', canaryPercentage: 10 })
  await walk(PHASE_TITLES.dualWrite, both, { canaryPercentage: 100 })
  const reads = { targetPhase: 'ReadRouting', canaryPercentage: 50 }
  await walk(PHASE_TITLES.readRouting, both, { ...reads, ...worker(slowBackfill) })
  const all = { targetPhase: 'BackfillVerify', canaryPercentage: 100 }
  await walk(PHASE_TITLES.backfillVerify, both, { ...all, ...worker(FULL_SPEED) })
  await walk(PHASE_TITLES.back, both, { targetPhase: 'Legacy' })
  await walk(PHASE_TITLES.again, both, { targetPhase: 'BackfillVerify' })
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
