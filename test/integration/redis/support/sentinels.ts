import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { until } from './redis.ts'
import { startSentinels, type LocalSentinels, type SentinelOptions } from '../../../../hack/local/sentinel.ts'

export interface TestSentinels extends LocalSentinels {
  readonly dir: string
  /** A connection of the test's own to a server or Sentinel. */
  raw(port: number, db?: number): Redis
  /** Gives the Sentinels another password and cuts whoever is connected under one of these names. */
  rotate(password: string, names: RegExp): Promise<void>
  /** From now on nobody can make the server on `port` a replica: a failover leaves it behind, reachable and writable. */
  keepPrimary(port: number): Promise<void>
  /** It becomes a replica of the new one after all. */
  letGo(port: number): Promise<void>
}

export async function startTestSentinels(options: Omit<SentinelOptions, 'dir'> = {}): Promise<TestSentinels> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-sentinel-'))
  const group = await startSentinels({ ...options, dir })
  const raws = new Map<string, Redis>()
  const isSentinel = (port: number): boolean => group.sentinels.some((one) => one.port === port)
  const raw = (port: number, db = 0): Redis => {
    const known = raws.get(`${port}/${db}`)
    if (known !== undefined) return known
    const password = isSentinel(port) ? options.sentinelPassword : options.password
    const redis = new Redis({
      host: '127.0.0.1',
      port,
      ...(isSentinel(port) ? {} : { db }),
      // The operator asks who else may write.
      connectionName: 'keyshift-operator',
      ...(password === undefined ? {} : { password }),
      ...(options.tls === undefined ? {} : { tls: { ca: readFileSync(options.tls.ca) } }),
    })
    redis.on('error', () => undefined)
    raws.set(`${port}/${db}`, redis)
    return redis
  }
  // Sentinel turns a server in one MULTI that also cuts its clients: refused, none of it happens.
  const allowReplicaOf = (sign: '+' | '-') => async (port: number) =>
    void (await raw(port).call('ACL', 'SETUSER', 'default', `${sign}slaveof`, `${sign}replicaof`))
  return {
    ...group,
    dir,
    raw,
    rotate: async (password, names) => {
      for (const { port } of group.sentinels) {
        const redis = raw(port)
        await redis.call('SENTINEL', 'CONFIG', 'SET', 'sentinel-pass', password)
        await redis.call('ACL', 'SETUSER', 'default', 'resetpass', `>${password}`)
        for (const [, id, name] of String(await redis.call('CLIENT', 'LIST')).matchAll(/^id=(\d+) .* name=(\S*) /gm))
          if (names.test(name ?? '') && id !== String(await redis.client('ID')))
            await redis.call('CLIENT', 'KILL', 'ID', id ?? '')
      }
    },
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
