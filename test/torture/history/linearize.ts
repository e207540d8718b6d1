/**
 * Whether a history of one job is linearizable: whether every operation can be given a moment between its call and its
 * return so that, done in that order one by one, each gives the answer that was seen. After Wing and Gong, each operation
 * placed as late as it can be (Lowe, "Testing for linearizability", 2017).
 */
import { perform, stateText, type Action, type Answer, type State } from './job.ts'

export interface Operation {
  /** Unique within the history. */
  readonly id: number
  /** Who called. */
  readonly by: string
  readonly action: Action
  /** ms on a clock that all callers share. */
  readonly call: number
  /** When it returned; with an unknown answer, when it was settled at the latest: Infinity where nothing bounds it. */
  readonly end: number
  /** undefined: unknown, it may have been done or not, at any time up to `end`. */
  readonly answer: Answer | undefined
}

export type Verdict =
  /** States that the job may be in after the last operation. */
  | { readonly ok: true; readonly states: readonly State[] }
  /** No order explains the answer of `offending`, and the last moment before it at which the state was certain. */
  | { readonly ok: false; readonly offending: Operation; readonly certain: Certain | undefined }

export interface Certain {
  readonly state: State
  /** Every operation called after this moment counts, none before. */
  readonly at: number
}

/** The search was given up: too many orders are possible. */
export class Undecided extends Error {
  override readonly name = 'Undecided'
}

/** By how much the clock of the server may differ from that of the history, ms: how exactly an expiry is judged. */
export const CLOCK_ERROR_MS = 250
const MOST_CONFIGS = 100_000

interface Config {
  readonly state: State
  /** Ids of pending operations that have been done, in order of id. */
  readonly done: readonly number[]
  /** The earliest moment at which all that was done can have been done. */
  readonly low: number
}

/** Judges a history that begins in one of `states`. `operations` in order of their calls. */
export function linearize(states: readonly State[], operations: readonly Operation[]): Verdict {
  const byEnd = operations.filter(({ answer }) => answer !== undefined).sort((a, b) => a.end - b.end)
  let configs = collect(states.map((state) => ({ state, done: [], low: -Infinity })))
  let pending: Operation[] = []
  let called = 0
  let certain: Certain | undefined
  const call = (until: number): void => {
    for (let next = operations[called]; next !== undefined && next.call <= until; next = operations[called]) {
      if (pending.length === 0 && configs.length === 1) certain = { state: configs[0]?.state, at: next.call }
      called += 1
      pending.push(next)
      configs = collect(configs.map((config) => settleReads(config, pending)))
    }
  }
  for (const operation of byEnd) {
    call(operation.end)
    const after = complete(configs, pending, operation)
    if (after.length === 0) return { ok: false, offending: operation, certain }
    pending = pending.filter((one) => one !== operation)
    configs = collect(after.map((config) => settleReads(config, pending)))
  }
  call(Infinity)
  const found = new Map<string, State>()
  // An expiry that comes later belongs to what follows.
  search(configs, pending, byEnd.at(-1)?.end ?? -Infinity, ({ state }) => {
    found.set(stateText(state), state)
    return true
  })
  return { ok: true, states: [...found.values()] }
}

/** Every way in which `operation`, and what must be done before it, can be done now so that it gave its answer. */
function complete(configs: readonly Config[], pending: readonly Operation[], operation: Operation): Config[] {
  const found: Config[] = []
  search(configs, pending, operation.end, (config) => {
    if (config.done.includes(operation.id)) {
      found.push({ ...config, done: config.done.filter((id) => id !== operation.id) })
      return false
    }
    return true
  })
  return found
}

/** Visits every configuration that can be reached by doing pending operations, as long as `visit` wants to go on from it. */
function search(
  configs: readonly Config[],
  pending: readonly Operation[],
  now: number,
  visit: (config: Config) => boolean,
): void {
  const stack = [...configs]
  const seen = new Map<string, number>()
  while (stack.length > 0) {
    const config = stack.pop() as Config
    const key = keyOf(config)
    const before = seen.get(key)
    // The earlier it can have been, the more is possible after it.
    if (before !== undefined && before <= config.low) continue
    seen.set(key, config.low)
    if (seen.size > MOST_CONFIGS) throw new Undecided(`more than ${MOST_CONFIGS} orders of one job's operations`)
    if (!visit(config)) continue
    for (const operation of pending) {
      const next = doNow(config, operation)
      if (next !== undefined) stack.push(settleReads(next, pending))
    }
    const gone = expire(config, now)
    if (gone !== undefined) stack.push(settleReads(gone, pending))
  }
}

/** The configuration after `operation`; undefined where it is done already, gives another answer, or changes nothing. */
function doNow(config: Config, operation: Operation): Config | undefined {
  if (config.done.includes(operation.id)) return undefined
  const low = Math.max(config.low, operation.call)
  // What is settled at a moment was done before it.
  if (operation.answer === undefined ? low >= operation.end : low > operation.end) return undefined
  const state = alive(config.state, low)
  const { answer, next } = perform(state, operation.action)
  if (operation.answer !== undefined && answer !== operation.answer) return undefined
  // An unknown one that would change nothing is as good as not done.
  if (operation.answer === undefined && next === config.state) return undefined
  return { state: next, done: insert(config.done, operation.id), low }
}

/**
 * Does every pending operation that gives its answer here and changes nothing: there is no better moment for it.
 */
function settleReads(config: Config, pending: readonly Operation[]): Config {
  let current = config
  for (const operation of pending) {
    if (operation.answer === undefined || current.done.includes(operation.id)) continue
    if (alive(current.state, Math.max(current.low, operation.call)) !== current.state) continue
    const { answer, next } = perform(current.state, operation.action)
    if (answer !== operation.answer || next !== current.state) continue
    current = {
      state: current.state,
      done: insert(current.done, operation.id),
      low: Math.max(current.low, operation.call),
    }
  }
  return current
}

/** The job after its expiry, if that can have come by `now`. */
function expire(config: Config, now: number): Config | undefined {
  const { state, done, low } = config
  if (state?.expiresAt === null || state === undefined || now < state.expiresAt - CLOCK_ERROR_MS) return undefined
  return { state: undefined, done, low: Math.max(low, state.expiresAt - CLOCK_ERROR_MS) }
}

function alive(state: State, at: number): State {
  return state === undefined || state.expiresAt === null || at <= state.expiresAt + CLOCK_ERROR_MS ? state : undefined
}

function collect(configs: readonly Config[]): readonly Config[] {
  if (configs.length < 2) return configs
  const best = new Map<string, Config>()
  for (const config of configs) {
    const key = keyOf(config)
    const before = best.get(key)
    if (before === undefined || config.low < before.low) best.set(key, config)
  }
  return [...best.values()]
}

function keyOf({ state, done }: Config): string {
  return `${done.join(' ')}|${stateText(state)}`
}

function insert(ids: readonly number[], id: number): readonly number[] {
  return [...ids, id].sort((a, b) => a - b)
}
