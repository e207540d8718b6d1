import type { Reason } from '../api/reasons.ts'
import type { WorkAccount } from '../api/status.ts'
import type { WorkKind, WorkResult } from '../protocol/work.ts'
import { objectionTo } from './findings.ts'
import { cut } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import type { JobObservation, WorkObservation } from './types.ts'
import type { DueWork } from './work.ts'

/** Attempts without a result before a person must look. */
export const MOST_ATTEMPTS = 5
const BACKOFF_MS = 10_000
const MOST_BACKOFF_MS = 300_000
/** What was held for want of something that a person may put right in Redis looks again by itself after this, ms. */
const LOOK_AGAIN_MS = 300_000

/** `<resource>-<kind>-<attempt>`; 63 characters at most, because the resource's name has 40 at most. */
export function jobName(resource: string, kind: WorkKind, attempt: number): string {
  return `${resource}-${kind}-${attempt}`
}

/** Tells the Job of an attempt from every other of its name, also of an earlier resource, or of a status that was lost. */
export function runOf(uid: string, { asked }: WorkAccount): string {
  return `${uid}/${asked ?? ''}`
}

export interface AccountInput {
  readonly resource: string
  readonly uid: string
  readonly kind: WorkKind
  readonly account: WorkAccount | undefined
  /** All Jobs and work hashes of the resource. Jobs were read first: one seen to have ended has its last word in `work`. */
  readonly jobs: readonly JobObservation[]
  readonly work: readonly WorkObservation[]
  /** Whether a result may be taken at its word: lineage and epoch. */
  readonly stands: (work: WorkObservation) => boolean
  readonly retry: string | undefined
  /** keys.allowEmpty */
  readonly allowEmpty: boolean
  readonly now: number
}

export interface Settled {
  readonly account: WorkAccount | undefined
  /** A result without objection, to be recorded now. */
  readonly proven?: {
    readonly job: string
    readonly epoch: number
    readonly result: WorkResult
    readonly account: WorkAccount
  }
  /** A result that is to be shown, good or bad. */
  readonly result?: WorkResult
  /** A person must look from now on. */
  readonly held?: boolean
  /** The attempt ended without a result. */
  readonly lost?: string
}

/** Takes what became of the attempt in hand into its account. */
export function settleAccount(input: AccountInput): Settled {
  const { account } = input
  if (account === undefined || !isOpen(account)) return { account }
  const name = jobName(input.resource, input.kind, account.attempt)
  const job = input.jobs.find((candidate) => candidate.name === name)
  const run = runOf(input.uid, account)
  const work = input.work.find((one) => one.jobName === name && one.run === run)
  if (work?.state === 'done' && work.result !== undefined) return settleResult(input, account, work, work.result)
  const seen = account.state === 'Active' || work?.state === 'failed' || work?.state === 'refused'
  // Its worker has ended, whatever the Job waits for.
  const gone = job === undefined ? seen : job.state !== 'Active' || job.overstays !== undefined
  if (gone) return settleLoss(input, account, job, work)
  return { account: job === undefined || account.state === 'Active' ? account : { ...account, state: 'Active' } }
}

/** The account of work that is due: the attempt in hand, or the next one once nothing stands in its way. */
export function advanceAccount(input: AccountInput, due: DueWork): WorkAccount {
  const { account, now, retry } = input
  if (account === undefined) return next(input, due, 0)
  const since = timeMs(account.since) ?? 0
  switch (account.state) {
    case 'Creating':
    case 'Active':
      return account.direction === due.direction && account.inputs === due.inputs ? account : next(input, due, 0)
    case 'Recorded':
      return next(input, due, 0)
    case 'Waiting':
      return now >= since + backoffMs(account.failures) ? next(input, due, account.failures) : account
    case 'Held': {
      const again = looksAgain(account) && now >= since + LOOK_AGAIN_MS
      const other = account.inputs !== due.inputs || account.direction !== due.direction
      return again || other || retry !== account.retry ? next(input, due, 0) : account
    }
  }
}

/** When a waiting or held account moves by itself, ms; undefined when it does not. */
export function accountDueAt(account: WorkAccount): number | undefined {
  const since = timeMs(account.since) ?? 0
  if (account.state === 'Waiting') return since + backoffMs(account.failures)
  return account.state === 'Held' && looksAgain(account) ? since + LOOK_AGAIN_MS : undefined
}

function looksAgain({ reason }: WorkAccount): boolean {
  return reason === 'PreflightBlocked' || reason === 'NoLegacyKeys'
}

export function isOpen(account: WorkAccount): boolean {
  return account.state === 'Creating' || account.state === 'Active'
}

/** At work, or lost so that the next attempt goes on from its checkpoint: what it has looked at counts, or may count yet. */
export function isUnderWay(account: WorkAccount): boolean {
  return isOpen(account) || account.state === 'Waiting'
}

/** The account with its attempt closed: whatever it still brings is void. */
export function closed(account: WorkAccount): WorkAccount {
  return { attempt: account.attempt, state: 'Recorded', failures: 0 }
}

function settleResult(input: AccountInput, account: WorkAccount, work: WorkObservation, result: WorkResult): Settled {
  if (!input.stands(work))
    return { account: wait(input, account, 1, 'EvidenceVoid', 'Redis or the routing changed while it ran') }
  const objection = objectionTo(result, input.allowEmpty)
  if (objection !== undefined) return { account: hold(input, account, 0, objection), result, held: true }
  const proven = { job: work.jobName, epoch: work.epoch, result, account }
  return { account: closed(account), proven, result }
}

function settleLoss(
  input: AccountInput,
  account: WorkAccount,
  job: JobObservation | undefined,
  work: WorkObservation | undefined,
): Settled {
  const message = cut(whyLost(job, work), 900)
  // Nothing is wrong with the work: however long Redis refuses it, it goes on by itself afterwards.
  const most = work?.state === 'refused' ? MOST_ATTEMPTS - 1 : MOST_ATTEMPTS
  const failures = Math.min(account.failures + 1, most)
  if (failures >= MOST_ATTEMPTS)
    return { account: hold(input, account, failures, { reason: 'JobFailed', message }), held: true, lost: message }
  return { account: wait(input, account, failures, 'JobFailed', message), lost: message }
}

function whyLost(job: JobObservation | undefined, work: WorkObservation | undefined): string {
  const said = job?.message ?? job?.overstays
  if (work?.error !== undefined)
    return job?.state === 'Failed' && said !== undefined ? `${work.error} (${said})` : work.error
  return said ?? (job === undefined ? 'its Job is gone' : 'its Job ended without a result')
}

function wait(
  input: AccountInput,
  account: WorkAccount,
  failures: number,
  reason: Reason,
  message: string,
): WorkAccount {
  return { ...account, state: 'Waiting', failures, since: isoTime(input.now), reason, message }
}

function hold(
  input: AccountInput,
  account: WorkAccount,
  failures: number,
  why: { readonly reason: Reason; readonly message: string },
): WorkAccount {
  const { retry } = input
  const since = isoTime(input.now)
  return { ...account, ...why, state: 'Held', failures, since, ...(retry === undefined ? {} : { retry }) }
}

function next(input: AccountInput, due: DueWork, failures: number): WorkAccount {
  const ofKind = input.jobs.filter(({ kind }) => kind === input.kind).map(({ attempt }) => attempt)
  const attempt = Math.max(input.account?.attempt ?? 0, ...ofKind) + 1
  return {
    attempt,
    state: 'Creating',
    failures,
    asked: isoTime(input.now),
    // It ended without a result: what it did up to its checkpoint is done.
    ...(failures > 0 && input.account !== undefined ? { resumes: input.account.attempt } : {}),
    ...(due.direction === undefined ? {} : { direction: due.direction }),
    ...(due.inputs === undefined ? {} : { inputs: due.inputs }),
  }
}

function backoffMs(failures: number): number {
  return Math.min(MOST_BACKOFF_MS, BACKOFF_MS * 2 ** (failures - 1))
}
