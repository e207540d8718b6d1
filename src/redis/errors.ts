/** Base of every error that the Redis parts and the client throw on purpose. `code` is stable, the message is for people. */
export class KeyshiftError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/**
 * The command may have been sent and its answer is not known: the socket was cut, the deadline passed, or the answer
 * could not be trusted. It took effect once or not at all. Do not repeat a write blindly: read first, or give every try
 * the same `operationId` (then the client has repeated it until the deadline already). Reads may be repeated.
 */
export class UnknownOutcome extends KeyshiftError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('UNKNOWN_OUTCOME', message, options)
  }
}

/** Nothing was sent: there is no usable connection (or no routing) yet. Safe to retry. `cause` says why not. */
export class NotReady extends KeyshiftError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('NOT_READY', message, options)
  }
}

/**
 * The fence stands above the epoch of the caller, and no newer routing document was seen before the deadline. Nothing
 * was done. Safe to retry; if it stays, the ConfigMap does not reach this pod.
 */
export class StaleEpoch extends KeyshiftError {
  readonly epoch: number
  readonly fence: number
  constructor(epoch: number, fence: number) {
    super('STALE_EPOCH', `the routing of this process (epoch ${epoch}) is older than the fence in Redis (${fence})`)
    this.epoch = epoch
    this.fence = fence
  }
}

/**
 * Redis refused the command before it changed anything. `redisCode` is its code: OOM, NOREPLICAS, MISCONF (retry later),
 * READONLY, LOADING, MASTERDOWN, BUSY, NOAUTH (retry: the connection finds the primary again), NOPERM (the ACL user lacks
 * the right that the message names: retrying does not help), MAXCLIENTS (ours: it takes no more connections), or another for
 * plain commands.
 */
export class Refused extends KeyshiftError {
  readonly redisCode: string
  constructor(redisCode: string, message: string, options?: { cause?: unknown }) {
    super('REFUSED', message, options)
    this.redisCode = redisCode
  }
}

/** AUTH was refused. The connection asks its credentials provider again at each attempt, so a rotated Secret heals it. */
export class WrongPassword extends KeyshiftError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('WRONG_PASSWORD', message, options)
  }
}

/** The server is a replica: it lags and cannot be fenced. Tried again with backoff; by Sentinel, after asking it again. */
export class NotPrimary extends KeyshiftError {
  readonly role: string
  constructor(server: string, role: string, advice = 'give the address of the primary (not a reader endpoint)') {
    super('NOT_PRIMARY', `${server} is a ${role}, not a primary: ${advice}`)
    this.role = role
  }
}

/** TLS could not be agreed on; the message says with whom, why, and what to do. CA and certificate are asked for again at each attempt. */
export class TlsFailed extends KeyshiftError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('TLS_FAILED', message, options)
  }
}

/** The Sentinels do not say where the primary is, or what they name cannot be used; the message says what to do. Tried again with backoff. */
export class SentinelFailed extends KeyshiftError {
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
  // Not as `cause`: ioredis hangs the arguments on its errors, and they hold passwords and values.
  if (!inScript || REFUSED_BEFORE_START.has(code)) return new Refused(code, error.message)
  return new UnknownOutcome(`a script failed half way: ${error.message}`)
}
