import { performance } from 'node:perf_hooks'
import { LEASE_RENEW_MS, LEASE_TTL_MS } from '../protocol/control-keys.ts'
import type { Connection } from '../redis/connection.ts'
import { NotReady, Refused } from '../redis/errors.ts'
import { releaseMember, renewMember, text } from '../redis/scripts.ts'
import type { Inflight } from './inflight.ts'
import type { Routing } from './routing.ts'
import { within } from './steps.ts'
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
  /** Illegal ids counted by this process, and how many of them Redis knows of. */
  #illegal = { met: 0, told: 0, example: '' }
  #reported: number | undefined
  /** Of the last renewal. */
  #failure: Error | undefined
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
    this.#illegal.met += 1
    this.#illegal.example = id.slice(0, 200)
  }

  /**
   * Counts an id that phase 1 will refuse and resolves once Redis has it: the step to phase 1 must find the count of every job that
   * was made, also of one whose maker dies before it has the answer. @throws NotReady
   */
  async tellIllegalId(id: string): Promise<void> {
    this.illegalId(id)
    const mark = this.#illegal.met
    // A renewal under way may have been sent without it.
    for (let round = 0; round < 2 && this.#illegal.told < mark; round += 1) {
      if (this.#renewing === undefined) this.renew()
      await this.#renewing
    }
    if (this.#illegal.told < mark)
      throw new NotReady(
        `the id could not be counted as one that phase 1 refuses: ${this.#failure?.message ?? 'the client closes'}`,
        { cause: this.#failure },
      )
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
    await releaseMember(connection, { keys: routing().keys, memberId, illegal: this.#untold() }, left).catch(
      (error: unknown) => this.#options.onFailed(error),
    )
  }

  #untold(): { count: number; example: string } {
    const { met, told, example } = this.#illegal
    return { count: met - told, example }
  }

  async #renewOnce(): Promise<boolean> {
    const { connection, inflight, memberId, podUid, podName, routing } = this.#options
    const current = routing()
    this.#hashes.set(current.epoch, current.hash)
    const epoch = inflight.reportable(current.epoch)
    for (const old of this.#hashes.keys()) if (old < epoch) this.#hashes.delete(old)
    const { met } = this.#illegal
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
          illegal: this.#untold(),
        },
        { deadlineMs: RENEW_DEADLINE_MS },
      )
      if (answer.status !== 'OK')
        throw new Refused('NOPERM', `the Redis user of this client lacks the right to run ${text(answer.rest[0])}`)
      // What came in meanwhile stays for the next renewal; after an unknown outcome the count may be told twice, never less.
      this.#illegal.told = met
      this.#reported = epoch
      this.#failure = undefined
      const fence = text(answer.rest[0])
      this.#options.onRenewed(fence === '' ? undefined : Number(fence))
      return true
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
      this.#options.onFailed(error)
      return false
    }
  }
}
