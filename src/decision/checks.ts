import type { CheckSpec } from '../api/schema.ts'
import type { StatusCheck } from '../api/status.ts'
import { cut, some } from './text.ts'
import type { CheckMeasurement, SoakWindow } from './types.ts'

/** What is remembered of one check from window to window within a step. */
export interface Tally {
  readonly failures: number
  /** See StatusCheck. */
  readonly carried: boolean
}

export type Tallies = ReadonlyMap<string, Tally>

export function talliesOf(checks: readonly StatusCheck[] | undefined): Tallies {
  return new Map((checks ?? []).map(({ name, failures, carried }) => [name, { failures, carried: carried ?? false }]))
}

/** A window passes only when every check of the spec was measured in it and passed. Without checks none does. */
export function windowPasses(checks: readonly CheckSpec[], window: SoakWindow): boolean {
  return checks.length > 0 && checks.every(({ name }) => measured(window, name)?.outcome === 'Pass')
}

/** Adds the failed measurements of a window. What failed before a step back counts only once it has passed again. */
export function tally(before: Tallies, checks: readonly CheckSpec[], window: SoakWindow): Tallies {
  return new Map(
    checks.map(({ name }) => {
      const { failures, carried } = before.get(name) ?? { failures: 0, carried: false }
      const outcome = measured(window, name)?.outcome
      const fails = outcome === 'Fail' && !carried
      return [name, { failures: failures + (fails ? 1 : 0), carried: carried && outcome !== 'Pass' }]
    }),
  )
}

/** The first check with more failures than its limit. */
export function overLimit(checks: readonly CheckSpec[], tallies: Tallies): CheckSpec | undefined {
  return checks.find(({ name, failureLimit }) => (tallies.get(name)?.failures ?? 0) > failureLimit)
}

export interface CheckNote {
  readonly before: readonly StatusCheck[] | undefined
  readonly checks: readonly CheckSpec[]
  readonly latest: readonly CheckMeasurement[]
  readonly tallies: Tallies
  /** Write values even where no outcome changed. */
  readonly refresh: boolean
}

/** The checks as status shows them. Values are written on a change of a verdict or of a tally, else when asked to. */
export function noteChecks(note: CheckNote): readonly StatusCheck[] | undefined {
  const before = new Map((note.before ?? []).map((check) => [check.name, check]))
  const after = note.checks.flatMap(({ name }) => {
    const known = before.get(name)
    const now = note.latest.find(({ check }) => check === name)
    const { failures, carried } = note.tallies.get(name) ?? { failures: 0, carried: false }
    if (now === undefined) return known === undefined ? [] : [withTally(known, failures, carried)]
    return [describe(now, failures, carried)]
  })
  const same =
    after.length === before.size &&
    after.every((check) => {
      const known = before.get(check.name)
      return known !== undefined && verdictOf(known) === verdictOf(check)
    })
  if (same && !note.refresh) return note.before
  return after.length === 0 ? undefined : after
}

/** Whether the newest measurement of every check passes. Without checks it does not. */
export function allPass(checks: readonly CheckSpec[], latest: readonly CheckMeasurement[]): boolean {
  return checks.length > 0 && checks.every(({ name }) => latest.find(({ check }) => check === name)?.outcome === 'Pass')
}

/** What status says of checks that do not pass, by their worst outcome; undefined when all that were measured pass. */
export function worstNote(checks: readonly StatusCheck[]): CheckTrouble | undefined {
  const shown = (outcome: string): string[] =>
    checks
      .filter((check) => check.outcome === outcome)
      .map(({ name, message }) => (message === undefined ? name : `${name}: ${message}`))
  const [failing, broken, unclear] = [shown('Fail'), shown('Error'), shown('Inconclusive')]
  if (failing.length > 0) return { reason: 'CheckFailing', message: some(failing) }
  if (broken.length > 0) return { reason: 'CheckError', message: some(broken) }
  if (unclear.length > 0) return { reason: 'CheckInconclusive', message: some(unclear) }
  return undefined
}

export interface CheckTrouble {
  readonly reason: 'CheckFailing' | 'CheckError' | 'CheckInconclusive' | 'ChecksPending'
  readonly message: string
}

function measured(window: SoakWindow, name: string): CheckMeasurement | undefined {
  return window.measurements.find(({ check }) => check === name)
}

// Of a check that does not pass another message is news (refused, then reachable and forbidden), another number is not.
function verdictOf({ outcome, failures, carried, message = '' }: StatusCheck): string {
  const news = outcome === 'Pass' ? '' : message.replace(/[0-9]+/g, '#')
  return `${outcome} ${failures} ${carried ?? false} ${news}`
}

function withTally(check: StatusCheck, failures: number, carried: boolean): StatusCheck {
  const { carried: _before, ...rest } = check
  return { ...rest, failures, ...(carried ? { carried } : {}) }
}

function describe(now: CheckMeasurement, failures: number, carried: boolean): StatusCheck {
  const worst = now.worst
    .slice(0, 5)
    .map(({ labels, value }) => ({ labels: cut(labels, 256), value: numberText(value) }))
  return {
    name: now.check,
    outcome: now.outcome,
    ...(now.value === undefined ? {} : { value: numberText(now.value) }),
    ...(worst.length === 0 ? {} : { worst }),
    failures,
    ...(carried ? { carried } : {}),
    ...(now.message === '' ? {} : { message: cut(now.message, 512) }),
    query: cut(now.query, 512),
  }
}

function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4)
}
