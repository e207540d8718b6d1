import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { until } from './redis.ts'
import { startSentinels, type LocalSentinels, type SentinelOptions } from '../../../../hack/local/sentinel.ts'

export interface TestSentinels extends LocalSentinels {
  readonly dir: string
  /** A connection of the test's own to a server or Sentinel. */
  raw(port: number): Redis
  /** From now on nobody can make the server on `port` a replica: a failover leaves it behind, reachable and writable. */
  keepPrimary(port: number): Promise<void>
  /** It becomes a replica of the new one after all. */
  letGo(port: number): Promise<void>
}

export async function startTestSentinels(options: Omit<SentinelOptions, 'dir'> = {}): Promise<TestSentinels> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-sentinel-'))
  const group = await startSentinels({ ...options, dir })
  const raws = new Map<number, Redis>()
  const passwordOf = (port: number): string | undefined =>
    group.sentinels.some((one) => one.port === port) ? options.sentinelPassword : options.password
  const raw = (port: number): Redis => {
    const known = raws.get(port)
    if (known !== undefined) return known
    const password = passwordOf(port)
    const redis = new Redis({ host: '127.0.0.1', port, ...(password === undefined ? {} : { password }) })
    redis.on('error', () => undefined)
    raws.set(port, redis)
    return redis
  }
  // Sentinel turns a server in one MULTI that also cuts its clients: refused, none of it happens.
  const allowReplicaOf = (sign: '+' | '-') => async (port: number) =>
    void (await raw(port).call('ACL', 'SETUSER', 'default', `${sign}slaveof`, `${sign}replicaof`))
  return {
    ...group,
    dir,
    raw,
    keepPrimary: allowReplicaOf('-'),
    letGo: async (port) => {
      await allowReplicaOf('+')(port)
      // They would wait some 10 s before they say it once more.
      await raw(port).call('REPLICAOF', '127.0.0.1', await group.primary())
      await until(
        `${port} is a replica`,
        async () => (await raw(port).info('replication')).includes('role:slave'),
        30_000,
      )
    },
    stop: async () => {
      for (const redis of raws.values()) redis.disconnect()
      await group.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
