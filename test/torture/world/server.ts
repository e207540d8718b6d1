import { join } from 'node:path'
import { RedisConnection } from '../../../demo/resp.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { startSentinels, type LocalSentinels } from '../../../hack/local/sentinel.ts'
import { until } from '../../../hack/system/wait.ts'
import type { SpecInput } from '../../../src/api/schema.ts'

// Every write is on disk before it is answered: what a kill takes, nobody was told of.
const AOF = [
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
  '--maxmemory',
  '512mb',
  '--maxmemory-policy',
  'noeviction',
]
// A primary that a failover left behind refuses writes once its replicas have left it.
const REPLICATED = [...AOF, '--min-replicas-to-write', '1', '--min-replicas-max-lag', '1']
const LIMIT_MS = 60_000

/** The Redis of a torture: one server, or Sentinels over three. */
export interface Host {
  /** As clients and workers are told. */
  readonly url: string
  readonly spec: SpecInput['redis']
  /** Port of the one server, for a proxy; undefined where there are several. */
  readonly port: number | undefined
  /** Port of the server that is the primary now. */
  primary(): Promise<number>
  /** Ends the primary as a crash does, and starts it again on its own data. */
  crash(awayMs: number): Promise<void>
  /** Stops the primary for a while, and lets it go on. */
  pause(hold: () => Promise<unknown>): Promise<void>
  /** Makes another one the primary. @returns whether one took over */
  failover(): Promise<boolean>
  /** A plain connection to the primary, once everything runs as it shall. */
  connect(): Promise<RedisConnection>
  /** Plain connections to all others. */
  others(): Promise<RedisConnection[]>
  stop(): Promise<void>
}

export function startHost(dir: string, sentinel: boolean): Promise<Host> {
  return sentinel ? startReplicated(dir) : startSingle(dir)
}

async function startSingle(root: string): Promise<Host> {
  const dir = join(root, 'redis')
  let redis = await startRedis({ dir, args: AOF })
  const { port } = redis
  const url = `redis://127.0.0.1:${port}/0`
  return {
    url,
    spec: { address: url },
    port,
    primary: async () => port,
    crash: async (awayMs) => {
      redis = await restart(redis, { dir, args: AOF }, awayMs)
    },
    pause: (hold) => paused(redis, hold),
    failover: async () => false,
    connect: () =>
      until('a connection to Redis', () => open(port), { limitMs: LIMIT_MS, everyMs: 50, look: redis.logFile }),
    others: async () => [],
    stop: () => redis.stop('KILL'),
  }
}

async function startReplicated(dir: string): Promise<Host> {
  const sentinels: LocalSentinels = await startSentinels({ dir, args: REPLICATED })
  const servers = sentinels.servers.map((server, i) => ({ server, dir: join(dir, `redis-${i}`) }))
  const { masterName, addresses, primary } = sentinels
  const current = async () => {
    const port = await primary()
    const found = servers.find(({ server }) => server.port === port)
    if (found === undefined) throw new Error(`the Sentinels name port ${port}, which is none of ours`)
    return found
  }
  /** Of all servers, the primary first: one that is not as it shall be is undefined. */
  const whole = async (): Promise<RedisConnection[] | undefined> => {
    const first = (await current()).server.port
    const ports = [first, ...servers.map(({ server }) => server.port).filter((port) => port !== first)]
    const opened = await Promise.allSettled(ports.map(open))
    const connections = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const close = (): undefined => void connections.forEach((one) => one.close())
    if (connections.length < servers.length) return close()
    const infos = await Promise.all(connections.map(async (one) => String(await one.command('INFO', 'replication'))))
    const well = infos.every((info, i) =>
      i === 0
        ? /^role:master/m.test(info) && info.match(/state=online/g)?.length === 2
        : /^role:slave/m.test(info) && /^master_link_status:up/m.test(info) && info.includes(`master_port:${first}\r`),
    )
    return well ? connections : close()
  }
  const everything = () => until('all servers in their places', whole, { limitMs: LIMIT_MS, everyMs: 100, look: dir })
  return {
    url: `redis-sentinel://${addresses.join(',')}/0#${masterName}`,
    spec: { sentinel: { masterName, addresses, db: 0 } },
    port: undefined,
    primary,
    crash: async (awayMs) => {
      const one = await current()
      one.server = await restart(one.server, { dir: one.dir, args: REPLICATED }, awayMs)
    },
    pause: async (hold) => paused((await current()).server, hold),
    failover: async () => {
      const { server } = await current()
      return (await sentinels.failover()) !== server.port
    },
    connect: async () => {
      const [first, ...rest] = await everything()
      for (const one of rest) one.close()
      return first as RedisConnection
    },
    others: async () => {
      const [first, ...rest] = await everything()
      first?.close()
      return rest
    },
    stop: async () => {
      await sentinels.stop()
      await Promise.all(servers.map(({ server }) => server.stop('KILL')))
    },
  }
}

async function restart(redis: LocalRedis, again: { dir: string; args: string[] }, awayMs: number): Promise<LocalRedis> {
  await redis.stop('KILL')
  await new Promise((resolve) => setTimeout(resolve, awayMs))
  return startRedis({ ...again, port: redis.port })
}

async function paused({ pid }: LocalRedis, hold: () => Promise<unknown>): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  try {
    await hold()
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

function open(port: number): Promise<RedisConnection> {
  return RedisConnection.open({ host: '127.0.0.1', port, db: 0 })
}
