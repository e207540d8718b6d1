import { KeyshiftError, type UnknownOutcome } from '../redis/errors.ts'
import type { Log } from './log.ts'
import type { ClientOptions, TracedEnd, TracedOperation } from './types.ts'

/** What a call has behind it. */
export interface Past {
  tries: number
  /** Of the last try. */
  epoch: number
  /** A try of a write that may have been done. */
  unknown?: UnknownOutcome
}

/** Tells the app's hook of an operation; what it returns is called once, with the status of the answer or the error. */
export type Trace = (op: TracedOperation) => (past: Past, status?: string, error?: unknown) => void

/** A hook that throws is logged: it can neither end an operation nor change its outcome. */
export function traceOf(hook: ClientOptions['trace'], log: Log): Trace {
  if (hook === undefined) return () => () => undefined
  const call = <T>(of: () => T): T | undefined => {
    try {
      return of()
    } catch (error) {
      log('error', 'the trace hook threw', { error: String(error) })
      return undefined
    }
  }
  return ({ name, workspaceId }) => {
    const end = call(() => hook({ name, workspaceId }))
    return ({ tries, epoch }, status, error) => {
      const outcome = status ?? (error instanceof KeyshiftError ? error.code : 'ABORTED')
      const told: TracedEnd = { outcome, error, epoch, retries: Math.max(0, tries - 1) }
      if (end !== undefined) call(() => end(told))
    }
  }
}
