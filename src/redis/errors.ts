/**
 * What the caller may do next.
 * `safe`: nothing was done; the same call may be made again, after a pause.
 * `remembered`: it may have been done; a read may be made again, a write only with the `operationId` it had.
 * `decide`: nothing was done, because the job is not as the call supposed: read it, then decide again.
 * `never`: nothing was done, and the same call gets the same error.
 */
export type Retry = 'safe' | 'remembered' | 'decide' | 'never'

/**
 * Base of every error that the client throws on purpose. `code` and `retry` are stable, the message is for people. An
 * aborted call rejects with the reason of its signal instead.
 */
export abstract class KeyshiftError extends Error {
  readonly code: string
  abstract readonly retry: Retry
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/**
 * The command may have been sent and its answer is not known: the socket was cut, the deadline passed, or the answer
 * could not be trusted. It took effect once or not at all. Do not repeat a write blindly: read first, or give every try
 * the same `operationId`. Reads, and writes that had one, the client has repeated until the deadline already.
 */
export class UnknownOutcome extends KeyshiftError {
  override readonly retry = 'remembered'
  constructor(message: string, options?: { cause?: unknown }) {
    super('UNKNOWN_OUTCOME', message, options)
  }
}

/**
 * Nothing was sent within the deadline: there was no usable connection, or no routing; `cause` says why not. `retry` is
 * `never` once the client was closed.
 */
export class NotReady extends KeyshiftError {
  override readonly retry: Retry
  constructor(message: string, options?: { cause?: unknown; closed?: boolean }) {
    super('NOT_READY', message, options)
    this.retry = options?.closed === true ? 'never' : 'safe'
  }
}

/**
 * The fence stands above the epoch of the caller, and no newer routing document was seen before the deadline. Nothing
 * was done. If it stays, the ConfigMap does not reach this pod.
 */
export class StaleEpoch extends KeyshiftError {
  override readonly retry = 'safe'
  readonly epoch: number
  readonly fence: number
  constructor(epoch: number, fence: number) {
    super('STALE_EPOCH', `the routing of this process (epoch ${epoch}) is older than the fence in Redis (${fence})`)
    this.epoch = epoch
    this.fence = fence
  }
}

/**
 * Redis refused the command before it changed anything. `redisCode` is its code: OOM, NOREPLICAS, MISCONF (it may pass),
 * READONLY, LOADING, MASTERDOWN, BUSY, NOAUTH (the client tried again until the deadline already), MAXCLIENTS (ours: it
 * takes no more connections), NOPERM (the ACL user lacks the right that the message names), or another for plain
 * commands. `retry` is `never` for the last two.
 */
export class Refused extends KeyshiftError {
  readonly redisCode: string
  override readonly retry: Retry
  constructor(redisCode: string, message: string, options?: { cause?: unknown }) {
    super('REFUSED', message, options)
    this.redisCode = redisCode
    const passes = REFUSED_BEFORE_START.has(redisCode) || redisCode === 'MAXCLIENTS'
    this.retry = passes && redisCode !== 'NOPERM' ? 'safe' : 'never'
  }
}

/** AUTH was refused. The connection asks its credentials provider again at each attempt, so a rotated Secret heals it. */
export class WrongPassword extends KeyshiftError {
  override readonly retry = 'safe'
  constructor(message: string, options?: { cause?: unknown }) {
    super('WRONG_PASSWORD', message, options)
  }
}

/** The server is a replica: it lags and cannot be fenced. Tried again with backoff; by Sentinel, after asking it again. */
export class NotPrimary extends KeyshiftError {
  override readonly retry = 'safe'
  readonly role: string
  constructor(server: string, role: string, advice = 'give the address of the primary (not a reader endpoint)') {
    super('NOT_PRIMARY', `${server} is a ${role}, not a primary: ${advice}`)
    this.role = role
  }
}

/** TLS could not be agreed on; the message says with whom, why, and what to do. CA and certificate are asked for again at each attempt. */
export class TlsFailed extends KeyshiftError {
  override readonly retry = 'safe'
  constructor(message: string, options?: { cause?: unknown }) {
    super('TLS_FAILED', message, options)
  }
}

/** The Sentinels do not say where the primary is, or what they name cannot be used; the message says what to do. Tried again with backoff. */
export class SentinelFailed extends KeyshiftError {
  override readonly retry = 'safe'
  constructor(message: string, options?: { cause?: unknown }) {
    super('SENTINEL_FAILED', message, options)
  }
}

/** Codes with which Redis refuses a script before its first command. */
export const REFUSED_BEFORE_START: ReadonlySet<string> = new Set([
  'OOM',
  'NOREPLICAS',
  'READONLY',
  'LOADING',
  'BUSY',
  'NOPERM',
  'MISCONF',
  'NOAUTH',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'NOSCRIPT',
])

/** The code of a Redis error reply: its first word, and one of ours where Redis has none. */
export function replyCode(error: Error): string {
  if (/max number of clients/.test(error.message)) return 'MAXCLIENTS'
  return /^-?([A-Z][A-Z0-9]*)\b/.exec(error.message)?.[1] ?? 'ERR'
}

/** Turns an error reply into `Refused`, or into `UnknownOutcome` when a script failed after it had begun. */
export function fromReply(error: Error, inScript: boolean): KeyshiftError {
  const code = replyCode(error)
  // Scripts ask for their writes' rights before the first one, so what is refused in the middle is a read before it.
  if (/The user executing the script can't/.test(error.message))
    return new Refused(
      'NOPERM',
      `the Redis user lacks a right that the script needs (see docs/redis-users.md): ${error.message}`,
    )
  // The scripts' own word for a key of ours that is of another type: they look before they write.
  if (code === 'WRONGKIND') return new Refused('WRONGTYPE', error.message.replace(/^-?WRONGKIND /, ''))
  // Not as `cause`: ioredis hangs the arguments on its errors, and they hold passwords and values.
  if (!inScript || REFUSED_BEFORE_START.has(code)) return new Refused(code, error.message)
  return new UnknownOutcome(`a script failed half way: ${error.message}`)
}
