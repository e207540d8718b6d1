import { formatHostPort, type HostPort, type RedisAddress, type SentinelGroup } from './address.ts'
import type { KeyshiftError } from './errors.ts'
import { Refused, SentinelFailed, TlsFailed, WrongPassword, fromReply } from './errors.ts'
import { greet } from './handshake.ts'
import { openSocket, type Session, type SocketOptions } from './session.ts'

export interface SentinelsOptions extends Omit<SocketOptions, 'to' | 'connectTimeoutMs'> {
  readonly group: SentinelGroup
  readonly name: string
  /** Limit for the answer of one Sentinel, its connection included, ms. */
  readonly limitMs: number
}

/** Where the primary is, as the Sentinels see it. */
export interface Located {
  readonly address: RedisAddress
  /** Grows with each failover; 0 where the Sentinel does not tell it. */
  readonly configEpoch: number
}

/**
 * The Sentinels of one primary. All are asked at once, because one that was cut off goes on naming the old primary: of
 * different answers the one of the newest failover counts. Their connections are kept.
 */
export class Sentinels {
  readonly #options: SentinelsOptions
  readonly #sessions = new Map<HostPort, Promise<Session>>()

  /** Ends with `options.signal`. */
  constructor(options: SentinelsOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => {
      for (const session of this.#sessions.values()) session.then((open) => open.destroy()).catch(() => undefined)
    })
  }

  /**
   * Ends as soon as more than half of the Sentinels say the same; with `all` it waits for each one, and wants more than half.
   * @throws SentinelFailed, or TlsFailed where it is that alone, saying what each one answered
   */
  async locate({ all = false }: { readonly all?: boolean } = {}): Promise<Located> {
    const { sentinels, masterName } = this.#options.group
    const answers: Located[] = []
    const failures: { readonly sentinel: HostPort; readonly error: Error }[] = []
    const enough = (some: readonly unknown[]): boolean => some.length * 2 > sentinels.length
    await new Promise<void>((resolve) => {
      let open = sentinels.length
      const ended = (): void => {
        open -= 1
        if (open === 0 || (!all && answers.some((one) => enough(answers.filter((other) => isSame(one, other))))))
          resolve()
      }
      for (const sentinel of sentinels)
        this.#ask(sentinel)
          .then(
            (answer) => void answers.push(answer),
            (error: unknown) => void failures.push({ sentinel, error: error as Error }),
          )
          .finally(ended)
          .catch(() => undefined)
    })
    const newest = newestOf(answers)
    if (newest !== undefined && (!all || enough(answers))) return newest
    const which =
      newest === undefined ? 'no Sentinel says' : `only ${answers.length} of ${sentinels.length} Sentinels say`
    const said = failures.map(({ sentinel, error }) => `${formatHostPort(sentinel)}: ${inItsWords(error)}`)
    // Where nothing but TLS stands in the way, that is the reason.
    const Failure = failures.every(({ error }) => error instanceof TlsFailed) ? TlsFailed : SentinelFailed
    throw new Failure(`${which} where the primary "${masterName}" is: ${said.join('; ')}`)
  }

  /** Asks every `everyMs`, and gives `onAnswer` what they say, for as long as it answers true. */
  watch(everyMs: number, onAnswer: (now: Located | undefined) => boolean): void {
    const { signal } = this.#options
    let timer: NodeJS.Timeout | undefined
    const look = async (): Promise<void> => {
      // Unreachable Sentinels are no reason to leave a primary that works.
      const now = await this.locate().catch(() => undefined)
      if (!signal.aborted && onAnswer(now)) again()
      else signal.removeEventListener('abort', stop)
    }
    const again = (): void => void (timer = setTimeout(() => void look(), everyMs))
    const stop = (): void => clearTimeout(timer)
    signal.addEventListener('abort', stop)
    if (!signal.aborted) again()
  }

  async #ask(sentinel: HostPort): Promise<Located> {
    const session = await this.#session(sentinel)
    try {
      return await this.#askOn(session)
    } catch (error) {
      // One whose answer did not come is connected to anew the next time.
      if (session.lost) this.#sessions.delete(sentinel)
      throw error
    }
  }

  async #askOn(session: Session): Promise<Located> {
    const { masterName, db } = this.#options.group
    // In this order: a failover between the two then shows as the new primary under the old number, never the reverse.
    const [master, address] = await this.#answers(session, [
      ['SENTINEL', 'MASTER', masterName],
      ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName],
    ])
    if (address instanceof Error) throw explain(session, address)
    if (!Array.isArray(address))
      throw new SentinelFailed(
        `it watches no primary named "${masterName}"${await this.#known(session)}: correct masterName`,
      )
    const [host, port] = address as [string, string]
    return { address: { host, port: Number(port), db }, configEpoch: configEpochOf(master) }
  }

  /** Names that the Sentinel does watch, for a person who mistyped one. */
  async #known(session: Session): Promise<string> {
    const [masters] = await this.#answers(session, [['SENTINEL', 'MASTERS']])
    const names = Array.isArray(masters) ? masters.map((one) => field(one, 'name')).filter((name) => name !== '') : []
    return names.length === 0 ? '' : ` (it watches ${names.slice(0, 5).join(', ')})`
  }

  /** Replies or error replies to commands sent at once. @throws Error when the socket is lost, closed, or `limitMs` pass */
  async #answers(session: Session, commands: readonly (readonly [string, ...string[]])[]): Promise<readonly unknown[]> {
    const { limitMs, signal } = this.#options
    const cleanups: (() => void)[] = []
    try {
      return await new Promise<readonly unknown[]>((resolve, reject) => {
        const giveUp = (why: string): void => {
          session.destroy()
          reject(new SentinelFailed(why))
        }
        const timer = setTimeout(() => giveUp(`no answer within ${limitMs} ms`), limitMs)
        const abort = (): void => giveUp('the connection was closed')
        signal.addEventListener('abort', abort)
        const remove = session.onLost(reject)
        cleanups.push(
          remove,
          () => clearTimeout(timer),
          () => signal.removeEventListener('abort', abort),
        )
        const replies = commands.map((command) =>
          session.send(command, false).catch((error: unknown) => {
            if (session.isReply(error)) return error
            throw error
          }),
        )
        Promise.all(replies).then(resolve, reject)
      })
    } finally {
      for (const cleanup of cleanups) cleanup()
    }
  }

  #session(sentinel: HostPort): Promise<Session> {
    const known = this.#sessions.get(sentinel)
    if (known !== undefined) return known
    const forget = (): void => {
      if (this.#sessions.get(sentinel) === opening) this.#sessions.delete(sentinel)
    }
    const { group: _, name, limitMs, ...options } = this.#options
    const opening = openSocket({ ...options, to: sentinel, connectTimeoutMs: limitMs }, (ask, login) =>
      greet(ask, name, login),
    ).then((session) => {
      session.onLost(() => {
        forget()
        session.destroy()
      })
      return session
    })
    this.#sessions.set(sentinel, opening)
    opening.catch(forget)
    return opening
  }
}

/** Whether a failover took place after `before` was read, so that `now` names another primary. */
export function hasMoved(before: Located, now: Located): boolean {
  const newer = now.configEpoch > before.configEpoch || now.configEpoch === 0
  return newer && formatHostPort(now.address) !== formatHostPort(before.address)
}

function isSame(a: Located, b: Located): boolean {
  return a.configEpoch === b.configEpoch && formatHostPort(a.address) === formatHostPort(b.address)
}

/** Of equal epochs the answer that most give, then the first. */
function newestOf(answers: readonly Located[]): Located | undefined {
  const votes = (one: Located): number => answers.filter((other) => isSame(one, other)).length
  return [...answers].sort((a, b) => b.configEpoch - a.configEpoch || votes(b) - votes(a))[0]
}

function inItsWords(error: Error): string {
  if (!(error instanceof WrongPassword)) return error.message
  return `${error.message.replace(/^Redis/, 'it')} (its credentials are not those of Redis)`
}

function explain(session: Session, error: Error): KeyshiftError {
  const refused = session.isReply(error) ? fromReply(error, false) : undefined
  if (refused instanceof Refused && refused.redisCode === 'NOAUTH')
    return new WrongPassword('Redis asks for a password and none was given')
  if (refused instanceof Refused && refused.redisCode === 'NOPERM')
    return new SentinelFailed(
      `${refused.message}: grant the user +sentinel|master and +sentinel|get-master-addr-by-name`,
    )
  if (/unknown command/i.test(error.message))
    return new SentinelFailed(
      'it is no Sentinel: give the addresses of the Sentinels (port 26379 by default), not of Redis',
    )
  return new SentinelFailed(error.message)
}

function configEpochOf(master: unknown): number {
  const epoch = Number(field(master, 'config-epoch'))
  return Number.isSafeInteger(epoch) ? epoch : 0
}

/** A field of Sentinel's flat list of names and values, '' where it is missing. */
function field(list: unknown, name: string): string {
  if (!Array.isArray(list)) return ''
  const at = list.findIndex((one, i) => i % 2 === 0 && one === name)
  return at < 0 ? '' : String(list[at + 1])
}
