import type { Status } from '../api/status.ts'
import { isoTime, timeMs } from './time.ts'

/**
 * The soak of the step in force. It runs (`endsAt`) or is held up (`remainingMs`); neither before it began. All ms.
 */
export interface SoakAccount {
  readonly endsAt?: number | undefined
  readonly remainingMs?: number | undefined
  /** The whole soak that the two count on. */
  readonly lengthMs?: number | undefined
  /** Windows are counted up to here. */
  readonly countedThrough?: number | undefined
}

export interface JudgedWindow {
  readonly start: number
  readonly end: number
  readonly passed: boolean
}

export interface SoakInput {
  readonly account: SoakAccount
  readonly soakMs: number
  /** Converged and with the evidence that the state needs, as status had it before this pass, and as it is now. */
  readonly allowedBefore: boolean
  readonly allowed: boolean
  /** What was earned is lost. */
  readonly reset: boolean
  /** No checks: time alone earns. */
  readonly unchecked: boolean
  /** Windows from `countedThrough` on, oldest first. */
  readonly windows: readonly JudgedWindow[]
  /** Write how far windows are counted even when all passed: hourly, and on a change of an outcome. */
  readonly refresh: boolean
  readonly now: number
}

export interface SoakResult {
  readonly account: SoakAccount
  /** Earned in full, and judged to the end. */
  readonly earned: boolean
}

/** Passes this pass's windows through the account. A healthy soak leaves it as it was. */
export function countSoak(input: SoakInput): SoakResult {
  const before = resize(input.account, input.soakMs)
  const { account: counted, through } = input.allowedBefore
    ? fold(before, input)
    : { account: before, through: lastEnd(input) }
  const account = settle(counted, through, input)
  const running = account.endsAt !== undefined && account.endsAt <= Math.max(through, account.countedThrough ?? 0)
  return { account, earned: input.allowed && (running || account.remainingMs === 0) }
}

/** A changed soak in the spec lengthens or shortens what is left, also of a soak that runs. */
function resize(account: SoakAccount, soakMs: number): SoakAccount {
  const { endsAt, remainingMs, lengthMs } = account
  if (lengthMs === undefined || lengthMs === soakMs) return account
  const by = soakMs - lengthMs
  return {
    ...account,
    lengthMs: soakMs,
    ...(endsAt === undefined ? {} : { endsAt: endsAt + by }),
    ...(remainingMs === undefined ? {} : { remainingMs: Math.max(0, remainingMs + by) }),
  }
}

interface Folded {
  readonly account: SoakAccount
  /** Up to here is judged, ms. */
  readonly through: number
}

function fold(account: SoakAccount, input: SoakInput): Folded {
  if (input.unchecked) return { account: resume(account, input.now), through: input.now }
  const start: Folded = { account, through: account.countedThrough ?? input.now }
  return input.windows.reduce<Folded>((folded, window) => {
    if (window.start < folded.through) return folded
    const covered = skip(folded.account, window.start - folded.through)
    const counted = window.passed ? resume(covered, window.start) : holdSoak(covered, window.start)
    return { account: counted, through: window.end }
  }, start)
}

// Time without history does not count.
function skip(account: SoakAccount, gapMs: number): SoakAccount {
  return account.endsAt === undefined || gapMs === 0 ? account : { ...account, endsAt: account.endsAt + gapMs }
}

/** A soak held up at a moment: what it has earned by then stays earned. */
export function holdSoak(account: SoakAccount, at: number): SoakAccount {
  if (account.endsAt === undefined) return account
  return { ...account, endsAt: undefined, remainingMs: Math.max(0, account.endsAt - at) }
}

function resume(account: SoakAccount, at: number): SoakAccount {
  if (account.remainingMs === undefined) return account
  return { ...account, endsAt: at + account.remainingMs, remainingMs: undefined }
}

/** Begins, holds, resumes or forgets the soak as convergence and evidence come and go. */
function settle(account: SoakAccount, through: number, input: SoakInput): SoakAccount {
  const { now, soakMs, allowed, allowedBefore } = input
  const fresh: SoakAccount = { countedThrough: now, lengthMs: soakMs }
  const begun = account.endsAt !== undefined || account.remainingMs !== undefined
  if (input.reset) return { countedThrough: now }
  if (allowed && !begun) return { ...fresh, endsAt: now + soakMs }
  if (allowed && !allowedBefore) return { ...resume(holdSoak(account, through), now), countedThrough: now }
  if (!allowed && account.endsAt !== undefined) return { ...holdSoak(account, through), countedThrough: now }
  const changed = account.endsAt !== input.account.endsAt || account.remainingMs !== input.account.remainingMs
  const counted = changed || input.refresh ? through : account.countedThrough
  return { ...account, countedThrough: counted }
}

function lastEnd(input: SoakInput): number {
  return input.windows.at(-1)?.end ?? input.account.countedThrough ?? input.now
}

export function soakOf(status: Status): SoakAccount {
  return {
    endsAt: timeMs(status.soakEndsAt),
    remainingMs: status.soakRemainingMs,
    lengthMs: status.soakLengthMs,
    countedThrough: timeMs(status.soakCountedThrough),
  }
}

export function withSoak(status: Status, account: SoakAccount): Status {
  const text = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : isoTime(ms))
  return {
    ...status,
    soakEndsAt: text(account.endsAt),
    soakRemainingMs: account.remainingMs,
    soakLengthMs: account.lengthMs,
    soakCountedThrough: text(account.countedThrough),
  }
}
