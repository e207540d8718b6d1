import type { WorkerContext } from './context.ts'
import { Passing } from './patience.ts'
import { memoryLimit, parseInfo } from './server-facts.ts'

/** Share of the memory limit above which backfill makes no more keys: the application needs the rest. */
export const MEMORY_WATERMARK = 0.95
const LOOK_EVERY_MS = 1_000
/** No backfill copies faster than this, so that between two looks it cannot get from below the watermark to the limit. */
const FASTEST_BYTES_PER_MS = 4_000_000

/** Looks at Redis's memory about once a second, more often where little is left. The guard throws `Passing` while it stands above the watermark. */
export function memoryGuard(context: Pick<WorkerContext, 'redis' | 'clock' | 'work' | 'limits'>): () => Promise<void> {
  const { redis, clock, work, limits } = context
  let lookAt = clock.monotonic()
  return async () => {
    if (clock.monotonic() < lookAt) return
    const info = parseInfo(String(await redis.call(['INFO', 'memory'], { deadlineMs: limits.callMs })))
    const limit = memoryLimit(info, work.spec.assume.maxmemory)
    const used = Number(info.get('used_memory') ?? '0')
    if (limit !== undefined && used > limit * MEMORY_WATERMARK) {
      throw new Passing(
        `Redis uses ${used} of ${limit} bytes, above the watermark of ${MEMORY_WATERMARK * 100} %: raise maxmemory`,
      )
    }
    const left = limit === undefined ? Number.POSITIVE_INFINITY : limit * MEMORY_WATERMARK - used
    lookAt = clock.monotonic() + Math.min(LOOK_EVERY_MS, left / FASTEST_BYTES_PER_MS)
  }
}
