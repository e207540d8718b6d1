import type { Clock } from './clock.ts'
import { DeadlineExceeded } from './clock.ts'
import type { WorkQueue } from './work-queue.ts'

/** What a reconcile asks for; nothing: wait for the next event. */
export interface ReconcileResult {
  readonly requeueAfterMs?: number | undefined
}

/** One pass over one key. `signal` aborts at the deadline and when a graceful shutdown has run out of time. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult | undefined>

/** Callbacks for metrics and logs; they must not throw. Durations in ms. */
export interface ControllerObserver {
  reconciled?(key: string, durationMs: number): void
  /** A reconcile threw; it is tried again in `retryInMs`. `failures` counts since the last success. */
  failed?(key: string, error: unknown, failures: number, retryInMs: number): void
  /** The deadline passed and the reconcile has not returned yet: its key stays taken until it does. */
  overdue?(key: string, deadlineMs: number): void
}

export interface ControllerOptions {
  readonly queue: WorkQueue
  readonly reconcile: Reconcile
  readonly clock: Clock
  /** Keys worked on at the same time; 1 unless told. */
  readonly workers?: number
  /** Limit of one reconcile in ms; 120 000 unless told. */
  readonly deadlineMs?: number
  /** How long a shutdown waits for running reconciles before it aborts them, ms; 20 000 unless told. */
  readonly graceMs?: number
  readonly observer?: ControllerObserver
}

/** Takes keys from a queue and reconciles each; an error puts the key back under its backoff. */
export class Controller {
  readonly #options: ControllerOptions
  readonly #hardStop = new AbortController()

  constructor(options: ControllerOptions) {
    this.#options = options
  }

  /**
   * Works until `signal` aborts, then takes no more keys and waits for the running ones, at most `graceMs`.
   * Resolves with the keys whose reconcile had not returned by then (normally none).
   */
  async run(signal: AbortSignal): Promise<readonly string[]> {
    const { queue, workers = 1, clock, graceMs = 20_000 } = this.#options
    const stop = () => queue.shutDown()
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    const loops = Promise.all(Array.from({ length: workers }, () => this.#work()))
    // the loops end before the signal only by a throwing observer, which must not pass unseen
    await Promise.race([stopped(signal), loops])
    const drained = new AbortController()
    await Promise.race([queue.drained(), clock.sleep(graceMs, drained.signal)])
    drained.abort()
    const left = queue.processing
    this.#hardStop.abort(new Error('shutting down'))
    if (left.length === 0) await loops
    return left
  }

  async #work(): Promise<void> {
    const { queue } = this.#options
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      await this.#reconcileOnce(key)
      queue.done(key)
    }
  }

  async #reconcileOnce(key: string): Promise<void> {
    const { queue, reconcile, clock, deadlineMs = 120_000, observer } = this.#options
    const started = clock.monotonic()
    const deadline = new AbortController()
    const finished = new AbortController()
    void clock.sleep(deadlineMs, finished.signal).then(() => {
      if (finished.signal.aborted) return
      deadline.abort(new DeadlineExceeded(deadlineMs))
      observer?.overdue?.(key, deadlineMs)
    })
    try {
      const result = await reconcile(key, AbortSignal.any([deadline.signal, this.#hardStop.signal]))
      queue.forget(key)
      observer?.reconciled?.(key, clock.monotonic() - started)
      if (result?.requeueAfterMs !== undefined) queue.addAfter(key, result.requeueAfterMs)
    } catch (error) {
      const retryInMs = queue.addRateLimited(key)
      observer?.failed?.(key, error, queue.failures(key), retryInMs)
    } finally {
      finished.abort()
    }
  }
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
