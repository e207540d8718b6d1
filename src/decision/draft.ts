import type { Reason } from '../api/reasons.ts'
import type { Status } from '../api/status.ts'
import { cut } from './text.ts'
import type { EventNote } from './types.ts'

/** What a pass has come to so far. */
export interface Draft {
  readonly status: Status
  readonly events: readonly EventNote[]
}

export function note(reason: Reason, message: string, type: EventNote['type'] = 'Normal'): EventNote {
  return { type, reason, message: cut(message, 1024) }
}
