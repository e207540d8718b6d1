import { REASONS, type Reason } from '../api/reasons.ts'
import { cut } from './text.ts'

/**
 * How the migration stands. `moving`: under way by itself. `waiting`: held up by something that passes by itself, or by
 * the application's next release. `stalled`: a person must act. `soaking`, `reached`, `paused`: at rest as asked for.
 */
export type Mood = 'moving' | 'waiting' | 'stalled' | 'soaking' | 'reached' | 'paused'

/** One reason per verdict: it is the condition's reason, the Event's and the test's name. */
export interface Verdict {
  readonly mood: Mood
  readonly reason: Reason
  /** One line: what it waits for and what to do. No value that changes from pass to pass. */
  readonly message: string
}

export function verdict(mood: Mood, reason: Reason, message: string): Verdict {
  return { mood, reason, message }
}

/** status.awaits: why, what it waits for, and what to do, for a person who has ten seconds. */
export function awaitsLine({ reason, message }: Verdict): string {
  const what = cut(message, 1024)
  return `${reason}: ${what}${/[.!?…]$/.test(what) ? '' : '.'} ${REASONS[reason].action}`
}
