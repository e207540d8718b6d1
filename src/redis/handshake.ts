import { formatRedisAddress, type RedisAddress } from './address.ts'
import { NotPrimary, Refused, WrongPassword, replyCode } from './errors.ts'
import { openSocket, type Ask, type Credentials, type Session, type SocketOptions } from './session.ts'

export interface SessionOptions extends Omit<SocketOptions, 'to'> {
  readonly address: RedisAddress
  readonly name: string
}

/**
 * Connects, logs in, selects the db, names the connection, and makes sure that the server is a primary. The handshake is
 * done here and not by ioredis, which goes on in db 0 when SELECT is refused.
 * @throws WrongPassword, NotPrimary, TlsFailed, Refused, NotReady, or the socket's error
 */
export function openSession(options: SessionOptions): Promise<Session> {
  const { address, name } = options
  const tls = options.tls ?? (address.tls === true ? async () => ({}) : undefined)
  return openSocket({ ...options, to: address, tls }, async (ask, credentials) => {
    await greet(ask, name, credentials, address.db)
    const role = await readRole(ask)
    if (role !== 'master') throw new NotPrimary(formatRedisAddress(address), role)
  })
}

/** Logs in, selects the db, and names the connection. @throws WrongPassword, Refused, or the socket's error */
export async function greet(ask: Ask, name: string, credentials: Credentials | undefined, db = 0): Promise<void> {
  if (credentials !== undefined) await logIn(ask, credentials)
  if (db !== 0)
    await ask(['SELECT', db]).catch((error: unknown) => {
      throw noDb(error, db)
    })
  // A proxy may refuse names; the connection is as good without.
  await ask(['CLIENT', 'SETNAME', name]).catch((error: unknown) => {
    if (!(error instanceof Refused) || ['NOAUTH', 'MAXCLIENTS'].includes(error.redisCode)) throw noAuth(error)
  })
}

async function logIn(ask: Ask, c: Credentials): Promise<void> {
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

function noDb(error: unknown, db: number): unknown {
  if (!(error instanceof Refused) || error.redisCode !== 'ERR') return noAuth(error)
  return new Refused(
    'ERR',
    `db ${db} cannot be used there: ${error.message} (how many there are is \`databases\` of its configuration, 16 by default)`,
  )
}

function noAuth(error: unknown): unknown {
  return error instanceof Refused && error.redisCode === 'NOAUTH'
    ? new WrongPassword('Redis asks for a password and none was given', { cause: error })
    : error
}

async function readRole(ask: Ask): Promise<string> {
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
