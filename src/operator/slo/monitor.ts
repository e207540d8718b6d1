import type { CheckSpec } from '../../api/schema.ts'
import type { CheckMeasurement, SoakWindow } from '../../decision/types.ts'
import { MAX_POINTS, type PrometheusClient } from '../../prometheus/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { nextStates, type CheckState } from './check-state.ts'
import { elementName, judge } from './judge.ts'
import { KeptWindows } from './kept-windows.ts'
import { readChecks, type Readings } from './read.ts'
import { carried, intervalOf, windowEnds, windowLength } from './windows.ts'

/** What a monitor measures, given anew by each reconcile. */
export interface SloPlan {
  readonly checks: readonly CheckSpec[]
  readonly client: PrometheusClient
  /** A new text begins the count of windows anew: the epoch under soak. */
  readonly session: string
  /** Windows begin here, ms since 1970: what is counted already. Absent while nothing is counted. */
  readonly countFrom?: number | undefined
  /** Length of the step's soak, ms. */
  readonly soakMs?: number | undefined
  /** See JudgeContext.clients and .mayBeIdle. */
  readonly clientsQuery?: string | undefined
  readonly mayBeIdle?: boolean | undefined
}

export interface MonitorOptions {
  readonly clock: Clock
  /** New measurements are there. */
  readonly onMeasured: () => void
}

/** Windows asked for in one range query; a hundred windows of a thousand workspaces fit into one answer. */
const MAX_CHUNK = Math.min(500, MAX_POINTS)
/** A Prometheus too slow for a long range is asked for shorter ones down to this. */
const SLOW_CHUNK = 10

/**
 * Measures the checks of one resource in the background and keeps the windows that the decision has not counted yet. One
 * window behind is asked by an instant query; more (a restart, a Prometheus that was away) are read from history.
 */
export class SloMonitor {
  readonly #clock: Clock
  readonly #onMeasured: () => void
  #plan: SloPlan | undefined
  #states = new Map<string, CheckState>()
  readonly #windows = new KeptWindows()
  /** End of the last judged window while a soak is counted. */
  #through: number | undefined
  #measuredAt = -Infinity
  /** History could not be read: not asked again before this. */
  #retryAt = -Infinity
  #chunk = MAX_CHUNK
  #wake = new AbortController()

  constructor(options: MonitorOptions) {
    this.#clock = options.clock
    this.#onMeasured = options.onMeasured
  }

  /** Windows not counted yet, oldest first. */
  get windows(): readonly SoakWindow[] {
    return this.#windows.all
  }

  /** The newest measurement of each check that was measured at all. */
  get latest(): readonly CheckMeasurement[] {
    return [...this.#states.values()].map(({ last }) => last).filter((last) => last !== undefined)
  }

  /** Takes what shall be measured from now on; undefined: nothing. */
  follow(plan: SloPlan | undefined): void {
    const before = this.#plan
    this.#plan = plan
    const fresh = plan === undefined || plan.session !== before?.session || plan.client !== before.client
    this.#states = nextStates(this.#states, plan?.checks ?? [], plan?.client !== before?.client)
    if (fresh || plan.countFrom === undefined) {
      this.#windows.clear()
      this.#through = plan?.countFrom
    } else {
      const from = plan.countFrom
      this.#windows.countedThrough(from)
      this.#through = Math.max(this.#through ?? from, from)
    }
    if (fresh) {
      this.#retryAt = -Infinity
      // A measurement from before the step proves nothing of it.
      for (const state of this.#states.values()) state.forgetMeasurement()
    }
    this.#wake.abort()
    this.#wake = new AbortController()
  }

  /** Works until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const woken = AbortSignal.any([this.#wake.signal, signal])
      await this.#clock.sleep(Math.max(0, this.#dueAt() - this.#clock.now()), woken)
      const plan = this.#plan
      if (signal.aborted || plan === undefined || this.#clock.now() < this.#dueAt()) continue
      if (await this.#step(plan, signal)) this.#onMeasured()
    }
  }

  #dueAt(): number {
    if (this.#plan === undefined || this.#plan.checks.length === 0) return Infinity
    const length = windowLength(this.#plan.checks, this.#plan.soakMs)
    const next = (this.#through ?? this.#measuredAt) + length
    return this.latest.length === 0 ? this.#retryAt : Math.max(next, this.#retryAt)
  }

  /** True when something was measured under a plan that still holds. */
  async #step(plan: SloPlan, signal: AbortSignal): Promise<boolean> {
    const now = this.#clock.now()
    const length = windowLength(plan.checks, plan.soakMs)
    const counting = this.#through !== undefined && plan.countFrom !== undefined
    const ends = counting ? windowEnds(this.#through ?? now, now, length, this.#chunk) : []
    const times = ends.length === 0 ? [now] : ends
    const states = [...this.#states.values()]
    const question = {
      client: plan.client,
      states,
      times,
      stepMs: length,
      isDue: (state: CheckState) => state.last === undefined || isDue(state, plan, now),
      clientsQuery: plan.clientsQuery,
    }
    const readings = await readChecks(question, signal)
    if (signal.aborted || this.#plan?.session !== plan.session || this.#plan.client !== plan.client) return false
    if (ends.length > 1 && this.#mustAskAgain(readings, ends.length, length)) {
      for (const state of states) this.#showFailure(state, readings, times[0] ?? now)
      return true
    }
    for (const time of times) {
      const measurements = states.map((state) =>
        this.#judgeAt(plan, state, readings, time, counting && ends.length === 0),
      )
      if (ends.length > 0) this.#windows.push({ start: time - length, end: time, measurements })
    }
    if (ends.length > 0) this.#through = ends.at(-1)
    if (now - (this.#through ?? now) < length) this.#chunk = MAX_CHUNK
    this.#measuredAt = now
    return true
  }

  /** History that cannot be read now can be read later: nothing is judged of it, the soak waits. */
  #mustAskAgain({ checks, clients }: Readings, count: number, length: number): boolean {
    const failures = [...checks.values(), ...(clients === undefined ? [] : [clients])]
      .flatMap((byTime) => [...byTime.values()].slice(0, 1))
      .flatMap((reading) => (reading.kind === 'failed' ? [reading.failure] : []))
    const half = Math.max(1, Math.floor(count / 2))
    if (failures.includes('TooLarge')) {
      this.#chunk = half
      return true
    }
    if (!failures.some((failure) => failure !== 'BadQuery')) return false
    this.#chunk = Math.max(SLOW_CHUNK, half)
    this.#retryAt = this.#clock.now() + length
    return true
  }

  /** Shows a failure to read history as the check's newest measurement. */
  #showFailure(state: CheckState, readings: Readings, time: number): void {
    const reading = readings.checks.get(state)?.get(time)
    if (reading === undefined || (reading.kind === 'failed' && reading.failure === 'TooLarge')) return
    const shown = judge(state.check, reading, { clients: readings.clients?.get(time), vanished: [] })
    if (shown.outcome === 'Error') state.last = shown
  }

  /** `early`: before the first window ends; then the window is measured all the same. */
  #judgeAt(plan: SloPlan, state: CheckState, readings: Readings, time: number, early: boolean): CheckMeasurement {
    const reading = readings.checks.get(state)?.get(time)
    if (state.last !== undefined && (reading === undefined || !isDue(state, plan, time))) return carried(state.last)
    const read = reading ?? { kind: 'failed', failure: 'Unreachable', message: 'not measured' }
    const usable = read.kind === 'elements' ? read.elements.filter(({ value }) => !Number.isNaN(value)) : []
    const names = usable.map(elementName).filter((name) => name !== '')
    const vanished = state.activity.vanished(names, time)
    state.last = judge(state.check, read, {
      clients: readings.clients?.get(time),
      mayBeIdle: plan.mayBeIdle,
      vanished,
    })
    if (!early) state.measuredAt = time
    state.activity.see(names, time)
    return state.last
  }
}

function isDue(state: CheckState, plan: SloPlan, time: number): boolean {
  return time < state.measuredAt || time - state.measuredAt >= intervalOf(state.check, plan.soakMs)
}
