import { formatHostPort, type HostPort } from './address.ts'
import { KeyshiftError, NotReady, fromReply } from './errors.ts'
import { isTlsAlert, openSecureSocket, tlsTrouble, type SecureSocket, type TlsOptions } from './tls.ts'

export type RedisArg = string | number | Buffer

export interface Credentials {
  /** Omitted for the default user. */
  readonly username?: string | undefined
  readonly password: string
}

/** The part of ioredis that is used, the same in 5.4 to 6. */
export interface RedisLike {
  readonly stream:
    | {
        readonly connecting: boolean
        readonly writableEnded: boolean
        destroy(): unknown
        resetAndDestroy?: () => unknown
      }
    | undefined
  connect(): Promise<unknown>
  disconnect(): void
  call(command: string, args: RedisArg[]): Promise<unknown>
  callBuffer(command: string, args: RedisArg[]): Promise<unknown>
  on(event: string, listener: (error?: Error) => void): unknown
}
// `any` lets the constructors of both majors pass; every option it gets is written below.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type RedisConstructor = new (options: any) => any

/** Where a socket leads, and what it needs before its first command. */
export interface SocketOptions {
  readonly to: HostPort
  /** Asked at every attempt, so that a new CA is picked up; undefined: no TLS. */
  readonly tls?: (() => Promise<TlsOptions>) | undefined
  readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
  readonly Redis: RedisConstructor
  readonly connectTimeoutMs: number
  /** Gives an attempt up at once. */
  readonly signal: AbortSignal
}

/** Sends one command of a handshake. @throws Refused, or the socket's error */
export type Ask = (args: readonly [string, ...RedisArg[]]) => Promise<unknown>

/** One socket with its handshake done. It is never used again once lost. */
export interface Session {
  readonly lost: boolean
  send(args: readonly [string, ...RedisArg[]], buffers: boolean): Promise<unknown>
  /** An error that the server sent. */
  isReply(error: unknown): error is Error
  /** An error that says that nothing was written. */
  isUnsent(error: unknown): boolean
  /** Returns the function that removes the listener. */
  onLost(listener: (error: Error) => void): () => void
  /** Destroys it and tells the listeners why. */
  abandon(error: Error): void
  destroy(): void
}

/** What is said before the first command of anyone else: login, db, name. */
export type Greeting = (ask: Ask, credentials: Credentials | undefined) => Promise<void>

/**
 * Connects, and greets the server.
 * @throws TlsFailed, NotReady, the socket's error, or what `greet` throws
 */
export async function openSocket(options: SocketOptions, greet: Greeting): Promise<Session> {
  const { signal } = options
  let timer: NodeJS.Timeout | undefined
  let abort: (() => void) | undefined
  const opening: Opening = {}
  try {
    return await Promise.race([
      open(options, opening, greet),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(opening.late ?? new NotReady(`not connected within ${options.connectTimeoutMs} ms`))
        }, options.connectTimeoutMs)
        abort = () => reject(new NotReady('the connection was closed'))
        if (signal.aborted) abort()
        else signal.addEventListener('abort', abort)
      }),
    ])
  } catch (error) {
    opening.failed = true
    opening.destroy?.()
    throw error
  } finally {
    clearTimeout(timer)
    if (abort !== undefined) signal.removeEventListener('abort', abort)
  }
}

interface Opening {
  destroy?: () => void
  failed?: true
  /** What it means that nothing comes any more. */
  late?: Error | undefined
}

async function open(options: SocketOptions, opening: Opening, greet: Greeting): Promise<Session> {
  const [credentials, tls] = await Promise.all([options.credentials?.(), options.tls?.()])
  if (opening.failed === true) throw new NotReady('given up')
  const secure = tls === undefined ? undefined : await openSecureSocket(options.to, tls, opening)
  const redis = new options.Redis({
    host: options.to.host,
    port: options.to.port,
    ...(secure === undefined ? {} : { Connector: connectorOf(secure) }),
    lazyConnect: true,
    connectTimeout: options.connectTimeoutMs,
    retryStrategy: null,
    maxRetriesPerRequest: null,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    enableReadyCheck: false,
    disableClientInfo: true,
    // Its timer would keep the process alive for 2 s after each lost socket.
    disconnectTimeout: 1,
    protocol: 2,
  }) as RedisLike
  const session = makeSession(redis, options.to, secure, tls)
  opening.destroy = () => session.destroy()
  const socketError = new Promise<never>((_, reject) => session.onLost(reject))
  socketError.catch(() => undefined)
  let answered = false
  const ask: Ask = async (args) => {
    try {
      const reply = await session.send(args, false)
      answered = true
      return reply
    } catch (error) {
      answered ||= session.isReply(error)
      throw session.isReply(error) ? fromReply(error, false) : error
    }
  }
  await Promise.race([redis.connect().catch(() => socketError), socketError])
  try {
    await Promise.race([greet(ask, credentials), socketError])
  } catch (error) {
    throw answered || tls !== undefined ? error : cutUnheard(error as Error, options.to)
  }
  return session
}

/** A TLS port hangs up on whoever speaks plainly. */
function cutUnheard(error: Error, to: HostPort): Error {
  if (error instanceof KeyshiftError) return error
  const hint = 'if that is its TLS port, give redis.tls (or rediss://)'
  return new NotReady(`${formatHostPort(to)} hung up before it answered anything (${error.message}): ${hint}`, {
    cause: error,
  })
}

/** Hands ioredis a socket that is connected already. */
function connectorOf(secure: SecureSocket) {
  return class {
    readonly firstError = undefined
    connect = async () => secure.stream
    check = () => true
    disconnect = (): void => secure.reset()
  }
}

function makeSession(
  redis: RedisLike,
  to: HostPort,
  secure: SecureSocket | undefined,
  tls: TlsOptions | undefined,
): Session {
  const listeners = new Set<(error: Error) => void>()
  let cause: Error | undefined
  let lostWith: Error | undefined
  const lose = (error: Error): void => {
    if (lostWith !== undefined) return
    lostWith = error
    for (const listener of listeners) listener(error)
  }
  redis.on('error', (raw) => {
    const error = raw !== undefined && tls !== undefined && isTlsAlert(raw) ? tlsTrouble(raw, to, tls) : raw
    cause ??= error
    // ioredis also reports a reply that nobody asked for here: after that no reply can be trusted.
    if (/queue state error|Protocol error/i.test(error?.message ?? '')) lose(error as Error)
  })
  const closed = (): void => lose(cause ?? new Error('the connection was closed by the other side'))
  redis.on('close', closed)
  redis.on('end', closed)
  const session: Session = {
    get lost() {
      return lostWith !== undefined
    },
    abandon: (error) => {
      lose(error)
      session.destroy()
    },
    send: ([command, ...args], buffers) => (buffers ? redis.callBuffer(command, args) : redis.call(command, args)),
    isReply: (error): error is Error => error instanceof Error && error.name === 'ReplyError',
    isUnsent: (error) => error instanceof Error && error.message.startsWith("Stream isn't writeable"),
    onLost: (listener) => {
      if (lostWith !== undefined) listener(lostWith)
      else listeners.add(listener)
      return () => listeners.delete(listener)
    },
    destroy: () => {
      lostWith ??= cause ?? new Error('destroyed')
      if (secure !== undefined) {
        secure.reset()
        return redis.disconnect()
      }
      const stream = redis.stream
      // RST, so that neither Node nor the kernel sends what is still buffered. After our own end it would fail and leak the handle.
      if (stream?.resetAndDestroy !== undefined && !stream.connecting && !stream.writableEnded) stream.resetAndDestroy()
      else stream?.destroy()
      redis.disconnect()
    },
  }
  return session
}
