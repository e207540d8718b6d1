/** The shortest history that shows a violation, as text for people. */
import { perform, stateText, valueText, type Action, type State } from './job.ts'
import { linearize, Undecided, type Operation, type Verdict } from './linearize.ts'

type Violation = Extract<Verdict, { ok: false }>

export interface Explanation {
  /** The state before the first of `operations`, where it was certain. */
  readonly before: State | 'any'
  /** Leaving out one more of these would make a history that can be. The last one has the impossible answer. */
  readonly operations: readonly Operation[]
}

/** Beyond this many the minimum is not looked for among writes: each may or may not count, which doubles the search. */
const MOST_FREE = 12

/** Leaves out of a history whatever does not matter for its violation. */
export function shorten(states: readonly State[], operations: readonly Operation[], violation: Violation): Explanation {
  const { certain, offending } = violation
  const before = certain === undefined ? states : [certain.state]
  let kept = operations.filter(({ call }) => call <= offending.end && (certain === undefined || call >= certain.at))
  // A write that may just as well have been done at any time, or never, does not matter. What is shown must make sense up to
  // the last line: a write that a kept answer shows stays.
  const free: Operation[] = []
  for (const candidate of [...kept].reverse()) {
    if (candidate === offending) continue
    const rest = kept.filter((one) => one !== candidate)
    const freed = isRead(candidate)
      ? free
      : [...free, { ...candidate, call: -Infinity, end: Infinity, answer: undefined }]
    if (freed.length > MOST_FREE || firstBad(before, rest) !== offending) continue
    if (freed.length > 0 && firstBad(before, [...freed, ...rest]) !== offending) continue
    free.splice(0, free.length, ...freed)
    kept = rest
  }
  return { before: before.length === 1 ? before[0] : 'any', operations: kept }
}

function firstBad(states: readonly State[], operations: readonly Operation[]): Operation | undefined {
  try {
    const verdict = linearize(states, operations)
    return verdict.ok ? undefined : verdict.offending
  } catch (error) {
    if (error instanceof Undecided) return undefined
    throw error
  }
}

function isRead({ action, answer }: Operation): boolean {
  return (
    action.kind === 'get' ||
    action.kind === 'look' ||
    action.kind === 'push' ||
    (answer !== undefined && answer !== 'ok' && !answer.startsWith('['))
  )
}

/** `all`: everything known of the job, to say where a state came from. */
export function explain(
  name: string,
  states: readonly State[],
  operations: readonly Operation[],
  violation: Violation,
  all: readonly Operation[] = operations,
): string {
  const { before, operations: shown } = shorten(states, operations, violation)
  const origin = Math.min(...shown.map(({ call }) => call))
  const lines = shown.map((operation) => {
    const end = operation.answer === undefined ? 'never returned' : `${(operation.end - origin).toFixed(2)} ms`
    const time = `${(operation.call - origin).toFixed(2)} - ${end}`
    const mark = operation === shown.at(-1) ? '   <- cannot be' : ''
    return `  ${time.padEnd(24)} ${operation.by.padEnd(8)} ${actionText(operation.action)} -> ${operation.answer ?? 'unknown'}${mark}`
  })
  const start = before === 'any' ? 'in any state it can be in' : stateText(before)
  const last = shown.at(-1)
  return [
    `job ${name}: no order of these operations gives these answers`,
    `  before: ${start}${before === 'any' ? '' : cameFrom(before, all, origin)}`,
    ...lines,
    ...(last === undefined ? [] : seenBefore(last, all, origin)),
  ].join('\n')
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'look':
      return 'the keys at rest'
    case 'create':
      return `create by ${action.workspace} ${valueText(action.value)} ${expiryText(action.expiresAt)}`
    case 'update':
      return `update by ${action.workspace} ${JSON.stringify(action.set)}${action.expect === undefined ? '' : ` if ${JSON.stringify(action.expect)}`}`
    case 'mutate':
      return `mutate by ${action.workspace} ${JSON.stringify(action.commands)}`
    case 'replace':
      return `update by ${action.workspace} ${action.swap === undefined ? '' : `from ${action.swap.old} to ${action.swap.text}`}`
    case 'expire':
      return `expire by ${action.workspace} ${expiryText(action.expiresAt)}`
    default:
      return `${action.kind} by ${action.workspace}`
  }
}

function expiryText(at: number | null): string {
  return at === null ? 'for ever' : `until ${at}`
}

function cameFrom(state: State, all: readonly Operation[], before: number): string {
  if (state === undefined) return ''
  const text = valueText(state.value)
  const writer = all.findLast(({ action, call }) => call < before && writes(action, text))
  return writer === undefined ? '' : ` (${actionText(writer.action)}, by ${writer.by})`
}

/** Where an impossible answer shows a state that a known operation once left, it is said which. */
function seenBefore(last: Operation, all: readonly Operation[], origin: number): string[] {
  const writer = all.find(({ action }) => {
    const { next } = action.kind === 'create' ? perform(undefined, action) : { next: undefined }
    return next !== undefined && stateText(next) === last.answer
  })
  return writer === undefined
    ? []
    : [
        `  that answer was right after: ${actionText(writer.action)}, by ${writer.by} at ${(writer.call - origin).toFixed(2)} ms`,
      ]
}

function writes(action: Action, text: string): boolean {
  if (action.kind === 'create') return valueText(action.value) === text
  return action.kind === 'replace' && action.swap !== undefined && valueText(action.swap.text) === text
}
