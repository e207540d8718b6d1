import { writeFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { requireProgram } from '../../../hack/local/programs.ts'
import { startRedis } from '../../../hack/local/redis.ts'
import { startChild } from '../../../hack/system/child.ts'
import { withPorts } from '../../../hack/system/ports.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { startProxy } from '../redis/support/proxy.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(45_000)

const NAME = 'writers'
const OBSERVERS = ['exporter', 'keda']
let world: World
let app: App
const stop = new AbortController()
const helpers: Promise<void>[] = []
const closers: (() => Promise<unknown> | void)[] = []

beforeAll(async () => {
  world = await startWorld()
  app = await App.create(world, NAME)
  const running = runOperator(world, NAME)
  closers.push(() => running.stop())
  helpers.push(new JobRunner(app.client, NAME).run(stop.signal))
  // Redis begins a new lineage with the first replica it ever has.
  await startReplica()
  await world.redis.hset(`${NAME}:job:j1`, { workspace_id: 'w1' })
  await world.redis.acl('SETUSER', 'reader', 'on', '>pw', '~*', '+@read', '+@connection', '+info')
}, START_LIMIT_MS)

afterAll(async () => {
  for (const close of closers.reverse()) await close()
  stop.abort()
  await Promise.all(helpers)
  await world.stop()
})

const spec = (targetPhase: SpecInput['targetPhase'], observers = OBSERVERS): SpecInput => ({
  ...app.spec(),
  targetPhase,
  redis: { ...redisOf(world.redisServer.port), assume: { maxmemory: 1_000_000_000 }, observers },
  phases: {
    dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
    readRouting: { steps: [{ percent: 100, soak: '0s' }] },
    backfillVerify: { soak: '24h' },
  },
})
const redisOf = (port: number) => ({ address: `redis://127.0.0.1:${port}/0` })

async function status(): Promise<Status> {
  return (await app.resource()).status ?? {}
}
async function seen(wanted: (status: Status) => boolean): Promise<Status> {
  let last: Status = {}
  await until(async () => wanted((last = await status())))
  return last
}
const rests = (phase: string) =>
  seen((now) => now.phase === phase && now.conditions?.find(({ type }) => type === 'TargetReached')?.status === 'True')

/** A pod of the application with the client in it. */
async function startClient(port: number): Promise<RealClient> {
  const client = new RealClient(app, await app.startPod(), redisOf(port))
  helpers.push(client.follow(stop.signal), client.work(stop.signal))
  return client
}
function connect(options: object = {}): Redis {
  const redis = new Redis({ port: world.redisServer.port, host: '127.0.0.1', ...options })
  closers.push(() => redis.disconnect())
  return redis
}
/** Connects anew for each turn, 50 ms long, until the test file ends or it is told to stop. */
function comesAndGoes(options: object, everyMs: number, work: (redis: Redis) => Promise<unknown>): AbortController {
  const own = new AbortController()
  helpers.push(
    (async () => {
      while (!own.signal.aborted && !stop.signal.aborted) {
        const redis = new Redis({ port: world.redisServer.port, host: '127.0.0.1', ...options })
        await work(redis)
        await sleep(50)
        redis.disconnect()
        await sleep(everyMs)
      }
    })(),
  )
  return own
}

async function startReplica(): Promise<void> {
  const port = String(world.redisServer.port)
  const before = await online()
  const replica = await startRedis({
    dir: join(world.dir, `replica-${before}`),
    args: ['--replicaof', '127.0.0.1', port],
  })
  closers.push(() => replica.stop('KILL'))
  await until(async () => (await online()) > before)
}
async function online(): Promise<number> {
  return (await world.redis.info('replication')).split('state=online').length - 1
}

function startProgram(name: string, args: readonly string[]): void {
  const options = { name, command: requireProgram(name), args, diesWithParent: true }
  const child = startChild({ ...options, logFile: join(world.dir, `${name}.log`) })
  closers.push(() => child.stop(0))
}

async function startSentinel(): Promise<void> {
  const dir = join(world.dir, 'sentinel')
  mkdirSync(dir)
  await withPorts(1, async ([port]) => {
    const conf = join(dir, 'sentinel.conf')
    writeFileSync(conf, `port ${port}\ndir ${dir}\nsentinel monitor main 127.0.0.1 ${world.redisServer.port} 1\n`)
    startProgram('redis-server', [conf, '--sentinel'])
  })
}

describe('who else works on Redis (O13)', () => {
  let importer: AbortController

  it('a writer that comes for 50 ms at a time is named and holds ReadRouting', async () => {
    const proxy = await startProxy(world.redisServer.port)
    closers.push(() => proxy.close())
    await app.apply(spec('Legacy'))
    await until(async () => (await app.document())?.epoch === 1)
    await startClient(world.redisServer.port)
    // Behind a TCP proxy a client tells its own name all the same.
    await startClient(proxy.port)
    await rests('Legacy')
    importer = comesAndGoes({ connectionName: 'importer' }, 1000, (redis) => redis.set('elsewhere', '1'))
    await app.apply(spec('ReadRouting'))
    const held = await seen(({ awaits }) => awaits?.startsWith('ForeignWriters') === true)
    expect(held.awaits).toMatch(/user default from 127\.0\.0\.1 name "importer".*redis\.observers/)
    expect(held.phase).toBe('DualWrite')
    await until(async () => (await app.events()).includes('Warning ForeignWriters'))
  })

  it('named in redis.observers it is one of them, and the step is taken', async () => {
    await app.apply(spec('ReadRouting', [...OBSERVERS, 'importer']))
    const { writers, observers } = await rests('ReadRouting')
    expect(writers).toBeUndefined()
    expect(observers).toContain('user default from 127.0.0.1 name "importer": in redis.observers')
    importer.abort()
    await app.apply(spec('BackfillVerify', [...OBSERVERS, 'importer']))
    await seen(
      ({ phase, soakEndsAt, evidence }) =>
        phase === 'BackfillVerify' && soakEndsAt !== undefined && evidence?.verifiedBoth !== undefined,
    )
  })

  it('observers of each kind are listed as such while BackfillVerify soaks, and change nothing', async () => {
    const before = await status()
    comesAndGoes({ connectionName: 'exporter' }, 500, (redis) => redis.config('GET', 'maxmemory'))
    comesAndGoes({ connectionName: 'keda' }, 300, (redis) => redis.llen('queue'))
    connect({ username: 'reader', password: 'pw' })
    startProgram('redis-cli', ['-p', String(world.redisServer.port), 'MONITOR'])
    await startReplica()
    await startSentinel()
    const kinds = [
      /name "exporter": in redis\.observers$/,
      /name "keda": in redis\.observers$/,
      /^user reader .*: its user may not write jobs$/,
      /: MONITOR$/,
      /: a replica$/,
      /name "sentinel-[0-9a-f]{8}-cmd".*: a Sentinel$/,
    ]
    const after = await seen(({ observers = [] }) => kinds.every((kind) => observers.some((one) => kind.test(one))))
    const settled = ({ phase, epoch, evidence, soakEndsAt, writers }: Status) => ({
      phase,
      epoch,
      evidence,
      soakEndsAt,
      writers,
    })
    expect(settled(after)).toEqual({ ...settled(before), writers: undefined })
  })

  it('a real writer that comes for moments is named, and voids nothing', async () => {
    const before = await status()
    // On a machine that is busy one of its connections may pass between two looks.
    const cron = comesAndGoes({ connectionName: 'cron' }, 1000, (redis) => redis.hset('elsewhere:job', { n: '1' }))
    const { writers, epoch, evidence, soakEndsAt, failed } = await seen(({ writers }) => writers !== undefined)
    cron.abort()
    expect(writers).toEqual(['user default from 127.0.0.1 name "cron"'])
    expect([epoch, evidence, soakEndsAt, failed]).toEqual([before.epoch, before.evidence, before.soakEndsAt, undefined])
  })

  it('behind a proxy that hides the clients it is Unknown, which holds ReadRouting too until it is vouched for', async () => {
    await app.apply(spec('DualWrite', [...OBSERVERS, 'importer', 'cron']))
    await rests('DualWrite')
    const proxy = await startProxy(world.redisServer.port)
    closers.push(() => proxy.close())
    proxy.hideNames()
    await startClient(proxy.port)
    await app.apply(spec('ReadRouting', [...OBSERVERS, 'importer', 'cron']))
    const { awaits, phase } = await seen(({ awaits }) => awaits?.startsWith('WritersUnknown') === true)
    expect(awaits).toMatch(/the client of pod api-\S+ has a lease and no connection of its name: is a proxy between\?/)
    expect(phase).toBe('DualWrite')
    await app.apply(spec('ReadRouting', ['*']))
    await rests('ReadRouting')
  })
})
