import { performance } from 'node:perf_hooks'
import { NotReady, UnknownOutcome, fromReply, replyCode, type KeyshiftError } from './errors.ts'
import type { RedisArg, Session } from './session.ts'

export interface LineCall {
  readonly args: readonly [string, ...RedisArg[]]
  /** When the call settles at the latest, as `performance.now()`. */
  readonly end: number
  readonly deadlineMs: number
  readonly buffers: boolean
  readonly read: boolean
  /** See `CallOptions`. */
  readonly spareMs: number
  readonly inScript: boolean
}

interface Pending {
  readonly read: boolean
  readonly settle: (error: KeyshiftError) => void
}

/** A write that waited is not sent with less than this left of its deadline, ms: it would only end the socket. */
export const spareMs = (deadlineMs: number): number => Math.min(50, deadlineMs / 10)

/** The server is no primary any more, or knows us no longer: the primary must be looked for again. */
export const LOOK_AGAIN: readonly string[] = ['READONLY', 'NOAUTH', 'MASTERDOWN']

/**
 * One socket and the calls on it. A write that passed its deadline takes the socket with it, for its bytes may still lie in
 * a buffer on the way; a read does no harm later, so it leaves alone.
 */
export class Line {
  readonly session: Session
  readonly #onLost: (error: Error) => void
  readonly #pending = new Set<Pending>()
  #onIdle: (() => void) | undefined
  #onHeard: (() => void) | undefined
  // Replies that are still to come, also those that nobody waits for any more.
  #owed = 0
  #heardAt = 0

  /** `onLost`: the socket is lost, or must be given up; the owner then calls `end`. */
  constructor(session: Session, onLost: (error: Error) => void) {
    this.session = session
    this.#onLost = onLost
    session.onLost(onLost)
  }

  /** For how long the server has owed a reply without giving any, ms. */
  get silentMs(): number {
    return this.#owed === 0 ? 0 : performance.now() - this.#heardAt
  }

  /** @throws Refused, NotReady, UnknownOutcome */
  send(call: LineCall): Promise<unknown> {
    const left = call.end - performance.now()
    if (left <= (call.read ? 0 : call.spareMs))
      return Promise.reject(new NotReady('the deadline passed before anything was sent'))
    return new Promise((resolve, reject) => {
      let settled = false
      const settle = (act: () => void): void => {
        if (settled) return
        settled = true
        clearTimeout(timer)
        this.#pending.delete(pending)
        act()
        if (this.#pending.size === 0) this.#onIdle?.()
      }
      const pending: Pending = { read: call.read, settle: (error) => settle(() => reject(error)) }
      const expire = (): void => {
        if (settled) return
        const message = `no reply to ${call.args[0]} within ${Math.round(call.deadlineMs)} ms`
        settle(() => reject(new UnknownOutcome(message)))
        if (!call.read) this.#onLost(new Error(message))
      }
      // A turn later: after a busy event loop the reply may be there, not yet read.
      const timer = setTimeout(() => setImmediate(expire), Math.ceil(left))
      this.#pending.add(pending)
      this.#transmit(call).then(
        (reply) => settle(() => resolve(reply)),
        (error: unknown) => {
          if (settled) return
          if (this.session.isReply(error)) {
            const refused = fromReply(error, call.inScript)
            settle(() => reject(refused))
            if (LOOK_AGAIN.includes(replyCode(error))) this.#onLost(refused)
            return
          }
          if (this.session.isUnsent(error)) settle(() => reject(new NotReady('the connection was just lost')))
          this.#onLost(error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }

  /** Calls `listener` with the next reply. */
  whenHeard(listener: () => void): void {
    this.#onHeard = listener
  }

  /** Calls `listener` once nobody waits for a reply any more, at once if that is so. */
  whenIdle(listener: () => void): void {
    this.#onIdle = listener
    if (this.#pending.size === 0) listener()
  }

  /** Ends the reads in flight with `UnknownOutcome`, so that they can be asked again elsewhere. */
  releaseReads(why: string): void {
    for (const pending of [...this.#pending])
      if (pending.read) pending.settle(new UnknownOutcome(`no reply from this connection: ${why}`))
  }

  /** Destroys the socket. Calls in flight become `UnknownOutcome`. */
  end(why: string): void {
    this.#onIdle = this.#onHeard = undefined
    this.session.destroy()
    for (const pending of [...this.#pending])
      pending.settle(new UnknownOutcome(`the connection was lost before the reply: ${why}`))
  }

  async #transmit({ args, buffers }: LineCall): Promise<unknown> {
    if (this.#owed === 0) this.#heardAt = performance.now()
    this.#owed += 1
    try {
      const reply = await this.session.send(args, buffers)
      this.#heard()
      return reply
    } catch (error) {
      if (this.session.isReply(error)) this.#heard()
      throw error
    } finally {
      this.#owed -= 1
    }
  }

  #heard(): void {
    this.#heardAt = performance.now()
    const listener = this.#onHeard
    this.#onHeard = undefined
    listener?.()
  }
}
