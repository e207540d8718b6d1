import type { CheckSpec } from '../../api/schema.ts'
import type { CheckMeasurement, Outcome } from '../../decision/types.ts'
import type { Labels } from '../../prometheus/client.ts'
import { CLIENT_EPOCH, OTHER_WORKSPACES } from '../../protocol/metrics.ts'
import type { Element, Reading } from './reading.ts'

export interface JudgeContext {
  /** Whether clients of this migration were scraped (`clientsSeen`): asked where the check gives no data. */
  readonly clients?: Reading | undefined
  /** While they were, a vector without active workspace passes: from BackfillVerify on, in the quiet hours of a 30 day soak. */
  readonly mayBeIdle?: boolean | undefined
  /** Elements active in the last hour that are missing together: see `Activity.vanished`. */
  readonly vanished: readonly string[]
}

/** Samples older than this against the moment asked for are stale, ms. */
const STALE_MS = 60_000
const WORST = 5

/** One check over one reading. The worst element decides; only a complete answer can pass or fail. */
export function judge(check: CheckSpec, reading: Reading, context: JudgeContext): CheckMeasurement {
  if (reading.kind === 'failed') return measurement(check, 'Error', [], reading.message)
  const usable = reading.elements.filter(({ value }) => !Number.isNaN(value))
  const worst = [...usable].sort((a, b) => excess(check, b.value) - excess(check, a.value)).slice(0, WORST)
  const first = worst[0]
  if (reading.warnings.length > 0) return measurement(check, 'Inconclusive', worst, warningText(reading.warnings))
  if (reading.ageMs > STALE_MS)
    return measurement(check, 'Inconclusive', worst, `the answer is ${Math.round(reading.ageMs / 1000)} s old`)
  if (first !== undefined && excess(check, first.value) > 0)
    return measurement(check, 'Fail', worst, `${nameValue(first)} ${bound(check, first.value)}`)
  if (reading.elements.length === 0) return judgeEmpty(check, context)
  if (usable.length < reading.elements.length) {
    const idle = reading.elements.filter(({ value }) => Number.isNaN(value)).map(({ labels }) => labelText(labels))
    const hint = 'leave idle elements out with "> 0" on the divisor'
    const which =
      idle.length === 1 && idle[0] === '' ? 'the value' : `${idle.length} of ${reading.elements.length} values`
    return measurement(check, check.onNoData, worst, `${which} NaN (${some(idle)}): ${hint}`)
  }
  if (context.vanished.length > 0) return measurement(check, 'Inconclusive', worst, vanishedText(context.vanished))
  const others = reading.elements.find((element) => mayHide(check, element))
  if (others !== undefined) return measurement(check, 'Inconclusive', worst, othersText(others))
  return measurement(check, 'Pass', worst, first === undefined ? '' : `${nameValue(first)} ${within(check)}`)
}

/**
 * The name under which an element is remembered: its workspace, else its labels without those that each deploy changes.
 * Empty where it has none.
 */
export function elementName({ labels }: Element): string {
  const { pod: _pod, instance: _instance, ...lasting } = labels
  return labels['workspace_id'] ?? labelText(lasting)
}

function judgeEmpty(check: CheckSpec, { vanished, clients, mayBeIdle }: JudgeContext): CheckMeasurement {
  if (check.onNoData !== 'Inconclusive') return measurement(check, check.onNoData, [], 'no data')
  const unclear = (why: string): CheckMeasurement => measurement(check, 'Inconclusive', [], why)
  if (vanished.length > 0) return unclear(vanishedText(vanished))
  if (clients === undefined) return unclear('the query gives no data: is the application scraped, and has it traffic?')
  if (clients.kind === 'failed') return measurement(check, 'Error', [], clients.message)
  if (clients.warnings.length > 0) return unclear(warningText(clients.warnings))
  if (clients.elements.length === 0)
    return unclear(
      `the query gives no data, metric not found: Prometheus has had no ${CLIENT_EPOCH} of this migration for the last 5 minutes, so this may be no quiet hour: is the application scraped, and was its client given the registry of that page?`,
    )
  if (mayBeIdle === true) return measurement(check, 'Pass', [], 'no active workspace')
  return unclear('the query gives no data, though clients of this migration are scraped: has the application traffic?')
}

// The mean of many workspaces is within bounds while one of them is not; only a share of 0 is the share of each.
function mayHide({ min }: CheckSpec, { labels, value }: Element): boolean {
  return labels['workspace_id'] === OTHER_WORKSPACES && (value !== 0 || min !== undefined)
}

function othersText(element: Element): string {
  return `${nameValue(element)} stands for all workspaces without series of their own, and one of them may be outside the bounds: leave it out with workspace_id!="${OTHER_WORKSPACES}" and give it a check of its own without "by"`
}

function warningText(warnings: readonly string[]): string {
  return `Prometheus warns that its answer may not be whole: ${warnings.join('; ')}`
}

function measurement(check: CheckSpec, outcome: Outcome, worst: readonly Element[], message: string): CheckMeasurement {
  const value = worst[0]?.value
  return {
    check: check.name,
    outcome,
    ...(value === undefined ? {} : { value }),
    worst: worst.map((element) => ({ labels: labelText(element.labels), value: element.value })),
    message: message.slice(0, 512),
    query: check.query,
  }
}

/** How far a value lies outside the bounds; above 0 it fails. */
function excess(check: CheckSpec, value: number): number {
  const over = check.max === undefined ? -Infinity : difference(value, check.max)
  const under = check.min === undefined ? -Infinity : difference(check.min, value)
  return Math.max(over, under)
}

// Infinity - Infinity is NaN, and a NaN in a sort order hides the worst element.
function difference(a: number, b: number): number {
  return a === b ? 0 : a - b
}

function bound(check: CheckSpec, value: number): string {
  return check.max !== undefined && value > check.max ? `is above max ${check.max}` : `is below min ${check.min ?? ''}`
}

function within(check: CheckSpec): string {
  const bounds = [check.min === undefined ? '' : `min ${check.min}`, check.max === undefined ? '' : `max ${check.max}`]
  return `is within ${bounds.filter(Boolean).join(', ')}`
}

function nameValue({ labels, value }: Element): string {
  const name = labelText(labels)
  const text = Number.isInteger(value) ? String(value) : value.toPrecision(4)
  return name === '' ? text : `${text} of ${name}`
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${value}"`)
    .join(', ')
    .slice(0, 256)
}

function vanishedText(names: readonly string[]): string {
  return `${names.length} of the elements with values in the last hour are missing together: ${some(names)}; is a store or a scrape target away?`
}

function some(names: readonly string[]): string {
  return names.length <= WORST
    ? names.join(', ')
    : `${names.slice(0, WORST).join(', ')} and ${names.length - WORST} more`
}
