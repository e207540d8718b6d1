import { formatHostPort, isSentinelGroup, type RedisPlace, type SentinelGroup } from './address.ts'
import { NotPrimary, SentinelFailed } from './errors.ts'
import { openSession, type SessionOptions } from './handshake.ts'
import { hasMoved, Sentinels, type Located } from './sentinels.ts'
import type { Credentials, Session } from './session.ts'

export interface PrimaryOptions extends Omit<SessionOptions, 'address'> {
  readonly address: RedisPlace
  readonly sentinelCredentials?: (() => Promise<Credentials | undefined>) | undefined
}

export interface Primary {
  /** Opens a socket to the primary, wherever it is now. @throws as `openSession`, SentinelFailed */
  open(): Promise<Session>
  /**
   * Resolves where the server of this session is still the primary in the eyes of more than half of the Sentinels; at once
   * without Sentinels. @throws NotPrimary, SentinelFailed
   */
  confirm(session: Session): Promise<void>
}

export function primaryOf(options: PrimaryOptions): Primary {
  const { address } = options
  return isSentinelGroup(address)
    ? new NamedPrimary(options, address)
    : { open: () => openSession({ ...options, address }), confirm: async () => undefined }
}

/** Longest wait for one Sentinel, ms: the others have answered long before. */
const SENTINEL_LIMIT_MS = 2000
/** How often the Sentinels are asked: a primary that lost its place may go on as if nothing had happened. */
const SENTINEL_EVERY_MS = 1000

/** A session is lost as soon as the Sentinels name another server. */
class NamedPrimary implements Primary {
  readonly #options: PrimaryOptions
  readonly #group: SentinelGroup
  readonly #sentinels: Sentinels
  readonly #named = new WeakMap<Session, Located>()

  constructor(options: PrimaryOptions, group: SentinelGroup) {
    const { sentinelCredentials: credentials, name, tls, Redis, connectTimeoutMs, signal } = options
    this.#options = options
    this.#group = group
    const limitMs = Math.min(connectTimeoutMs, SENTINEL_LIMIT_MS)
    this.#sentinels = new Sentinels({ group, name, tls, credentials, Redis, limitMs, signal })
  }

  async open(): Promise<Session> {
    const at = await this.#sentinels.locate()
    const attempt = new AbortController()
    let session: Session | undefined
    let movedTo: Located | undefined
    // While it connects, too: a server that is down may take the whole attempt not to answer.
    this.#sentinels.watch(SENTINEL_EVERY_MS, (now) => {
      if (attempt.signal.aborted || session?.lost === true) return false
      if (now === undefined || !hasMoved(at, now)) return true
      movedTo = now
      session?.abandon(moved(at, now))
      attempt.abort()
      return false
    })
    try {
      const signal = AbortSignal.any([this.#options.signal, attempt.signal])
      session = await openSession({ ...this.#options, address: at.address, signal })
    } catch (error) {
      attempt.abort()
      throw movedTo === undefined ? this.#explain(error, at) : moved(at, movedTo)
    }
    this.#named.set(session, at)
    return session
  }

  async confirm(session: Session): Promise<void> {
    const now = await this.#sentinels.locate({ all: true })
    const at = this.#named.get(session)
    if (at === undefined || !hasMoved(at, now)) return
    session.abandon(moved(at, now))
    throw moved(at, now)
  }

  /** An error of a server that Sentinels named says who named it, and what to do. */
  #explain(error: unknown, { address }: Located): unknown {
    const what = `the Sentinels name ${formatHostPort(address)} as the primary "${this.#group.masterName}"`
    if (error instanceof NotPrimary) return new NotPrimary(`${what}; it`, error.role, 'a failover may be under way')
    const code = String((error as NodeJS.ErrnoException).code)
    if (code !== 'ENOTFOUND' && code !== 'EAI_AGAIN') return error
    return new SentinelFailed(
      `${what}, which does not resolve here (${code}): let Redis announce an address that does (replica-announce-ip, sentinel announce-hostnames)`,
      { cause: error },
    )
  }
}

function moved(before: Located, now: Located): NotPrimary {
  const advice = `the Sentinels name ${formatHostPort(now.address)} now`
  return new NotPrimary(formatHostPort(before.address), 'former primary', advice)
}
