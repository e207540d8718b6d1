/** Where Redis is; the db is always explicit. */
export interface RedisAddress {
  readonly host: string
  readonly port: number
  readonly db: number
}

/**
 * Reads `redis://host:port/db`.
 * @throws Error saying what to write instead; the text itself is not repeated, it may hold a password
 */
export function parseRedisAddress(text: string): RedisAddress {
  if (text.includes('@'))
    throw new Error('a Redis address never holds credentials: write redis://host:port/db and give credentials apart')
  const m = /^redis:\/\/(\[[0-9A-Fa-f:.]+\]|[^/:@?#\s[\]]+)(?::(\d{1,5}))?\/(\d{1,5})$/.exec(text)
  const [host, port, db] = [m?.[1], Number(m?.[2] ?? 6379), Number(m?.[3])]
  if (host === undefined || port < 1 || port > 65535)
    throw new Error('a Redis address is redis://host:port/db, with the db written, for example redis://redis:6379/0')
  return { host: host.replace(/^\[|\]$/g, ''), port, db }
}

/** The text that `parseRedisAddress` reads. */
export function formatRedisAddress(a: RedisAddress): string {
  return `redis://${a.host.includes(':') ? `[${a.host}]` : a.host}:${a.port}/${a.db}`
}
