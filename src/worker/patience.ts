import { backoffDelay, type BackoffPolicy } from '../runtime/backoff.ts'
import { KeyshiftError, Refused, UnknownOutcome } from '../redis/errors.ts'
import { throwIfStopped, WorkFailed, WorkRefused, type WorkerContext } from './context.ts'

const BACKOFF: BackoffPolicy = { initialMs: 50, maxMs: 5_000, factor: 2, jitter: 0.5 }

/** Codes of Redis that pass by themselves: a failover, a restart, memory or replicas that come back. */
const PASSING = new Set([
  'OOM',
  'NOREPLICAS',
  'MISCONF',
  'READONLY',
  'LOADING',
  'BUSY',
  'MASTERDOWN',
  'NOAUTH',
  'TRYAGAIN',
  'CLUSTERDOWN',
])

/** Something that may pass by itself, found in an answer rather than in an error. */
export class Passing extends Error {
  override readonly name = 'Passing'
}

/**
 * Tries `attempt` until it succeeds, is refused for good, or `giveUpMs` have gone by without a success. Only for what
 * may be repeated after an unknown outcome.
 * @throws WorkFailed, WorkRefused, Stopped
 */
export async function persist<T>(
  context: Pick<WorkerContext, 'clock' | 'logger' | 'signal' | 'limits' | 'metrics' | 'work'>,
  attempt: () => Promise<T>,
): Promise<T> {
  const { clock, limits, signal, logger } = context
  const end = clock.monotonic() + limits.giveUpMs
  for (let failures = 1; ; failures += 1) {
    throwIfStopped(signal)
    try {
      return await attempt()
    } catch (error) {
      if (isRightMissing(error)) throw new WorkRefused(message(error), { cause: error })
      if (!passes(error)) throw error instanceof WorkFailed ? error : new WorkFailed(message(error), { cause: error })
      if (clock.monotonic() >= end) {
        throw new WorkRefused(`given up after ${Math.round(limits.giveUpMs / 1000)} s: ${message(error)}`, {
          cause: error,
        })
      }
      logger.warn('trying again', { failures, error: message(error) })
      context.metrics.retries.inc({ kind: context.work.spec.kind })
    }
    await clock.sleep(backoffDelay(BACKOFF, failures), signal)
  }
}

/** A right taken away while the work runs; the next run names it before it begins. */
function isRightMissing(error: unknown): boolean {
  if (error instanceof Refused) return error.redisCode === 'NOPERM'
  return error instanceof UnknownOutcome && error.message.includes('user executing the script can')
}

function passes(error: unknown): boolean {
  if (error instanceof Passing) return true
  if (error instanceof Refused) return PASSING.has(error.redisCode)
  return error instanceof KeyshiftError
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
