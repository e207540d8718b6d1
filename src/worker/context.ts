import type { Connection } from '../redis/connection.ts'
import type { Logger } from '../platform/logger.ts'
import type { Clock } from '../runtime/clock.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Work } from './work-spec.ts'

/** What every kind of work is given. */
export interface WorkerContext {
  readonly work: Work
  readonly redis: Connection
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: WorkerMetrics
  /** Aborted on SIGTERM: the batch in flight ends, the next does not begin. */
  readonly signal: AbortSignal
  readonly limits: WorkerLimits
}

export interface WorkerLimits {
  /** How long Redis may be away, or the record stale, before the work gives up, ms. */
  readonly giveUpMs: number
  /** Limit of one batch, ms: far above what a batch takes, so that it is passed only by a dead server. */
  readonly callMs: number
}

export const DEFAULT_WORKER_LIMITS: WorkerLimits = { giveUpMs: 120_000, callMs: 60_000 }

/** The work cannot go on and trying again does not help; the message says why and what to do. */
export class WorkFailed extends Error {
  override readonly name: string = 'WorkFailed'
}

/** Redis lets nothing more be done, for want of memory, a right, a replica or itself: another attempt goes on when that is over. */
export class WorkRefused extends WorkFailed {
  override readonly name = 'WorkRefused'
}

/** SIGTERM: everything done stands in Redis, the next worker goes on from there. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
  constructor() {
    super('stopped by SIGTERM; the next worker goes on from the checkpoint')
  }
}

/** @throws Stopped */
export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new Stopped()
}
