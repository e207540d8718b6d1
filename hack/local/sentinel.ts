import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { type Child, startChild } from '../system/child.ts'
import { withPorts } from '../system/ports.ts'
import { until } from '../system/wait.ts'
import { requireProgram } from './programs.ts'
import { answers, startRedis, tlsArgs, type LocalRedis, type RedisTls } from './redis.ts'

export type SentinelOptions = {
  dir: string
  /** Options of each redis-server. */
  args?: readonly string[]
  /** Password of the Redis servers, and one of the Sentinels themselves. */
  password?: string
  sentinelPassword?: string
  /** Redis and Sentinels speak TLS alone. */
  tls?: RedisTls
}

export type LocalSentinels = {
  masterName: string
  /** host:port of each of the three Sentinels. */
  addresses: string[]
  sentinels: readonly { port: number; pid: number }[]
  /** One primary and two replicas to begin with. */
  servers: readonly LocalRedis[]
  /** Port of the primary, once all Sentinels say the same. */
  primary: () => Promise<number>
  /** Promotes a replica while the primary runs on, and waits until all Sentinels say so. Gives its port. */
  failover: () => Promise<number>
  /** Waits until all Sentinels name another primary than `port`. */
  moved: (port: number) => Promise<number>
  stop: () => Promise<void>
}

const MASTER = 'mymaster'
/** A primary that does not answer for so long is down, ms. */
const DOWN_AFTER_MS = 1000

/** Three Sentinels over one primary and two replicas, all on 127.0.0.1; they end with this process. */
export async function startSentinels(options: SentinelOptions): Promise<LocalSentinels> {
  const { dir, password, tls } = options
  const auth = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  const common = [...auth, '--repl-diskless-sync-delay', '0', ...(options.args ?? [])]
  const stops: (() => Promise<void>)[] = []
  const stop = async () => void (await Promise.all(stops.splice(0).map((end) => end())))
  try {
    const start = async (name: string, args: readonly string[]): Promise<LocalRedis> => {
      const server = await startRedis({ dir: join(dir, name), args: [...common, ...args], ...(tls && { tls }) })
      stops.push(() => server.stop('KILL'))
      return server
    }
    const primary = await start('redis-0', [])
    const follow = ['--replicaof', '127.0.0.1', String(primary.port)]
    const servers = [primary, await start('redis-1', follow), await start('redis-2', follow)]
    const sentinels = await withPorts(3, (ports) =>
      Promise.all(ports.map((port) => startOne(options, port, primary.port, stops))),
    )
    const asking = sentinels.map(({ port }) => connectTo(port, options))
    stops.push(async () => asking.forEach((one) => one.disconnect()))
    const named = async (sentinel: Redis) =>
      Number(((await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) as string[])[1])
    const agreed = async (): Promise<number | undefined> => {
      const [first, ...others] = await Promise.all(asking.map(named))
      return first !== undefined && first > 0 && others.every((one) => one === first) ? first : undefined
    }
    const wait = <T>(what: string, look: () => Promise<T | undefined> | undefined) =>
      until(what, look, { limitMs: 60_000, everyMs: 50, look: dir })
    await wait('the Sentinels know each other and the replicas', async () => {
      const masters = await Promise.all(
        asking.map((one) => one.call('SENTINEL', 'MASTER', MASTER) as Promise<string[]>),
      )
      const two = (fields: string[], name: string) => fields[fields.indexOf(name) + 1] === '2'
      return masters.every((fields) => two(fields, 'num-slaves') && two(fields, 'num-other-sentinels')) || undefined
    })
    const moved = (port: number) =>
      wait('another primary', async () => {
        const now = await agreed()
        return now === port ? undefined : now
      })
    return {
      masterName: MASTER,
      addresses: sentinels.map(({ port }) => `127.0.0.1:${port}`),
      sentinels,
      servers,
      primary: () => wait('a primary', agreed),
      moved,
      failover: async () => {
        const before = await wait('a primary', agreed)
        return wait('another primary', async () => {
          // Refused while one is under way; one that found no replica good enough is over without a word.
          const [first] = asking
          if (first !== undefined && (await named(first)) === before)
            await first.call('SENTINEL', 'FAILOVER', MASTER).catch(() => undefined)
          const now = await agreed()
          return now === before ? undefined : now
        })
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function connectTo(port: number, { sentinelPassword, tls }: SentinelOptions): Redis {
  const redis = new Redis({
    port,
    host: '127.0.0.1',
    ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
    ...(tls === undefined ? {} : { tls: { ca: readFileSync(tls.ca) } }),
  })
  redis.on('error', () => undefined)
  return redis
}

async function startOne(options: SentinelOptions, port: number, primary: number, stops: (() => Promise<void>)[]) {
  const { password, sentinelPassword, tls } = options
  const dir = join(options.dir, `sentinel-${port}`)
  mkdirSync(dir, { recursive: true })
  const file = join(dir, 'sentinel.conf')
  const listen = tls === undefined ? [`port ${port}`] : tlsArgs(tls, port).map(([name, value]) => `${name} ${value}`)
  const lines = [
    'bind 127.0.0.1',
    ...listen,
    `dir ${dir}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${primary} 2`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
    // Twice this must pass before a failover that failed is tried again.
    `sentinel failover-timeout ${MASTER} 3000`,
    `sentinel parallel-syncs ${MASTER} 2`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${MASTER} ${password}`]),
    ...(sentinelPassword === undefined
      ? []
      : [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const logFile = join(dir, 'sentinel.log')
  const child: Child = startChild({
    name: 'redis-sentinel',
    command: requireProgram('redis-server'),
    args: [file, '--sentinel'],
    logFile,
    diesWithParent: true,
  })
  stops.push(() => child.stop(0))
  await until(`the Sentinel on port ${port}`, () => answers(port, tls), {
    limitMs: 20_000,
    everyMs: 20,
    look: logFile,
    hopeless: child.lost,
  })
  return { port, pid: child.pid }
}
