import { jest } from '@jest/globals'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(180_000)

const NAME = 'mended'
let world: World
let app: App
let running: RunningOperator
let jobs: JobRunner
let client: RealClient
const stop = new AbortController()
const helpers: Promise<void>[] = []

beforeAll(async () => {
  world = await startWorld()
  app = await App.create(world, NAME)
  running = runOperator(world, NAME)
  jobs = new JobRunner(app.client, NAME)
  await world.redis.hset(`${NAME}:job:old`, { workspace_id: 'w1', n: '1' })
  client = new RealClient(app, await app.startPod(), { address: app.spec().redis.address })
  helpers.push(jobs.run(stop.signal), client.follow(stop.signal), client.work(stop.signal))
}, START_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await Promise.all(helpers)
  await world.stop()
})

async function reach(targetPhase: SpecInput['targetPhase'], canaryPercentage = 100): Promise<void> {
  await app.apply(
    app.spec({
      targetPhase,
      canaryPercentage,
      redis: { ...app.spec().redis, assume: { maxmemory: 1e9 }, observers: ['default'] },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '60s' },
      phases: {
        dualWrite: {
          steps: [
            { percent: 10, soak: '0s' },
            { percent: 100, soak: '0s' },
          ],
        },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
      },
    }),
  )
  const { generation } = (await app.resource()).metadata
  await until(async () => {
    const reached = await app.resource()
    const { status, observedGeneration } =
      reached.status?.conditions?.find(({ type }) => type === 'TargetReached') ?? {}
    return status === 'True' && observedGeneration === generation
  })
}

const status = async (): Promise<Status> => (await app.resource()).status ?? {}
const order = (repair: string) =>
  app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { 'keyshift.dev/repair': repair } } },
  )
const said = (reason: string): string[] =>
  running.lines.filter((line) => line.startsWith('info event') && line.includes(`"${reason}"`))

test('repair in a canary is refused at once, and does nothing once all creates go to both schemas', async () => {
  await reach('DualWrite', 10)
  await order('too-early')
  await until(() => said('AnnotationRefused').length > 0)
  expect(said('AnnotationRefused')[0]).toMatch(/too-early.* is not carried out, now or later: .*this is DualWrite 10 %/)
  await reach('DualWrite')
  expect((await status()).evidence?.verifiedTarget).toBeDefined()
  expect(jobs.ended.filter((name) => name.includes('repair'))).toEqual([])
  expect(said('AnnotationRefused')).toHaveLength(1)
})

test('what a foreign writer changed is found, repaired by the command in status, verified, and the way forward is open', async () => {
  // Made from now on they have both keys.
  const before = client.created.length
  await until(() => client.created.length > before + 2)
  const [changed = '', other = ''] = client.created.slice(before + 1)
  const target = (id: string) => `${NAME}:job:w1:${id}`
  await world.redis.hset(target(changed), { n: 'foreign' })
  await world.redis.hset(target('ghost'), { workspace_id: 'w1', n: 'foreign' })
  // Whoever took the fence away may have let others write: everything is proven anew.
  await world.redis.del(app.keys.fence)
  await app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { poke: '1' } } },
  )
  await until(async () => (await app.condition('Stalled'))?.reason === 'VerifyFailed')
  const { awaits = '', epoch } = await status()
  expect(awaits).toMatch(/1 different, 1 orphan/)
  expect(awaits).toContain(target(changed))
  const [, value = ''] = /keyshift\.dev\/repair=([\w-]+)/.exec(awaits) ?? []
  await order(value)
  await until(async () => (await status()).repaired !== undefined)
  expect((await status()).repaired).toMatchObject({ value, replaced: 1, removed: 1, left: 0 })
  await until(async () => (await status()).evidence?.verifiedTarget !== undefined)
  expect(await world.redis.hgetall(target(changed))).toEqual(await world.redis.hgetall(`${NAME}:job:${changed}`))
  expect(await world.redis.exists(target('ghost'))).toBe(0)
  expect(await world.redis.hgetall(target(other))).toEqual(await world.redis.hgetall(`${NAME}:job:${other}`))
  await reach('ReadRouting')
  expect((await status()).epoch).toBeGreaterThan(epoch ?? Infinity)
  expect(jobs.ended.filter((name) => name.includes('repair'))).toHaveLength(1)
  expect(client.refused).toEqual([])
})
