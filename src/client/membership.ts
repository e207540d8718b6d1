import { performance } from 'node:perf_hooks'
import { LEASE_RENEW_MS, LEASE_TTL_MS } from '../protocol/control-keys.ts'
import type { Connection } from '../redis/connection.ts'
import { Refused } from '../redis/errors.ts'
import { releaseMember, renewMember, text } from '../redis/scripts.ts'
import type { Inflight } from './inflight.ts'
import type { Routing } from './routing.ts'
import { VERSION } from './version.ts'

// A deadline ends the connection for every call on it: long, but the lease must not lapse on it.
const RENEW_DEADLINE_MS = 9000
const RETRY_MS = 250

export interface MembershipOptions {
  readonly connection: Connection
  readonly inflight: Inflight
  readonly memberId: string
  readonly podUid: string
  readonly podName: string
  /** The routing in force. */
  readonly routing: () => Routing
  /** Called after each renewal with the fence that stands, undefined where there is none. */
  readonly onRenewed: (fence: number | undefined) => void
  readonly onFailed: (error: unknown) => void
}

/**
 * This process in Redis: a record without expiry and a lease with the epoch it runs. The lease says E only when nothing
 * begun under an older epoch is in flight. A renewal follows every change of the routing, the end of the last older
 * operation, and every reconnect.
 */
export class Membership {
  readonly #options: MembershipOptions
  readonly #hashes = new Map<number, string>()
  #illegal = { count: 0, example: '' }
  #reported: number | undefined
  #renewing: Promise<void> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: MembershipOptions) {
    this.#options = options
    options.inflight.onDrained(() => {
      if (this.#reported !== undefined && this.#reported < options.inflight.reportable(options.routing().epoch))
        this.renew()
    })
  }

  /** Counts an id that phase 1 will refuse; told to Redis with the next renewal. */
  illegalId(id: string): void {
    this.#illegal = { count: this.#illegal.count + 1, example: id.slice(0, 200) }
  }

  /** Renews soon: at once, or once more after the renewal under way. */
  renew(): void {
    if (this.#closed) return
    if (this.#renewing !== undefined) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#renewing = this.#renewOnce().then((ok) => {
      this.#renewing = undefined
      if (this.#closed) return
      if (this.#again) {
        this.#again = false
        this.renew()
        return
      }
      this.#timer = setTimeout(() => this.renew(), ok ? LEASE_RENEW_MS : RETRY_MS)
    })
  }

  /** Ends the lease; the record stays. Never rejects. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const { connection, memberId, routing } = this.#options
    if (connection.state !== 'ready') return
    const end = performance.now() + deadlineMs
    if (this.#renewing !== undefined) await within(this.#renewing, deadlineMs)
    const left = { deadlineMs: end - performance.now() }
    await releaseMember(connection, { keys: routing().keys, memberId, illegal: this.#illegal }, left).catch(
      (error: unknown) => this.#options.onFailed(error),
    )
  }

  async #renewOnce(): Promise<boolean> {
    const { connection, inflight, memberId, podUid, podName, routing } = this.#options
    const current = routing()
    this.#hashes.set(current.epoch, current.hash)
    const epoch = inflight.reportable(current.epoch)
    for (const old of this.#hashes.keys()) if (old < epoch) this.#hashes.delete(old)
    const illegal = this.#illegal
    try {
      const answer = await renewMember(
        connection,
        {
          keys: current.keys,
          memberId,
          epoch,
          hash: this.#hashes.get(epoch) ?? '',
          leaseMs: LEASE_TTL_MS,
          podUid,
          podName,
          version: VERSION,
          illegal,
        },
        { deadlineMs: RENEW_DEADLINE_MS },
      )
      if (answer.status !== 'OK')
        throw new Refused('NOPERM', `the Redis user of this client lacks the right to run ${text(answer.rest[0])}`)
      // What came in meanwhile stays for the next renewal; after an unknown outcome the count may be told twice, never less.
      this.#illegal = { count: this.#illegal.count - illegal.count, example: this.#illegal.example }
      this.#reported = epoch
      const fence = text(answer.rest[0])
      this.#options.onRenewed(fence === '' ? undefined : Number(fence))
      return true
    } catch (error) {
      this.#options.onFailed(error)
      return false
    }
  }
}

/** Waits for `work`, at most `limitMs`. */
async function within(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)))
  await Promise.race([work, limit])
  clearTimeout(timer)
}
