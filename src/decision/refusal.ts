import { REASONS } from '../api/reasons.ts'
import type { Action, RefusedAction } from './types.ts'
import { verdict, type Verdict } from './verdict.ts'

/** The verdict, with what the pass before was refused and still has to do: it stands until it has gone through. */
export function withRefusal(said: Verdict, refused: RefusedAction | undefined, actions: readonly Action[]): Verdict {
  if (refused === undefined || !actions.some(({ type }) => type === refused.action)) return said
  const { action, reason, message } = refused
  const text = `${action} was refused: ${message}`
  // What a person must do in any case comes first.
  return said.mood === 'stalled'
    ? {
        ...said,
        message: `${said.message}; besides, ${text} (${reason}: ${REASONS[reason].action.replace(/\.$/, '')})`,
      }
    : verdict('waiting', reason, `${text}; besides: ${said.message}`)
}
