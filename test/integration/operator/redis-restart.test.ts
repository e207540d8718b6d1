import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { Status } from '../../../src/api/status.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(180_000)

const NAME = 'restart'
const AOF = ['--appendonly', 'yes', '--appendfsync', 'always', '--enable-debug-command', 'yes']
let world: World
let app: App
let server: LocalRedis
let redis: Redis
let client: RealClient
let running: RunningOperator
let jobs: JobRunner
let dir: string
const stop = new AbortController()
const helpers: Promise<void>[] = []
const stops: (() => Promise<void>)[] = []

beforeAll(async () => {
  world = await startWorld()
  dir = join(world.dir, 'own')
  server = await startRedis({ dir, args: AOF })
  redis = new Redis({ port: server.port, connectionName: 'keyshift-operator' })
  redis.on('error', () => undefined)
  app = await App.create(world, NAME)
  running = runOperator(world, NAME)
  stops.push(() => running.stop())
  jobs = new JobRunner(app.client, NAME)
  helpers.push(jobs.run(stop.signal))
  client = new RealClient(app, await app.startPod(), { address: `redis://127.0.0.1:${server.port}/0` })
  helpers.push(client.follow(stop.signal), client.work(stop.signal))
}, START_LIMIT_MS)

afterAll(async () => {
  for (const one of stops) await one()
  stop.abort()
  await Promise.all(helpers)
  redis.disconnect()
  await server.stop('KILL')
  await world.stop()
})

const apply = (targetPhase: Phase) =>
  app.apply(
    app.spec({
      targetPhase,
      redis: { address: `redis://127.0.0.1:${server.port}/0`, assume: { maxmemory: 1e9 } },
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak: '1h' },
      },
    }),
  )
const status = async (): Promise<Status> => (await app.resource()).status ?? {}
const answer = (value: string) =>
  app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { 'keyshift.dev/retry': value } } },
  )
const lineage = async (): Promise<string> => /master_replid:(\w+)/.exec(await redis.info('replication'))?.[1] ?? ''

/** The phase is in force, and whatever it needs is proven of the Redis that is there now. */
async function settled(phase: Phase): Promise<void> {
  await until(async () => {
    const { phase: at, redisSeen, evidence, preflight } = await status()
    if (at !== phase || redisSeen?.lineage !== (await lineage())) return false
    if (phase === 'BackfillVerify') return evidence?.verifiedBoth !== undefined
    return (
      (phase === 'Legacy' ? preflight !== undefined : evidence?.lineage === redisSeen.lineage) &&
      (await app.condition('TargetReached'))?.status === 'True'
    )
  })
}

async function serverRestarts(args: readonly string[] = AOF, meanwhile: () => unknown = () => undefined) {
  await server.stop('KILL')
  await meanwhile()
  server = await startRedis({ dir, port: server.port, args })
}

/** Record and fence as the status has them. */
async function putBack({ epoch, fence }: Status): Promise<void> {
  await until(async () => (await redis.hget(app.keys.record, 'epoch')) === String(epoch))
  await until(async () => (await redis.get(app.keys.fence)) === (fence === undefined ? null : String(fence)))
}

async function clientWorks(): Promise<void> {
  const before = client.created.length
  await until(() => client.created.length > before + 2)
}

/** While nothing is proven the soak neither earns nor loses; once it is proven again it goes on from there. */
async function soakStands({ soakEndsAt = '' }: Status, killedAt: number): Promise<void> {
  await until(async () => (await status()).soakRemainingMs !== undefined)
  const { soakRemainingMs = NaN, evidence } = await status()
  expect(evidence?.verifiedBoth).toBeUndefined()
  // It stood still when the loss was seen, and not before.
  const stoodAt = Date.parse(soakEndsAt) - soakRemainingMs
  expect(stoodAt).toBeGreaterThanOrEqual(killedAt)
  expect(stoodAt).toBeLessThanOrEqual(Date.now())
  const passes = await running.passes()
  await until(async () => (await running.passes()) > passes + 1)
  expect(await status()).toMatchObject({ soakRemainingMs })
  expect((await status()).soakEndsAt).toBeUndefined()
  jobs.hold = false
  await until(async () => (await status()).soakEndsAt !== undefined)
  const after = await status()
  expect(Date.parse(after.soakEndsAt ?? '') - Date.parse(after.soakCountedThrough ?? '')).toBe(soakRemainingMs)
  expect(after.soakRemainingMs).toBeUndefined()
}

const NEXT: readonly (readonly [Phase, Phase])[] = [
  ['Legacy', 'DualWrite'],
  ['DualWrite', 'ReadRouting'],
  ['ReadRouting', 'BackfillVerify'],
  ['BackfillVerify', 'BackfillVerify'],
]

describe.each(NEXT)('in %s', (phase, next) => {
  it('a restart of Redis with its data changes no routing, and what was proven is proven again', async () => {
    await apply(phase)
    await settled(phase)
    const before = await status()
    const soaks = phase === 'BackfillVerify'
    const killedAt = Date.now()
    jobs.hold = soaks
    await serverRestarts()
    if (soaks) await soakStands(before, killedAt)
    await settled(phase)
    const { epoch, failed } = await status()
    expect({ epoch, failed }).toEqual({ epoch: before.epoch, failed: undefined })
    await putBack(before)
    await clientWorks()
    if (phase === 'Legacy') return
    const event = 'Warning EvidenceVoid'
    await until(async () => (await app.events()).includes(event))
  })

  it('a restart without its data holds the walk there, and says what happened and what to do', async () => {
    const before = await status()
    if (phase === 'DualWrite') {
      await redis.call('SAVE')
      copyFileSync(join(dir, 'dump.rdb'), join(world.dir, 'old.rdb'))
    }
    await serverRestarts(AOF, async () => {
      rmSync(join(dir, 'appendonlydir'), { recursive: true, force: true })
      rmSync(join(dir, 'dump.rdb'), { force: true })
      // A step that was due may not be taken on what is left.
      await apply(next)
    })
    await until(async () => (await app.events()).includes('Warning RedisDataLost'))
    await putBack(before)
    await clientWorks()
    if (phase !== 'Legacy') {
      await until(async () => (await app.condition('Stalled'))?.reason === 'RedisDataLost')
      expect((await status()).awaits).toMatch(/gone from Redis.*Restore the jobs from a backup.*keyshift\.dev\/retry/)
      expect((await status()).epoch).toBe(before.epoch)
      await answer(phase)
    }
    await settled(next)
    expect((await status()).failed).toBeUndefined()
  })
})

it('an old RDB is raised to where the walk stands, proven again, and holds nothing', async () => {
  const before = await status()
  await serverRestarts(['--dbfilename', 'old.rdb'], () =>
    copyFileSync(join(world.dir, 'old.rdb'), join(dir, 'old.rdb')),
  )
  await putBack(before)
  await settled('BackfillVerify')
  await clientWorks()
  const { epoch, failed } = await status()
  expect({ epoch, failed }).toEqual({ epoch: before.epoch, failed: undefined })
  expect(await app.events()).toContain('Warning Adopted')
})

it('no creation that was refused tells of anything but a Redis that was away', () => {
  expect(
    client.refused.map((error) => (error as { code?: string }).code).filter((code) => !CODES.includes(code ?? '')),
  ).toEqual([])
})
const CODES = ['NOT_READY', 'UNKNOWN_OUTCOME', 'JOB_EXISTS', 'REFUSED', 'STALE_EPOCH']
