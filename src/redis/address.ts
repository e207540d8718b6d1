/** One end of the network. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** One Redis server; the db is always explicit. */
export interface RedisAddress extends HostPort {
  readonly db: number
  /** `rediss://`: TLS with whatever CAs the system trusts, where nothing more is said. */
  readonly tls?: true
}

/** A primary that moves: Sentinels say where it is. */
export interface SentinelGroup {
  readonly sentinels: readonly HostPort[]
  readonly masterName: string
  readonly db: number
}

export type RedisPlace = RedisAddress | SentinelGroup

export function isSentinelGroup(place: RedisPlace): place is SentinelGroup {
  return 'sentinels' in place
}

/**
 * Reads `redis://host:port/db`, `rediss://host:port/db`, or `redis-sentinel://host:port,host:port/db#master-name`.
 * @throws Error saying what to write instead; the text itself is not repeated, it may hold a password
 */
export function parseRedisPlace(text: string): RedisPlace {
  if (text.includes('@'))
    throw new Error('a Redis address never holds credentials: write redis://host:port/db and give credentials apart')
  const m = /^redis-sentinel:\/\/([^/]+)\/(\d{1,5})#([A-Za-z0-9._-]+)$/.exec(text)
  if (m === null) return parseRedisAddress(text)
  const sentinels = (m[1] ?? '').split(',').map((one) => parseSentinel(one))
  return { sentinels, masterName: m[3] ?? '', db: Number(m[2]) }
}

/** Reads `redis://host:port/db` or `rediss://host:port/db`. @throws Error as `parseRedisPlace` */
export function parseRedisAddress(text: string): RedisAddress {
  if (text.includes('@'))
    throw new Error('a Redis address never holds credentials: write redis://host:port/db and give credentials apart')
  const m = /^redis(s?):\/\/([^/]*)\/(\d{1,5})$/.exec(text)
  const end = parseHostPort(m?.[2] ?? '', 6379)
  if (m === null || end === undefined)
    throw new Error('a Redis address is redis://host:port/db, with the db written, for example redis://redis:6379/0')
  return { ...end, db: Number(m[3]), ...(m[1] === 's' ? { tls: true } : {}) }
}

/** Reads `host:port` of a Sentinel; without a port it is 26379. @throws Error saying what to write instead */
export function parseSentinel(text: string): HostPort {
  const end = parseHostPort(text, 26_379)
  if (end === undefined)
    throw new Error('the address of a Sentinel is host:port, for example redis-sentinel:26379, and no URL')
  return end
}

function parseHostPort(text: string, defaultPort: number): HostPort | undefined {
  const m = /^(\[[0-9A-Fa-f:.]+\]|[^/:@?#\s[\],]+)(?::(\d{1,5}))?$/.exec(text)
  const [host, port] = [m?.[1], Number(m?.[2] ?? defaultPort)]
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host: host.replace(/^\[|\]$/g, ''), port }
}

/** `host:port`, IPv6 in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The text that `parseRedisPlace` reads. */
export function formatRedisAddress(place: RedisPlace): string {
  return isSentinelGroup(place)
    ? `redis-sentinel://${place.sentinels.map(formatHostPort).join(',')}/${place.db}#${place.masterName}`
    : `redis${place.tls === true ? 's' : ''}://${formatHostPort(place)}/${place.db}`
}
