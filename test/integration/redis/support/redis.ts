import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { startRedis } from '../../../../hack/local/redis.ts'
import type { RedisConstructor } from '../../../../src/redis/connection.ts'

/** Both majors that the connection works with. */
export const MAJORS: readonly { readonly major: string; readonly Redis: RedisConstructor }[] = [
  { major: 'ioredis 6', Redis },
  { major: 'ioredis 5', Redis: Redis5 },
]

export interface TestRedis {
  readonly port: number
  readonly pid: number
  readonly address: string
  /** A connection of the test's own, to look at keys with. */
  readonly raw: Redis
  stop(): Promise<void>
}

export async function startTestRedis(args: readonly string[] = []): Promise<TestRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-redis-'))
  const server = await startRedis({ dir, args: ['--repl-diskless-sync-delay', '0', ...args] })
  const raw = new Redis({ host: '127.0.0.1', port: server.port })
  raw.on('error', () => undefined)
  return {
    port: server.port,
    pid: server.pid,
    address: `redis://127.0.0.1:${server.port}/0`,
    raw,
    stop: async () => {
      raw.disconnect()
      await server.stop('KILL')
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until `look` gives something other than false or undefined. */
export async function until<T>(what: string, look: () => T | Promise<T>, limitMs = 10_000): Promise<NonNullable<T>> {
  const end = Date.now() + limitMs
  for (;;) {
    const got = await look()
    if (got !== false && got !== 0 && got !== undefined && got !== null) return got
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
