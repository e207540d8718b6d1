import type { BackoffPolicy } from '../runtime/backoff.ts'
import { backoffDelay } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import type { KubeClient, Selection } from './client.ts'
import { KubeError, isTooManyRequests } from './errors.ts'
import { Store } from './store.ts'
import type { ChangeHandler } from './store.ts'
import type { KubeObject, ResourceType, WatchEvent } from './types.ts'

export interface ReflectorOptions<T extends KubeObject> extends Selection {
  readonly client: Pick<KubeClient, 'list' | 'watch'>
  readonly type: ResourceType
  readonly clock: Clock
  /** Told each change after the store holds it, in order. What it throws ends `run`. */
  readonly onChange?: ChangeHandler<T>
  /** Told each failed list or watch and the wait before the next try, ms. */
  readonly onError?: (error: unknown, retryInMs: number) => void
  readonly backoff?: BackoffPolicy
  /** Asked of the server; each watch gets up to 20 % less, so that many do not end together. 25 unless told. */
  readonly watchTimeoutSeconds?: number
  readonly random?: () => number
}

/** The cap keeps a change visible within half a minute of the server's return. */
const DEFAULT_WATCH_BACKOFF: BackoffPolicy = { initialMs: 500, maxMs: 10_000, factor: 2, jitter: 0.5 }
/** Nobody is blind for longer because a server, or a proxy before it, asks for an hour. */
const MAX_RETRY_AFTER_MS = 30_000
/** A watch that lived so long ends a row of failures. */
const HEALTHY_WATCH_MS = 10_000
/** A server that ends watches sooner than this, even cleanly, is backed off from like a failing one. */
const SHORTEST_WATCH_MS = 1000

/** Carries what `onChange` threw past the handling of API errors. */
class HandlerFailed extends Error {}

/**
 * Keeps a local copy of one resource type: list, then watch from there, one request at a time. A watch that ends or breaks goes
 * on from the last resourceVersion seen; when the server no longer has it (410) or refuses for another reason, everything is
 * listed again and compared, so no change is lost, deletions included.
 */
export class Reflector<T extends KubeObject> {
  readonly store: Store<T>
  readonly #options: ReflectorOptions<T>
  /** Where to watch from; undefined: list first. */
  #resourceVersion: string | undefined
  #failures = 0
  #hasSynced = false
  #lastActivity: number
  readonly #synced = Promise.withResolvers<void>()

  constructor(options: ReflectorOptions<T>) {
    this.#options = options
    this.store = new Store((key, before, after) => {
      try {
        options.onChange?.(key, before, after)
      } catch (cause) {
        throw new HandlerFailed('a change handler threw', { cause })
      }
    })
    this.#lastActivity = options.clock.monotonic()
  }

  /** True once the first complete list is in the store. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** Resolves when `hasSynced` becomes true. */
  get synced(): Promise<void> {
    return this.#synced.promise
  }

  /** `clock.monotonic()` of the last sign of life: a list, a watch event or bookmark, a watch that ran its time. */
  get lastActivity(): number {
    return this.#lastActivity
  }

  /** Works until `signal` aborts, then resolves. Rejects only with what `onChange` threw. Call once. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list(signal)
        else await this.#watch(this.#resourceVersion, signal)
      } catch (error) {
        if (error instanceof HandlerFailed) throw error.cause
        if (signal.aborted) return
        if (!(error instanceof KubeError)) throw error
        await this.#recover(error, signal)
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector } = this.#options
    const selection = { namespace, labelSelector, fieldSelector }
    const list = await client.list<T>(type, selection, { signal, retry: false, timeoutMs: 30_000 })
    this.#resourceVersion = list.resourceVersion
    this.#touch()
    this.store.replace(list.items)
    this.#hasSynced = true
    this.#synced.resolve()
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, clock, random = Math.random } = this.#options
    const timeoutSeconds = Math.ceil((this.#options.watchTimeoutSeconds ?? 25) * (1 - 0.2 * random()))
    const query = { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds }
    const opened = clock.monotonic()
    const lived = () => clock.monotonic() - opened
    try {
      for await (const event of client.watch<T>(type, query, signal)) this.#take(event)
    } finally {
      if (lived() >= Math.min(HEALTHY_WATCH_MS, timeoutSeconds * 500)) this.#failures = 0
    }
    if (lived() >= SHORTEST_WATCH_MS) return this.#touch()
    throw new KubeError({
      status: 0,
      reason: 'WatchCutShort',
      message: `WATCH ${type.plural}: ended after ${lived()} ms`,
    })
  }

  #take(event: WatchEvent<T>): void {
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion
    this.#touch()
    if (event.type === 'DELETED') this.store.remove(event.object)
    else if (event.type !== 'BOOKMARK') this.store.put(event.object)
  }

  async #recover(error: KubeError, signal: AbortSignal): Promise<void> {
    // an answer (410, a resourceVersion from before an etcd restore, 403, 5xx) casts doubt on what we hold; a lost connection does not
    if (error.status !== 0 && !isTooManyRequests(error)) this.#resourceVersion = undefined
    this.#failures++
    const { backoff = DEFAULT_WATCH_BACKOFF, random, clock, onError } = this.#options
    const retryInMs = Math.max(
      backoffDelay(backoff, this.#failures, random),
      Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS),
    )
    onError?.(error, retryInMs)
    await clock.sleep(retryInMs, signal)
  }

  #touch(): void {
    this.#lastActivity = this.#options.clock.monotonic()
  }
}
