import { formatRedisAddress, type RedisAddress } from './address.ts'
import { NotPrimary, NotReady, Refused, WrongPassword, fromReply, replyCode } from './errors.ts'

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

export interface SessionOptions {
  readonly address: RedisAddress
  readonly name: string
  readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
  readonly Redis: RedisConstructor
  readonly connectTimeoutMs: number
  /** Gives an attempt up at once. */
  readonly signal: AbortSignal
}

/** One socket with its handshake done. It is never used again once lost. */
export interface Session {
  readonly lost: boolean
  send(args: readonly [string, ...RedisArg[]], buffers: boolean): Promise<unknown>
  /** An error that the server sent. */
  isReply(error: unknown): error is Error
  /** An error that says that nothing was written. */
  isUnsent(error: unknown): boolean
  onLost(listener: (error: Error) => void): void
  destroy(): void
}

/**
 * Connects, logs in, selects the db, names the connection, and makes sure that the server is a primary. The handshake is
 * done here and not by ioredis, which goes on in db 0 when SELECT is refused.
 * @throws WrongPassword, NotPrimary, Refused, NotReady, or the socket's error
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { signal } = options
  let timer: NodeJS.Timeout | undefined
  let abort: (() => void) | undefined
  const opening: { session?: Session } = {}
  try {
    return await Promise.race([
      open(options, opening),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new NotReady(`not connected within ${options.connectTimeoutMs} ms`))
        }, options.connectTimeoutMs)
        abort = () => reject(new NotReady('the connection was closed'))
        if (signal.aborted) abort()
        else signal.addEventListener('abort', abort)
      }),
    ])
  } catch (error) {
    opening.session?.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    if (abort !== undefined) signal.removeEventListener('abort', abort)
  }
}

async function open(options: SessionOptions, opening: { session?: Session }): Promise<Session> {
  const credentials = await options.credentials?.()
  const redis = new options.Redis({
    host: options.address.host,
    port: options.address.port,
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
  const session = makeSession(redis)
  opening.session = session
  const socketError = new Promise<never>((_, reject) => session.onLost(reject))
  socketError.catch(() => undefined)
  await Promise.race([redis.connect().catch(() => socketError), socketError])
  await Promise.race([handshake(session, options, credentials), socketError])
  return session
}

function makeSession(redis: RedisLike): Session {
  const listeners: ((error: Error) => void)[] = []
  let cause: Error | undefined
  let lostWith: Error | undefined
  const lose = (error: Error): void => {
    if (lostWith !== undefined) return
    lostWith = error
    for (const listener of listeners) listener(error)
  }
  redis.on('error', (error) => {
    cause ??= error
    // ioredis also reports a reply that nobody asked for here: after that no reply can be trusted.
    if (/queue state error|Protocol error/i.test(error?.message ?? '')) lose(error as Error)
  })
  const closed = (): void => lose(cause ?? new Error('the connection was closed by the other side'))
  redis.on('close', closed)
  redis.on('end', closed)
  return {
    get lost() {
      return lostWith !== undefined
    },
    send: ([command, ...args], buffers) => (buffers ? redis.callBuffer(command, args) : redis.call(command, args)),
    isReply: (error): error is Error => error instanceof Error && error.name === 'ReplyError',
    isUnsent: (error) => error instanceof Error && error.message.startsWith("Stream isn't writeable"),
    onLost: (listener) => {
      if (lostWith !== undefined) listener(lostWith)
      else listeners.push(listener)
    },
    destroy: () => {
      lostWith ??= cause ?? new Error('destroyed')
      const stream = redis.stream
      // RST, so that neither Node nor the kernel sends what is still buffered. After our own end it would fail and leak the handle.
      if (stream?.resetAndDestroy !== undefined && !stream.connecting && !stream.writableEnded) stream.resetAndDestroy()
      else stream?.destroy()
      redis.disconnect()
    },
  }
}

async function handshake(session: Session, options: SessionOptions, credentials: Credentials | undefined) {
  const ask = async (args: readonly [string, ...RedisArg[]]): Promise<unknown> => {
    try {
      return await session.send(args, false)
    } catch (error) {
      throw session.isReply(error) ? fromReply(error, false) : error
    }
  }
  if (credentials !== undefined) await logIn(ask, credentials)
  if (options.address.db !== 0) await ask(['SELECT', options.address.db])
  // A proxy may refuse names; the connection is as good without.
  await ask(['CLIENT', 'SETNAME', options.name]).catch((error: unknown) => {
    if (!(error instanceof Refused) || ['NOAUTH', 'MAXCLIENTS'].includes(error.redisCode)) throw noAuth(error)
  })
  const role = await readRole(ask)
  if (role !== 'master') throw new NotPrimary(formatRedisAddress(options.address), role)
}

async function logIn(ask: (args: readonly [string, ...RedisArg[]]) => Promise<unknown>, c: Credentials): Promise<void> {
  try {
    await ask(c.username === undefined || c.username === '' ? ['AUTH', c.password] : ['AUTH', c.username, c.password])
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (error.message.includes('without any password configured') || error.message.includes('no password is set'))
      return
    if (error.redisCode !== 'WRONGPASS' && !/invalid (username-)?password/i.test(error.message)) throw error
    const hint = /[\r\n]$/.test(c.password)
      ? ': the password ends with a newline (make the Secret with printf or --from-literal, not echo)'
      : ''
    const user = c.username === undefined || c.username === '' ? 'the default user' : `user "${c.username}"`
    throw new WrongPassword(`Redis refused the password of ${user}${hint}`, { cause: error })
  }
}

function noAuth(error: unknown): unknown {
  return error instanceof Refused && error.redisCode === 'NOAUTH'
    ? new WrongPassword('Redis asks for a password and none was given', { cause: error })
    : error
}

async function readRole(ask: (args: readonly [string, ...RedisArg[]]) => Promise<unknown>): Promise<string> {
  try {
    const info = String(await ask(['INFO', 'replication']))
    return /^role:(\w+)/m.exec(info)?.[1] ?? 'server without a role'
  } catch (error) {
    if (!(error instanceof Refused) || replyCode(error) !== 'NOPERM') throw noAuth(error)
  }
  try {
    const role = (await ask(['ROLE'])) as unknown[]
    return String(role[0])
  } catch (error) {
    if (!(error instanceof Refused) || replyCode(error) !== 'NOPERM') throw error
    throw new Refused('NOPERM', 'the Redis user may not ask for the role of the server: grant it +info')
  }
}
