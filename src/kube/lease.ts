import { randomUUID } from 'node:crypto'
import type { Clock } from '../runtime/clock.ts'
import { withDeadline } from '../runtime/clock.ts'
import type { CallOptions, KubeClient } from './client.ts'
import { isAlreadyExists, isConflict, isNotFound } from './errors.ts'
import { LEASES } from './resources.ts'
import type { Lease, ObjectRef } from './types.ts'

export interface ElectorOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'mergePatch'>
  readonly clock: Clock
  readonly lease: ObjectRef & { readonly namespace: string }
  /** Unique to this process, see `leaderIdentity`: two holders of one identity would both lead. */
  readonly identity: string
  /** How long others wait after our last renewal; 15 000 ms unless told. */
  readonly leaseDurationMs?: number
  /** A leader that could not renew for so long gives up; below the duration; 10 000 ms unless told. */
  readonly renewDeadlineMs?: number
  /** Pause between tries; 2 000 ms unless told. */
  readonly retryPeriodMs?: number
  readonly random?: () => number
  /** `leadership` aborts the moment the lease is lost or `run` ends. Must not block. */
  readonly onStartedLeading: (leadership: AbortSignal) => void
  /** Must end the process: what still runs may write beside the next leader. */
  readonly onLost: (reason: string) => void
  /** Somebody else, or we, were seen to hold the lease; '' when it is free. */
  readonly onHolder?: (identity: string) => void
  /** A try that failed; the elector goes on. */
  readonly onError?: (error: unknown) => void
}

/** `dead`: lost the lease or stopped; it never leads again. */
export type ElectorStatus = 'competing' | 'leading' | 'dead'

/** `<host>_<uuid>`: a restarted pod keeps its name but must not take over its predecessor's lease unwaited. */
export function leaderIdentity(host: string): string {
  return `${host}_${randomUUID()}`
}

/**
 * Leader election on a Lease, as client-go does it. Times of other clocks are never compared with ours: a holder counts as gone when
 * its record has not changed for its lease duration on our own monotonic clock. Writes are locked by resourceVersion.
 */
export class LeaderElector {
  readonly #options: ElectorOptions
  readonly #leadership = new AbortController()
  readonly #durationMs: number
  readonly #renewDeadlineMs: number
  readonly #retryPeriodMs: number
  #status: ElectorStatus = 'competing'
  #observed: Lease | undefined
  #observedAt = 0
  /** The record as our last successful write left it; undefined once that is in doubt. */
  #ownWrite: Lease | undefined
  /** Monotonic time taken before the last successful write was sent: the server's copy is not older than that. */
  #renewedAt = 0
  #lastTry: number

  constructor(options: ElectorOptions) {
    this.#options = options
    this.#durationMs = options.leaseDurationMs ?? 15_000
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000
    this.#retryPeriodMs = options.retryPeriodMs ?? 2000
    this.#lastTry = options.clock.monotonic()
    if (this.#durationMs <= this.#renewDeadlineMs || this.#renewDeadlineMs <= this.#retryPeriodMs) {
      throw new RangeError('lease duration > renew deadline > retry period is needed')
    }
  }

  get status(): ElectorStatus {
    return this.#status
  }

  /** True only while the lease is certainly ours: also false in a process that slept past its renew deadline. */
  get isLeader(): boolean {
    return this.#status === 'leading' && this.#sinceRenewal() < this.#renewDeadlineMs
  }

  /** For liveness: it leads or competes, and its loop is moving. */
  get isAlive(): boolean {
    const silence = this.#options.clock.monotonic() - this.#lastTry
    return this.#status !== 'dead' && silence < this.#durationMs + this.#renewDeadlineMs
  }

  /** Who holds the lease as last seen; '' when it is free or was never read. */
  get holder(): string {
    return this.#observed?.spec?.holderIdentity ?? ''
  }

  /**
   * Competes, leads, renews. Abort `signal` only after the work of the leader has ended: it then gives the lease back, so that
   * the next leader need not wait, and resolves. A lost lease calls `onLost` and resolves too.
   */
  async run(signal: AbortSignal): Promise<void> {
    await this.#compete(signal)
    if (this.#status === 'leading') {
      this.#options.onStartedLeading(this.#leadership.signal)
      const lost = await this.#lead(signal)
      this.#status = 'dead'
      this.#leadership.abort(new Error(lost ?? 'stopped leading'))
      if (lost === undefined) await this.#release()
      else this.#options.onLost(lost)
    }
    this.#status = 'dead'
  }

  async #compete(signal: AbortSignal): Promise<void> {
    // candidates that started together must not try together
    const spread = () => 1 + 0.2 * (this.#options.random ?? Math.random)()
    while (!signal.aborted) {
      if (await this.#try(this.#renewDeadlineMs, signal)) {
        this.#status = 'leading'
        return
      }
      const pauseMs = this.#retryPeriodMs * spread()
      const freeInMs = this.#freeInMs()
      // A lease that runs out meanwhile is tried for at once: the time without a leader is not longer for the pause.
      await this.#options.clock.sleep(freeInMs > 0 ? Math.min(pauseMs, freeInMs) : pauseMs, signal)
    }
  }

  /** Renews until stopped (undefined) or lost (the reason). */
  async #lead(signal: AbortSignal): Promise<string | undefined> {
    const left = () => this.#renewDeadlineMs - this.#sinceRenewal()
    for (;;) {
      await this.#options.clock.sleep(Math.min(this.#retryPeriodMs, left()), signal)
      if (left() <= 0) return `not renewed for ${this.#renewDeadlineMs} ms`
      if (signal.aborted) return undefined
      // a stop lets the running renewal end: cut off half way, it would leave the release with a stale resourceVersion
      const renewed = await this.#try(left(), undefined)
      if (!renewed && this.holder !== this.#options.identity) return `taken over by "${this.holder}"`
    }
  }

  /** One try to take or keep the lease within `limitMs`; a failure is told to `onError` and is only a missed try. */
  async #try(limitMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    this.#lastTry = this.#options.clock.monotonic()
    try {
      return await withDeadline(this.#options.clock, limitMs, signal, (limited) => this.#acquireOrRenew(limited))
    } catch (error) {
      if (signal?.aborted !== true) this.#options.onError?.(error)
      return false
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { client, lease: ref } = this.#options
    const call = { signal, retry: false, timeoutMs: this.#renewDeadlineMs / 2 }
    const sentAt = this.#options.clock.monotonic()
    try {
      const current = await this.#currentRecord(call)
      if (!this.#isFree()) return false
      const patch = { metadata: { resourceVersion: current.metadata.resourceVersion }, spec: this.#claim(current) }
      this.#renewed(await client.mergePatch<Lease>(LEASES, ref, patch, call), sentAt)
      return true
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error)) return false
      if (!isNotFound(error)) throw error
    }
    const fresh: Lease = { metadata: { name: ref.name, namespace: ref.namespace }, spec: this.#claim(undefined) }
    try {
      this.#renewed(await client.create<Lease>(LEASES, fresh, call), sentAt)
      return true
    } catch (error) {
      if (isAlreadyExists(error)) return false
      throw error
    }
  }

  /** Our own last write, or what the server holds when others may have written since. */
  async #currentRecord(call: CallOptions): Promise<Lease> {
    const ours = this.#ownWrite
    this.#ownWrite = undefined
    if (ours !== undefined) return ours
    const current = await this.#options.client.get<Lease>(LEASES, this.#options.lease, call)
    this.#observe(current)
    return current
  }

  #observe(lease: Lease): void {
    if (lease.metadata.resourceVersion === this.#observed?.metadata.resourceVersion) return
    const before = this.holder
    this.#observed = lease
    this.#observedAt = this.#options.clock.monotonic()
    if (this.holder !== before) this.#options.onHolder?.(this.holder)
  }

  #renewed(lease: Lease, sentAt: number): void {
    this.#observe(lease)
    this.#ownWrite = lease
    this.#renewedAt = Math.max(this.#renewedAt, sentAt)
  }

  #isFree(): boolean {
    return this.#freeInMs() <= 0
  }

  /** Until the holder as last seen counts as gone, ms; 0 or less: it does. */
  #freeInMs(): number {
    const spec = this.#observed?.spec
    if (this.holder === '' || this.holder === this.#options.identity) return 0
    const promisedMs = (spec?.leaseDurationSeconds ?? this.#durationMs / 1000) * 1000
    return this.#observedAt + promisedMs - this.#options.clock.monotonic()
  }

  #claim(current: Lease | undefined): NonNullable<Lease['spec']> {
    const now = microTime(this.#options.clock.now())
    const ours = current?.spec?.holderIdentity === this.#options.identity
    const transitions = current?.spec?.leaseTransitions ?? 0
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#durationMs / 1000),
      renewTime: now,
      ...(ours ? {} : { acquireTime: now, leaseTransitions: current === undefined ? 0 : transitions + 1 }),
    }
  }

  /** Gives the lease back; a failure only means that the next leader waits its full duration. */
  async #release(): Promise<void> {
    const { client, lease: ref, clock } = this.#options
    const resourceVersion = this.#observed?.metadata.resourceVersion
    const now = microTime(clock.now())
    const spec = { holderIdentity: null, leaseDurationSeconds: 1, renewTime: now, acquireTime: now }
    try {
      const call = { retry: false, timeoutMs: this.#retryPeriodMs }
      await client.mergePatch(LEASES, ref, { metadata: { resourceVersion }, spec }, call)
    } catch (error) {
      this.#options.onError?.(error)
    }
  }

  #sinceRenewal(): number {
    return this.#options.clock.monotonic() - this.#renewedAt
  }
}

/** RFC 3339 with six digits of fraction, as the Lease's MicroTime fields require. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z')
}
