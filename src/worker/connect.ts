import { Stopped, WorkFailed, type WorkerContext } from './context.ts'

/**
 * Waits for Redis: at the start of a pod its network may come late, and a Secret may just be rotated.
 * @throws WorkFailed when there is no connection within `giveUpMs`; Stopped
 */
export async function connect(context: Pick<WorkerContext, 'redis' | 'limits' | 'logger' | 'signal'>): Promise<void> {
  const { redis, limits, logger, signal } = context
  let said = ''
  redis.onState((state) => {
    const why = redis.lastError?.message ?? ''
    if (state === 'ready') said = ''
    if (state !== 'waiting' || why === said) return
    said = why
    logger.warn('no connection to Redis, trying again', { error: why })
  })
  const stopped = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(new Stopped())
    signal.addEventListener('abort', () => reject(new Stopped()), { once: true })
  })
  stopped.catch(() => undefined)
  try {
    await Promise.race([redis.ready({ deadlineMs: limits.giveUpMs }), stopped])
  } catch (error) {
    if (error instanceof Stopped) throw error
    throw new WorkFailed((error as Error).message, { cause: error })
  }
}
