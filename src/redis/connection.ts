import { performance } from 'node:perf_hooks'
import { Redis as DefaultRedis } from 'ioredis'
import { formatRedisAddress, type RedisAddress } from './address.ts'
import type { KeyshiftError } from './errors.ts'
import { NotReady, UnknownOutcome, Refused, fromReply, replyCode } from './errors.ts'
import { SCRIPTS, type ScriptName } from './scripts.generated.ts'
import { openSession, type Credentials, type RedisArg, type RedisConstructor, type Session } from './session.ts'

export { parseRedisAddress, formatRedisAddress, type RedisAddress } from './address.ts'
export type { Credentials, RedisArg, RedisConstructor } from './session.ts'

export interface ConnectionOptions {
  readonly address: RedisAddress
  /** Name for CLIENT LIST: see CONNECTION_NAME. */
  readonly name: string
  /** Asked at every (re)connect, so that a rotated Secret is picked up. */
  readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
  /** ioredis 5.4 to 6; the installed one by default. */
  readonly Redis?: RedisConstructor | undefined
  /** Limit of one connection attempt with its handshake, ms. Default 5000. */
  readonly connectTimeoutMs?: number | undefined
  /** Backoff between attempts, ms: doubled from `minMs` to `maxMs`, then cut by up to a half at random. */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number } | undefined
}

export interface CallOptions {
  /** The call settles within this many ms, waiting for a connection included. */
  readonly deadlineMs: number
  /** Bulk replies as Buffer instead of text. */
  readonly buffers?: boolean | undefined
}

export type ConnectionState = 'idle' | 'connecting' | 'ready' | 'waiting' | 'closed'

interface Pending {
  readonly settle: (error: KeyshiftError) => void
}

/**
 * One connection to a Redis primary that never sends anything twice or late. Each socket has an ioredis instance of its
 * own that never reconnects: whatever was issued on it settles when it dies, and nothing of it can reach the next one.
 * A call ends with a reply, `Refused` (nothing done), `NotReady` (nothing sent), or `UnknownOutcome`.
 */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #pending = new Set<Pending>()
  readonly #waiters = new Set<() => void>()
  readonly #readyListeners = new Set<() => void>()
  readonly #stateListeners = new Set<(state: ConnectionState) => void>()
  #session: Session | undefined
  #state: ConnectionState = 'idle'
  readonly #closed = new AbortController()
  #generation = 0
  #failures = 0
  #retryTimer: NodeJS.Timeout | undefined
  #lastError: Error | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Counts the sockets: what a server process gave (a SCAN cursor) may mean nothing to the next one. */
  get generation(): number {
    return this.#generation
  }

  /** Why the last connection or attempt ended; undefined once connected. */
  get lastError(): Error | undefined {
    return this.#state === 'ready' ? undefined : this.#lastError
  }

  /** Starts connecting and keeps at it until `close`; calls do it by themselves. */
  connect(): void {
    if (this.#state === 'idle') void this.#attempt()
  }

  /** Called after each (re)connect. Returns the function that removes it. */
  onReady(listener: () => void): () => void {
    this.#readyListeners.add(listener)
    return () => this.#readyListeners.delete(listener)
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#stateListeners.add(listener)
    return () => this.#stateListeners.delete(listener)
  }

  /** @throws NotReady when there is no connection within `deadlineMs` */
  async ready(options: { deadlineMs: number }): Promise<void> {
    await this.#ready(performance.now() + options.deadlineMs)
  }

  /**
   * Sends one command.
   * @throws Refused, NotReady, UnknownOutcome
   */
  async call(args: readonly [string, ...RedisArg[]], options: CallOptions): Promise<unknown> {
    const end = performance.now() + options.deadlineMs
    return this.#send(await this.#ready(end), args, end, options, false)
  }

  /**
   * Runs a script by its hash, or by its source where the server does not know it yet (then nothing was done).
   * @throws Refused, NotReady, UnknownOutcome (also when the script failed half way)
   */
  async runScript(
    name: ScriptName,
    keys: readonly RedisArg[],
    args: readonly RedisArg[],
    options: CallOptions,
  ): Promise<unknown> {
    const end = performance.now() + options.deadlineMs
    const script = SCRIPTS[name]
    const tail = [keys.length, ...keys, ...args]
    try {
      return await this.#send(await this.#ready(end), ['EVALSHA', script.sha1, ...tail], end, options, true)
    } catch (error) {
      if (!(error instanceof Refused) || error.redisCode !== 'NOSCRIPT') throw error
    }
    return this.#send(await this.#ready(end), ['EVAL', script.source, ...tail], end, options, true)
  }

  /** Destroys the socket because its replies cannot be trusted; whatever is in flight becomes `UnknownOutcome`. */
  distrust(reason: string): void {
    if (this.#session !== undefined) this.#lose(this.#session, new Error(reason))
  }

  /** Ends the connection at once. Calls in flight become `UnknownOutcome`, later ones `NotReady`. Idempotent. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#closed.abort()
    clearTimeout(this.#retryTimer)
    const session = this.#session
    this.#setState('closed')
    this.#lastError = new Error('closed by the application')
    if (session !== undefined) this.#drop(session, 'the connection was closed')
    this.#wake()
  }

  async #ready(end: number): Promise<Session> {
    this.connect()
    for (;;) {
      if (this.#state === 'ready' && this.#session !== undefined) return this.#session
      const left = end - performance.now()
      if (this.#state === 'closed' || left <= 0) {
        const why = this.#lastError?.message ?? 'connecting'
        throw new NotReady(`no connection to ${formatRedisAddress(this.#options.address)}: ${why}`, {
          cause: this.#lastError,
        })
      }
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiters.delete(done)
          resolve()
        }
        const timer = setTimeout(done, Math.ceil(left))
        this.#waiters.add(done)
      })
    }
  }

  #send(
    session: Session,
    args: readonly [string, ...RedisArg[]],
    end: number,
    options: CallOptions,
    inScript: boolean,
  ): Promise<unknown> {
    const left = end - performance.now()
    if (left <= 0) return Promise.reject(new NotReady('the deadline passed before anything was sent'))
    return new Promise((resolve, reject) => {
      let settled = false
      const settle = (act: () => void): void => {
        if (settled) return
        settled = true
        clearTimeout(timer)
        this.#pending.delete(pending)
        act()
      }
      const pending: Pending = { settle: (error) => settle(() => reject(error)) }
      const timer = setTimeout(() => {
        // A late reply, or a command still in a buffer, must not outlive its caller: the socket goes with it.
        const message = `no reply to ${args[0]} within ${Math.round(options.deadlineMs)} ms`
        settle(() => reject(new UnknownOutcome(message)))
        this.#lose(session, new Error(message))
      }, Math.ceil(left))
      this.#pending.add(pending)
      session.send(args, options.buffers === true).then(
        (reply) => settle(() => resolve(reply)),
        (error: unknown) => {
          if (settled) return
          if (session.isReply(error)) {
            const refused = fromReply(error, inScript)
            settle(() => reject(refused))
            // This server is no primary any more, or knows us no longer: look for the primary again.
            if (['READONLY', 'NOAUTH', 'MASTERDOWN'].includes(replyCode(error))) this.#lose(session, refused)
            return
          }
          if (session.isUnsent(error)) settle(() => reject(new NotReady('the connection was just lost')))
          this.#lose(session, error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }

  async #attempt(): Promise<void> {
    this.#setState('connecting')
    try {
      const { Redis = DefaultRedis, connectTimeoutMs = 5000 } = this.#options
      const session = await openSession({ ...this.#options, Redis, connectTimeoutMs, signal: this.#closed.signal })
      if (this.#state === 'closed') {
        session.destroy()
        return
      }
      this.#session = session
      session.onLost((error) => this.#lose(session, error))
      if (session.lost) return
      this.#generation += 1
      this.#failures = 0
      this.#setState('ready')
      this.#wake()
      for (const listener of this.#readyListeners) listener()
    } catch (error) {
      this.#lastError = error instanceof Error ? error : new Error(String(error))
      this.#retryLater()
    }
  }

  #lose(session: Session, error: Error): void {
    if (session !== this.#session) {
      session.destroy()
      return
    }
    this.#lastError = error
    this.#drop(session, error.message)
    this.#retryLater()
  }

  #drop(session: Session, why: string): void {
    this.#session = undefined
    session.destroy()
    for (const pending of [...this.#pending])
      pending.settle(new UnknownOutcome(`the connection was lost before the reply: ${why}`))
  }

  #retryLater(): void {
    if (this.#state === 'closed') return
    const { minMs, maxMs } = this.#options.backoff ?? { minMs: 50, maxMs: 2000 }
    const delay = Math.min(maxMs, minMs * 2 ** this.#failures) * (1 - Math.random() / 2)
    this.#failures = Math.min(this.#failures + 1, 30)
    this.#setState('waiting')
    this.#retryTimer = setTimeout(() => void this.#attempt(), delay)
  }

  #setState(state: ConnectionState): void {
    this.#state = state
    for (const listener of this.#stateListeners) listener(state)
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter()
  }
}
