import { sleep } from '../hack/system/wait.ts'
import type { Kubectl } from './target.ts'

/** The parts of a JobKeyMigration that the demo reads, as `kubectl get -o json` prints them. */
export interface Migration {
  readonly metadata: { readonly name: string; readonly generation: number }
  readonly spec: { readonly targetPhase: string; readonly canaryPercentage?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly awaits?: string
    readonly phase?: string
    readonly step?: number
    readonly canaryPercentage?: number
    readonly routing?: string
    readonly epoch?: number
    readonly soakEndsAt?: string
    readonly failed?: { readonly reason: string; readonly message: string }
    readonly malformed?: { readonly count: number; readonly keys: readonly string[] }
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason: string
      readonly message: string
    }[]
    readonly checks?: readonly { readonly name: string; readonly outcome: string; readonly value?: string }[]
    readonly jobs?: readonly {
      readonly kind: string
      readonly state: string
      readonly done: number
      readonly total: number
    }[]
  }
}

export function condition(migration: Migration, type: string) {
  return migration.status?.conditions?.find((c) => c.type === type)
}

/** The status speaks of the spec as it is now. */
export function isCurrent({ metadata, status }: Migration): boolean {
  return status?.observedGeneration === metadata.generation
}

export function hasArrived(migration: Migration): boolean {
  return isCurrent(migration) && condition(migration, 'TargetReached')?.status === 'True'
}

/** Why a walk will not go on without a person, or undefined. */
export function stuck(migration: Migration): string | undefined {
  if (!isCurrent(migration)) return undefined
  const { name } = migration.metadata
  const failed = migration.status?.failed
  if (failed !== undefined) return `${name} failed: ${failed.reason}: ${failed.message}`
  const stalled = condition(migration, 'Stalled')
  return stalled?.status === 'True' ? `${name} stalled: ${stalled.reason}: ${stalled.message}` : undefined
}

/** One line on where a migration stands. */
export function describe(migration: Migration): string {
  const { metadata, status = {} } = migration
  const parts = [`${metadata.name} ${status.phase ?? '-'} ${percentages(status.routing)}`, `epoch ${status.epoch ?? 0}`]
  const checks = (status.checks ?? []).map(
    (c) => `${c.name} ${shorten(c.value)}${c.outcome === 'Pass' ? '' : ` ${c.outcome}`}`,
  )
  if (checks.length > 0) parts.push(checks.join(' '))
  for (const job of status.jobs ?? [])
    if (job.state === 'running' || job.state === 'Active') parts.push(`${job.kind} ${job.done}/~${job.total}`)
  return parts.join(' | ')
}

function percentages(routing: string | undefined): string {
  if (routing === undefined) return ''
  const { createTarget, readTarget } = JSON.parse(routing) as { createTarget: number; readTarget: number }
  return `creates ${createTarget} % reads ${readTarget} %`
}

const shorten = (value: string | undefined): string =>
  value === undefined ? '-' : String(Number(Number(value).toPrecision(3)))

export interface WatchOptions {
  readonly kubectl: Kubectl
  readonly namespace: string
  readonly onChange: (migrations: readonly Migration[]) => void
  readonly signal: AbortSignal
}

const POLL_MS = 700
/** An edit that answers a stall is not answered at once: a worker Job may have to run first. */
const STUCK_MS = 20_000

/** An API server that does not answer is waited for. */
const AWAY_MS = 60_000

/** Looks at the resources again and again, as a person with `kubectl get` does, and lets others wait for what they show. */
export class Watch {
  readonly #options: WatchOptions
  readonly #names: readonly string[]
  #last: readonly Migration[] = []
  #lookedAt = 0

  constructor(names: readonly string[], options: WatchOptions) {
    this.#names = names
    this.#options = options
  }

  get last(): readonly Migration[] {
    return this.#last
  }

  /** The last look, or a new one where nobody has looked of late. */
  async glance(): Promise<readonly Migration[]> {
    return Date.now() - this.#lookedAt < POLL_MS ? this.#last : this.look()
  }

  async look(): Promise<readonly Migration[]> {
    const { kubectl, namespace, onChange } = this.#options
    const text = await kubectl(['get', 'jkm', '-n', namespace, '-o', 'json'])
    const { items } = JSON.parse(text) as { items: readonly Migration[] }
    this.#last = items.filter((item) => this.#names.includes(item.metadata.name))
    this.#lookedAt = Date.now()
    onChange(this.#last)
    return this.#last
  }

  /**
   * Waits until each of the resources is as `wanted`. Ends early when one is stuck and stays so.
   * @throws Error with the state in words
   */
  async until(
    what: string,
    names: readonly string[],
    wanted: (migration: Migration) => boolean,
    limitMs: number,
  ): Promise<void> {
    const end = Date.now() + limitMs
    let [movedAt, answeredAt] = [Date.now(), Date.now()]
    for (;;) {
      this.#options.signal.throwIfAborted()
      let seen: readonly Migration[]
      try {
        seen = await this.look()
        answeredAt = Date.now()
      } catch (error) {
        if (Date.now() - answeredAt > AWAY_MS) throw error
        await sleep(POLL_MS)
        continue
      }
      const mine = seen.filter((item) => names.includes(item.metadata.name))
      if (mine.length === names.length && mine.every(wanted)) return
      const why = mine.map((m) => stuck(m)).find((text) => text !== undefined)
      if (why === undefined) movedAt = Date.now()
      if (why !== undefined && Date.now() - movedAt > STUCK_MS) throw new Error(`waiting for ${what}: ${why}`)
      if (Date.now() > end) {
        const states = mine.map((m) => `${describe(m)}: ${m.status?.awaits ?? 'says nothing'}`).join('\n')
        throw new Error(`${what}: not within ${limitMs / 1000} s\n${states}`)
      }
      await sleep(POLL_MS)
    }
  }
}
