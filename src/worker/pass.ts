import { batchConfig, runBatch, type BatchReply, type BatchScript } from './batch.ts'
import { BatchSize } from './batch-size.ts'
import { throwIfStopped, WorkFailed, type WorkerContext } from './context.ts'
import { Pacer } from './pacer.ts'
import { Passing, persist } from './patience.ts'

const LOG_EVERY_MS = 10_000

export interface PassOptions {
  readonly script: BatchScript
  /** Asked before each batch; throws `Passing` to hold. */
  readonly guard?: () => Promise<void>
}

/**
 * Runs batches until the script says that the work has ended. Cursor, counts and samples move in Redis with the work
 * itself; this loop holds nothing that a kill could lose.
 * @returns false when another worker has already written the result
 * @throws WorkFailed, Stopped
 */
export async function runPasses(context: WorkerContext, options: PassOptions): Promise<boolean> {
  const { clock, metrics, logger, signal, work } = context
  const { kind, maxKeysPerSecond, maxRedisLatencyMs } = work.spec
  const budgetMicros = maxRedisLatencyMs * 1000
  const config = batchConfig(work)
  const size = new BatchSize(budgetMicros, maxKeysPerSecond)
  const pacer = new Pacer(clock, maxKeysPerSecond)
  let logAt = clock.monotonic() + LOG_EVERY_MS

  for (;;) {
    throwIfStopped(signal)
    let tookMicros = 0
    const reply = await persist(context, async () => {
      await options.guard?.()
      const began = clock.monotonic()
      const answer = await runBatch(context, options.script, {
        config,
        count: size.current,
        budgetMicros,
        rate: pacer.rate(),
      })
      tookMicros = (clock.monotonic() - began) * 1000
      return allowed(answer)
    })
    if (reply.status !== 'ok') return reply.status === 'ended'
    // Where the server stops the clock in scripts, the round trip is the best measure there is.
    const micros = reply.micros > 0 ? reply.micros : tookMicros
    size.observe(micros)
    metrics.keys.inc({ kind }, reply.seen)
    metrics.batchSeconds.observe({ kind }, micros / 1e6)
    metrics.batchKeys.set({ kind }, size.current)
    metrics.done.set({ kind }, reply.done)
    metrics.total.set({ kind }, reply.total)
    if (clock.monotonic() >= logAt) {
      logAt = clock.monotonic() + LOG_EVERY_MS
      const { pass, done, total } = reply
      logger.info('progress', { pass, done, estimate: total, rate: pacer.rate(), batch: size.current })
    }
    await pacer.spend(reply.seen, signal)
  }
}

function allowed(reply: BatchReply): Exclude<BatchReply, { status: 'stale' | 'refused' }> {
  if (reply.status === 'stale') throw new Passing(reply.why)
  if (reply.status === 'refused') throw new WorkFailed(reply.why)
  return reply
}
