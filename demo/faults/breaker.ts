import { sleep } from '../../hack/system/wait.ts'
import type { FaultTime } from '../summary.ts'
import { unexplainedEnds, unhandledErrors } from './crashes.ts'
import type { Fault, World } from './fault.ts'

/** One fault and the moment that it is to hurt. */
export interface Wound {
  /** In words, for whoever waits. */
  readonly moment: string
  readonly hasCome: () => boolean
  readonly fault: Fault
}

/** Phase of the walk -> what is done to it, one after the other. */
export type Plan = Readonly<Record<string, readonly Wound[]>>

const MOMENT_LIMIT_MS = 180_000
const POLL_MS = 300

/** Makes the faults of a plan, waits for each recovery, and keeps how long it took. */
export class Breaker {
  readonly times: FaultTime[] = []
  readonly #world: World
  readonly #plan: Plan
  readonly #onPhase: () => Promise<void>
  readonly #seen = new Set<string>()
  readonly #left: Set<string>

  /** `onPhase` is called before each phase. */
  constructor(world: World, plan: Plan, onPhase: () => Promise<void>) {
    this.#world = world
    this.#plan = plan
    this.#onPhase = onPhase
    this.#left = new Set(Object.values(plan).flatMap((wounds) => wounds.map(({ fault }) => fault.name)))
  }

  /** Before the edit that begins a phase. */
  async before(): Promise<void> {
    await this.#onPhase()
  }

  /** @throws Error that says which fault was not recovered from, or which process ended without a reason */
  async during(phase: string): Promise<void> {
    for (const { moment, hasCome, fault } of this.#plan[phase] ?? []) {
      await this.#until(`${fault.name}: waiting until ${moment}`, MOMENT_LIMIT_MS, async () => {
        await this.#world.watch.glance()
        return hasCome()
      })
      await this.#make(fault)
    }
  }

  /** After the walk: every fault was made, and no log speaks of an error that nobody handled. */
  async end(): Promise<void> {
    if (this.#left.size > 0) throw new Error(`never made: ${[...this.#left].join(', ')}`)
    await this.#noCrash('the end')
    const unhandled = await unhandledErrors(this.#world)
    if (unhandled.length > 0) throw new Error(`errors that nobody handled:\n${unhandled.join('\n')}`)
  }

  async #make(fault: Fault): Promise<void> {
    const { name, limitMs } = fault
    const { screen, requests } = this.#world
    const before = requests()
    screen.line(`fault: ${name}`)
    const started = Date.now()
    const recovered = await fault.strike()
    await this.#until(`${name}: recovery`, limitMs, recovered)
    const recoveredSeconds = Math.round((Date.now() - started) / 100) / 10
    const after = requests()
    const cut = `${after.retried - before.retried} retried, ${after.unknown - before.unknown} unknown`
    screen.line(`fault: ${name}: recovered in ${recoveredSeconds.toFixed(1)} s; requests: ${cut}`)
    this.times.push({ name, recoveredSeconds })
    this.#left.delete(name)
    await this.#noCrash(name)
  }

  async #noCrash(after: string): Promise<void> {
    const ends = await unexplainedEnds(this.#world, this.#seen)
    if (ends.length > 0) throw new Error(`after ${after}:\n${ends.join('\n')}`)
  }

  async #until(what: string, limitMs: number, done: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + limitMs
    for (;;) {
      this.#world.signal.throwIfAborted()
      const why = await done().then(
        (yes) => (yes ? undefined : ''),
        (error: unknown) => ` (${error instanceof Error ? error.message : String(error)})`,
      )
      if (why === undefined) return
      if (Date.now() > end) throw new Error(`${what}: not within ${limitMs / 1000} s${why}`)
      await sleep(POLL_MS)
    }
  }
}
