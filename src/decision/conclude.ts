import type { JobKeyMigration } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import { accountDueAt, isOpen } from './accounts.ts'
import { kstatusNotes, withConditions, type ConditionNote } from './conditions.ts'
import type { Convergence } from './convergence.ts'
import { convergedNote, domainNotes } from './domain-conditions.ts'
import { fitStatus } from './size.ts'
import { cut } from './text.ts'
import { timeMs } from './time.ts'
import type { Action, Decision, EventNote } from './types.ts'
import { awaitsLine, type Mood, type Verdict } from './verdict.ts'

export interface Conclusion {
  readonly resource: JobKeyMigration
  readonly now: number
  readonly status: Status
  readonly verdict: Verdict
  readonly actions: readonly Action[]
  readonly events: readonly EventNote[]
  /** undefined: it could not be looked at. */
  readonly convergence?: Convergence
  /** The state that the spec asks for is in force and settled; undefined: it could not be looked at. */
  readonly reached?: boolean
  readonly wantsLive?: boolean
}

/** Turns the verdict into conditions, message, Events and the time of the next look. */
export function conclude(end: Conclusion): Decision {
  const { resource, now, verdict } = end
  const { spec, metadata } = resource
  const notes: readonly ConditionNote[] = [
    ...kstatusNotes(verdict),
    end.convergence === undefined
      ? { type: 'Converged', status: 'Unknown', reason: verdict.reason, message: verdict.message }
      : convergedNote(end.convergence),
    ...domainNotes(end.status, spec.paused, spec.slo.disabled),
    targetReached(end),
  ]
  const spoken = { ...end.status, observedGeneration: metadata.generation, awaits: awaitsLine(verdict) }
  return {
    status: fitStatus(withConditions(spoken, notes, metadata.generation, now)),
    actions: end.actions,
    events: [...end.events, ...newVerdict(resource.status, verdict)],
    requeueAfterMs: nextLook(end.status, verdict, now),
    wantsLive: end.wantsLive ?? false,
  }
}

function targetReached({ reached, verdict }: Conclusion): ConditionNote {
  const type = 'TargetReached'
  if (reached === undefined) return { type, status: 'Unknown', reason: verdict.reason, message: verdict.message }
  return reached
    ? { type, status: 'True', reason: 'TargetReached', message: verdict.message }
    : { type, status: 'False', reason: verdict.reason, message: verdict.message }
}

/** One Event when the reason of Ready changes: a hold is told once, not at every pass. */
function newVerdict(before: Status | undefined, { mood, reason, message }: Verdict): readonly EventNote[] {
  const known = before?.conditions?.find(({ type }) => type === 'Ready')?.reason
  if (known === reason) return []
  const type = mood === 'stalled' || mood === 'waiting' ? 'Warning' : 'Normal'
  return [{ type, reason, message: cut(message, 1024) }]
}

const LOOK_AGAIN_MS: Readonly<Record<Mood, number>> = {
  moving: 2000,
  waiting: 5000,
  stalled: 15_000,
  soaking: 30_000,
  reached: 30_000,
  paused: 30_000,
}

function nextLook(status: Status, { mood }: Verdict, now: number): number {
  const accounts = Object.values(status.work ?? {})
  const wakes = [timeMs(status.soakEndsAt), ...accounts.map(accountDueAt)]
    .filter((at) => at !== undefined)
    .filter((at) => at > now)
    .map((at) => at - now)
  return Math.min(accounts.some(isOpen) ? 2000 : LOOK_AGAIN_MS[mood], ...wakes)
}
