import type { BackoffPolicy } from './backoff.ts'
import { DEFAULT_BACKOFF, backoffDelay } from './backoff.ts'
import type { Clock } from './clock.ts'
import { DelayedKeys } from './delayed-keys.ts'

export interface WorkQueueOptions {
  readonly clock: Clock
  readonly backoff?: BackoffPolicy
  readonly random?: () => number
}

/**
 * Keyed work queue. A key waits at most once however often it is added (dirty), is handed to one taker at a time
 * (processing), and is handed out again if it was added meanwhile: no addition is lost, none runs beside another.
 */
export class WorkQueue {
  readonly #order: string[] = []
  readonly #dirty = new Set<string>()
  readonly #processing = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #takers: ((key: string | undefined) => void)[] = []
  readonly #drainWaiters: (() => void)[] = []
  readonly #delayed: DelayedKeys
  readonly #backoff: BackoffPolicy
  readonly #random: () => number
  #stopped = false

  constructor(options: WorkQueueOptions) {
    this.#backoff = options.backoff ?? DEFAULT_BACKOFF
    this.#random = options.random ?? Math.random
    this.#delayed = new DelayedKeys(options.clock, (key) => this.add(key))
  }

  /** Keys that wait to be taken now; delayed ones are not counted. */
  get length(): number {
    return this.#order.length
  }

  /** Keys handed out and not yet done. */
  get processing(): readonly string[] {
    return [...this.#processing]
  }

  /** Makes the key due now. Ignored after `shutDown`. */
  add(key: string): void {
    if (this.#stopped || this.#dirty.has(key)) return
    this.#dirty.add(key)
    if (!this.#processing.has(key)) this.#enqueue(key)
  }

  /** Makes the key due in `ms`, of any length; of several pending delays of a key the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return
    if (ms <= 0) this.add(key)
    else this.#delayed.add(key, ms)
  }

  /** Makes the key due after its backoff, which grows until `forget`. Returns the delay in ms. */
  addRateLimited(key: string): number {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    const delay = backoffDelay(this.#backoff, failures, this.#random)
    this.addAfter(key, delay)
    return delay
  }

  /** Consecutive failures counted for the key. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0
  }

  /** Resets the key's backoff: call it after a success. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /** The next key, to be given back with `done`; undefined once the queue is shut down. */
  take(): Promise<string | undefined> {
    if (this.#stopped) return Promise.resolve(undefined)
    const key = this.#order.shift()
    if (key !== undefined) return Promise.resolve(this.#handOut(key))
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  /** Ends the processing of a key; it is queued again if it was added meanwhile. */
  done(key: string): void {
    if (!this.#processing.delete(key)) return
    if (this.#dirty.has(key)) this.#enqueue(key)
    if (this.#processing.size === 0) this.#drainWaiters.splice(0).forEach((resolve) => resolve())
  }

  /** Hands out no more keys and forgets those that wait: a level-triggered caller lists again at its next start. */
  shutDown(): void {
    this.#stopped = true
    this.#order.length = 0
    this.#dirty.clear()
    this.#delayed.clear()
    this.#takers.splice(0).forEach((resolve) => resolve(undefined))
  }

  /** Resolves when no key is being processed. */
  drained(): Promise<void> {
    if (this.#processing.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#drainWaiters.push(resolve))
  }

  #enqueue(key: string): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#order.push(key)
    else taker(this.#handOut(key))
  }

  #handOut(key: string): string {
    this.#dirty.delete(key)
    this.#processing.add(key)
    return key
  }
}
