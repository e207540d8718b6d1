import { performance } from 'node:perf_hooks'
import { Redis as DefaultRedis } from 'ioredis'
import { formatRedisAddress, isSentinelGroup, type RedisPlace } from './address.ts'
import { NotReady, Refused } from './errors.ts'
import { Line, spareMs as spareOf } from './line.ts'
import { primaryOf, type Primary } from './primary.ts'
import { SCRIPTS, type ScriptName } from './scripts.generated.ts'
import type { Credentials, RedisArg, RedisConstructor } from './session.ts'
import type { TlsOptions } from './tls.ts'

export {
  parseRedisAddress,
  parseRedisPlace,
  formatRedisAddress,
  type RedisAddress,
  type RedisPlace,
} from './address.ts'
export type { Credentials, RedisArg, RedisConstructor } from './session.ts'
export type { TlsOptions } from './tls.ts'

export interface ConnectionOptions {
  /** The primary, or the Sentinels that say where it is: these are asked at every (re)connect, and while connected. */
  readonly address: RedisPlace
  /** Name for CLIENT LIST: see CONNECTION_NAME. */
  readonly name: string
  /** Asked at every (re)connect, so that a rotated Secret is picked up. */
  readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
  /** Credentials for the Sentinels themselves, likewise. */
  readonly sentinelCredentials?: (() => Promise<Credentials | undefined>) | undefined
  /** TLS, for Redis and for its Sentinels; likewise, so that a new CA is picked up. */
  readonly tls?: (() => Promise<TlsOptions>) | undefined
  /** ioredis 5.4 to 6; the installed one by default. */
  readonly Redis?: RedisConstructor | undefined
  /** Limit of one connection attempt with its handshake, ms. Default 5000. */
  readonly connectTimeoutMs?: number | undefined
  /** A socket that has owed a reply for this long gets no new calls, ms. Default 1000. */
  readonly silentMs?: number | undefined
  /** Backoff between attempts, ms: doubled from `minMs` to `maxMs`, then cut by up to a half at random. */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number } | undefined
}

export interface CallOptions {
  /** The call settles within this many ms, waiting for a connection included. */
  readonly deadlineMs: number
  /** Bulk replies as Buffer instead of text. */
  readonly buffers?: boolean | undefined
  /** It changes nothing, so that its deadline ends this call alone. */
  readonly read?: boolean | undefined
  /** A write is not sent with less than this left, ms. Default: `spareMs` of its deadline. */
  readonly spareMs?: number | undefined
}

export type ConnectionState = 'idle' | 'connecting' | 'ready' | 'waiting' | 'closed'

/**
 * One connection to a Redis primary that never sends anything twice or late. Each socket has an ioredis instance of its
 * own that never reconnects: whatever was issued on it settles when it dies, and nothing of it can reach the next one.
 * A call ends with a reply, `Refused` (nothing done), `NotReady` (nothing sent), or `UnknownOutcome`.
 *
 * A write's deadline destroys its socket, with all that is in flight there. So none is added while the socket is silent:
 * writes wait until it answers again or another one does. Those in flight keep their deadlines; reads are asked again there.
 */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #primary: Primary
  readonly #silentMs: number
  /** Silent, with another one being opened. */
  #suspect: Line | undefined
  /** Given up; they still have calls in flight. */
  readonly #retired = new Set<Line>()
  readonly #waiters = new Set<() => void>()
  readonly #readyListeners = new Set<() => void>()
  readonly #stateListeners = new Set<(state: ConnectionState) => void>()
  #line: Line | undefined
  #state: ConnectionState = 'idle'
  readonly #closed = new AbortController()
  #generation = 0
  #failures = 0
  #attempting = false
  #retryTimer: NodeJS.Timeout | undefined
  #lastError: Error | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#silentMs = options.silentMs ?? 1000
    const { Redis = DefaultRedis, connectTimeoutMs = 5000 } = options
    this.#primary = primaryOf({ ...options, Redis, connectTimeoutMs, signal: this.#closed.signal })
  }

  /** Sentinels say where the primary is. */
  get hasSentinels(): boolean {
    return isSentinelGroup(this.#options.address)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Counts the sockets: what a server process gave (a SCAN cursor) may mean nothing to the next one. */
  get generation(): number {
    return this.#generation
  }

  /** Why the last connection or attempt ended, or why this one is no good; undefined while all is well. */
  get lastError(): Error | undefined {
    if (this.#state !== 'ready') return this.#lastError
    return (this.#line?.silentMs ?? 0) < this.#silentMs ? undefined : this.#silence()
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
    return this.#send(args, performance.now() + options.deadlineMs, options, false)
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
      return await this.#send(['EVALSHA', script.sha1, ...tail], end, options, true)
    } catch (error) {
      if (!(error instanceof Refused) || error.redisCode !== 'NOSCRIPT') throw error
    }
    return this.#send(['EVAL', script.source, ...tail], end, options, true)
  }

  /**
   * Resolves where the Sentinels, more than half of them, still name the server of this connection as the primary; at once
   * without Sentinels. A primary that a failover left behind takes writes like any other until it learns of it.
   * @throws NotPrimary, SentinelFailed, NotReady
   */
  async confirmPrimary(options: CallOptions): Promise<void> {
    const { session } = await this.#ready(performance.now() + options.deadlineMs)
    await this.#primary.confirm(session)
  }

  /** Destroys every socket because a reply cannot be trusted; whatever is in flight becomes `UnknownOutcome`. */
  distrust(reason: string): void {
    for (const line of this.#lines()) this.#lose(line, new Error(reason))
  }

  /** Ends the connection at once. Calls in flight become `UnknownOutcome`, later ones `NotReady`. Idempotent. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#closed.abort()
    clearTimeout(this.#retryTimer)
    const lines = this.#lines()
    this.#line = this.#suspect = undefined
    this.#setState('closed')
    this.#lastError = new Error('closed by the application')
    for (const line of lines) line.end('the connection was closed')
    this.#wake()
  }

  async #ready(end: number, read = false): Promise<Line> {
    this.connect()
    for (;;) {
      if (this.#state === 'ready' && this.#line !== undefined) {
        const line = this.#line
        if (line.silentMs < this.#silentMs) return line
        // A turn later: after a busy event loop the reply may be there, not yet read.
        await new Promise((resolve) => setImmediate(resolve))
        if (line === this.#line && line.silentMs >= this.#silentMs) this.#doubt(line)
        continue
      }
      if (read && this.#suspect !== undefined) return this.#suspect
      const left = end - performance.now()
      if (this.#state === 'closed' || left <= 0) {
        const why = this.#lastError?.message ?? 'connecting'
        throw new NotReady(`no connection to ${formatRedisAddress(this.#options.address)}: ${why}`, {
          cause: this.#lastError,
          closed: this.#state === 'closed',
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

  async #send(
    args: readonly [string, ...RedisArg[]],
    end: number,
    { deadlineMs, buffers = false, read = false, spareMs = spareOf(deadlineMs) }: CallOptions,
    inScript: boolean,
  ): Promise<unknown> {
    const line = await this.#ready(end, read)
    return line.send({ args, end, deadlineMs, buffers, read, spareMs, inScript })
  }

  async #attempt(): Promise<void> {
    this.#setState('connecting')
    if (this.#attempting) return
    this.#attempting = true
    try {
      const session = await this.#primary.open()
      // Closed, or the silent one has answered meanwhile.
      if (this.#state === 'closed' || this.#line !== undefined) {
        session.destroy()
        return
      }
      if (session.lost) throw new Error('the connection was lost during its handshake')
      const line = new Line(session, (error) => this.#lose(line, error))
      this.#line = line
      this.#generation += 1
      this.#failures = 0
      this.#setState('ready')
      this.#wake()
      // The server answers here, and there it still does not.
      this.#suspect?.releaseReads('it has fallen silent')
      this.#retire()
      for (const listener of this.#readyListeners) listener()
    } catch (error) {
      if (this.#line !== undefined) return
      this.#lastError = error instanceof Error ? error : new Error(String(error))
      this.#retire()
      this.#retryLater()
    } finally {
      this.#attempting = false
    }
  }

  #silence(): Error {
    return new Error(`no reply from Redis for ${this.#silentMs} ms`)
  }

  #lines(): readonly Line[] {
    return [this.#line, this.#suspect, ...this.#retired].filter((line) => line !== undefined)
  }

  /** No writes go there until it answers; another one is opened meanwhile. */
  #doubt(line: Line): void {
    this.#line = undefined
    this.#suspect = line
    this.#lastError = this.#silence()
    line.whenHeard(() => {
      if (line !== this.#suspect || this.#line !== undefined) return
      this.#suspect = undefined
      this.#line = line
      clearTimeout(this.#retryTimer)
      this.#setState('ready')
      this.#wake()
    })
    void this.#attempt()
  }

  /** The silent one gets no calls any more, and ends once nobody waits for it. */
  #retire(): void {
    const line = this.#suspect
    if (line === undefined) return
    this.#suspect = undefined
    this.#retired.add(line)
    line.whenIdle(() => this.#lose(line, new Error('it was given up')))
  }

  #lose(line: Line, error: Error): void {
    const current = line === this.#line
    if (current) {
      this.#line = undefined
      this.#lastError = error
    }
    if (line === this.#suspect) this.#suspect = undefined
    this.#retired.delete(line)
    line.end(error.message)
    if (current) this.#retryLater()
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
