import type { CheckSpec } from '../../api/schema.ts'
import type { CheckMeasurement, SoakWindow } from '../../decision/types.ts'
import { MAX_POINTS, type PrometheusClient } from '../../prometheus/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Activity } from './activity.ts'
import { elementName, judge } from './judge.ts'
import { readingOf, readingsOf, type Reading } from './reading.ts'
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
  /** See JudgeContext. */
  readonly emptyPasses: boolean
}

export interface MonitorOptions {
  readonly clock: Clock
  /** New measurements are there. */
  readonly onMeasured: () => void
}

interface CheckState {
  readonly check: CheckSpec
  readonly activity: Activity
  seeded: boolean
  measuredAt: number
  last: CheckMeasurement | undefined
}

/** Windows asked for in one range query; a hundred windows of a thousand workspaces fit into one answer. */
const MAX_CHUNK = Math.min(500, MAX_POINTS)
/** Windows kept until the decision has counted them. The oldest go first: time without a window earns nothing. */
const MAX_KEPT = 5000
const PARALLEL = 4
const HOUR_MS = 3_600_000
const SEED_STEP_MS = 60_000

/**
 * Measures the checks of one resource in the background and keeps the windows that the decision has not counted yet. One
 * window behind is asked by an instant query; more (a restart, a Prometheus that was away) are read from history.
 */
export class SloMonitor {
  readonly #clock: Clock
  readonly #onMeasured: () => void
  #plan: SloPlan | undefined
  #states = new Map<string, CheckState>()
  #windows: SoakWindow[] = []
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
    return this.#windows
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
    this.#states = nextStates(this.#states, plan, plan?.client !== before?.client)
    if (fresh || plan.countFrom === undefined) {
      this.#windows = []
      this.#through = plan?.countFrom
    } else {
      const from = plan.countFrom
      this.#windows = this.#windows.filter(({ start }) => start >= from)
      this.#through = Math.max(this.#through ?? from, from)
    }
    if (fresh) {
      this.#retryAt = -Infinity
      // A measurement from before the step proves nothing of it.
      for (const state of this.#states.values()) {
        state.measuredAt = -Infinity
        state.last = undefined
      }
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
    const readings = await this.#read(plan, states, times, length, signal)
    if (signal.aborted || this.#plan?.session !== plan.session || this.#plan.client !== plan.client) return false
    if (ends.length > 1 && this.#mustAskAgain(readings, ends.length, length)) {
      for (const state of states) this.#rejudge(plan, state, readings.get(state)?.get(times[0] ?? now))
      return true
    }
    for (const time of times) {
      const measurements = states.map((state) =>
        this.#judgeAt(plan, state, readings.get(state)?.get(time), time, counting && ends.length === 0),
      )
      if (ends.length > 0) this.#windows.push({ start: time - length, end: time, measurements })
    }
    this.#windows.splice(0, Math.max(0, this.#windows.length - MAX_KEPT))
    if (ends.length > 0) this.#through = ends.at(-1)
    this.#measuredAt = now
    return true
  }

  /** History that cannot be read now can be read later: nothing is judged of it, the soak waits. */
  #mustAskAgain(
    readings: ReadonlyMap<CheckState, ReadonlyMap<number, Reading>>,
    count: number,
    length: number,
  ): boolean {
    const failures = [...readings.values()]
      .flatMap((byTime) => [...byTime.values()].slice(0, 1))
      .flatMap((reading) => (reading.kind === 'failed' ? [reading.failure] : []))
    if (failures.includes('TooLarge') && count > 1) {
      this.#chunk = Math.max(1, Math.floor(count / 2))
      return true
    }
    if (!failures.some((failure) => failure !== 'BadQuery' && failure !== 'TooLarge')) return false
    this.#retryAt = this.#clock.now() + length
    return true
  }

  /** Shows a failure to read history as the check's newest measurement. */
  #rejudge(plan: SloPlan, state: CheckState, reading: Reading | undefined): void {
    if (reading?.kind !== 'failed' || reading.failure === 'TooLarge') return
    state.last = judge(state.check, reading, { emptyPasses: plan.emptyPasses, vanished: [] })
  }

  /** `early`: before the first window ends; then the window is measured all the same. */
  #judgeAt(
    plan: SloPlan,
    state: CheckState,
    reading: Reading | undefined,
    time: number,
    early: boolean,
  ): CheckMeasurement {
    if (reading === undefined && state.last !== undefined) return carried(state.last)
    if (state.last !== undefined && !isDue(state, plan, time)) return carried(state.last)
    const read = reading ?? { kind: 'failed', failure: 'Unreachable', message: 'not measured' }
    const names =
      read.kind === 'elements'
        ? read.elements
            .filter(({ value }) => !Number.isNaN(value))
            .map(elementName)
            .filter((name) => name !== '')
        : []
    const vanished = state.activity.vanished(names, time)
    state.last = judge(state.check, read, { emptyPasses: plan.emptyPasses, vanished })
    if (!early) state.measuredAt = time
    state.activity.see(names, time)
    return state.last
  }

  async #read(
    plan: SloPlan,
    states: readonly CheckState[],
    times: readonly number[],
    length: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<CheckState, ReadonlyMap<number, Reading>>> {
    const [first = 0, last = first] = [times[0], times.at(-1)]
    const readings = new Map<CheckState, ReadonlyMap<number, Reading>>()
    const readOne = async (state: CheckState): Promise<void> => {
      const { query } = state.check
      if (times.length === 1) {
        if (state.last !== undefined && !isDue(state, plan, first)) return
        const reading = readingOf(await plan.client.query(query, first, signal), first)
        if (reading.kind === 'elements') await this.#seed(plan, state, first, signal)
        readings.set(state, new Map([[first, reading]]))
        return
      }
      await this.#seed(plan, state, first, signal)
      const answer = await plan.client.range({ query, start: first, end: last, stepMs: length }, signal)
      readings.set(state, readingsOf(answer, times))
    }
    for (let i = 0; i < states.length; i += PARALLEL) await Promise.all(states.slice(i, i + PARALLEL).map(readOne))
    return readings
  }

  /** After a restart the last hour's workspaces are read back, or a store that went away meanwhile would pass unseen. */
  async #seed(plan: SloPlan, state: CheckState, before: number, signal: AbortSignal): Promise<void> {
    if (state.seeded) return
    const range = {
      query: state.check.query,
      start: before - HOUR_MS,
      end: before - SEED_STEP_MS,
      stepMs: SEED_STEP_MS,
    }
    const answer = await plan.client.range(range, signal)
    if (answer.kind === 'failed') return
    state.seeded = true
    const seen = answer.series.flatMap(({ labels, points }) => {
      const last = points.findLast(({ value }) => !Number.isNaN(value))
      const name = elementName({ labels, value: 0 })
      return last === undefined || name === '' ? [] : [{ name, time: last.time }]
    })
    for (const { name, time } of seen.sort((a, b) => a.time - b.time)) state.activity.see([name], time)
  }
}

function isDue(state: CheckState, plan: SloPlan, time: number): boolean {
  return time < state.measuredAt || time - state.measuredAt >= intervalOf(state.check, plan.soakMs)
}

/** States of checks that are the same as before are kept; a changed query starts anew. */
function nextStates(
  before: ReadonlyMap<string, CheckState>,
  plan: SloPlan | undefined,
  forget: boolean,
): Map<string, CheckState> {
  return new Map(
    (plan?.checks ?? []).map((check) => {
      const known = before.get(check.name)
      const same = !forget && known !== undefined && JSON.stringify(known.check) === JSON.stringify(check)
      const fresh = { check, activity: new Activity(), seeded: false, measuredAt: -Infinity, last: undefined }
      return [check.name, same ? known : fresh] as const
    }),
  )
}
