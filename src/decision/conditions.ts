import type { Reason } from '../api/reasons.ts'
import type { Status, StatusCondition } from '../api/status.ts'
import { cut } from './text.ts'
import { isoTime } from './time.ts'
import type { Verdict } from './verdict.ts'

export interface ConditionNote {
  readonly type: string
  readonly status: StatusCondition['status']
  readonly reason: Reason
  readonly message: string
}

/** Ready, Reconciling and Stalled as kstatus reads them. A healthy soak is ready: it must not hold up a sync for weeks. */
export function kstatusNotes({ mood, reason, message }: Verdict): readonly ConditionNote[] {
  const ready = mood === 'soaking' || mood === 'reached' || mood === 'paused'
  const reconciling = mood === 'moving' || mood === 'waiting'
  const stalled = mood === 'stalled'
  const note = (type: string, on: boolean, text: string): ConditionNote => ({
    type,
    status: on ? 'True' : 'False',
    reason,
    message: text,
  })
  return [
    note('Ready', ready, message),
    note('Reconciling', reconciling, reconciling ? message : ''),
    note('Stalled', stalled, stalled ? message : ''),
  ]
}

/** The conditions with these notes put in; times change only with the status of a condition. */
export function withConditions(
  status: Status,
  notes: readonly ConditionNote[],
  generation: number,
  now: number,
): Status {
  const before = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]))
  for (const note of notes) {
    const known = before.get(note.type)
    before.set(note.type, {
      type: note.type,
      status: note.status,
      reason: note.reason,
      message: cut(note.message, 2048),
      lastTransitionTime: known?.status === note.status ? known.lastTransitionTime : isoTime(now),
      observedGeneration: generation,
    })
  }
  return { ...status, conditions: [...before.values()] }
}
