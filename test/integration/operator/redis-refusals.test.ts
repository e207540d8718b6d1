import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { TROUBLE_ARGS, troublesOf, type Trouble } from '../redis/support/troubles.ts'
import { JobRunner } from './job-runner.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(60_000)

const NAME = 'refusals'
let world: World
let app: App
let server: LocalRedis
let admin: Redis
let running: RunningOperator
const stop = new AbortController()
let helper: Promise<void>

beforeAll(async () => {
  world = await startWorld()
  server = await startRedis({ dir: join(world.dir, 'own'), args: TROUBLE_ARGS })
  admin = new Redis(server.port, { connectionName: 'keyshift-operator' })
  app = await App.create(world, NAME)
  const jobs = admin.pipeline()
  for (let i = 0; i < 200; i += 1) jobs.hset(`${NAME}:job:j${i}`, { workspace_id: 'w1' })
  await jobs.exec()
  running = runOperator(world, NAME)
  helper = new JobRunner(app.client, NAME).run(stop.signal)
}, START_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await helper
  admin.disconnect()
  await server.stop('KILL')
  await world.stop()
})

const apply = () =>
  app.apply(app.spec({ redis: { address: `redis://127.0.0.1:${server.port}/0`, assume: { maxmemory: 1e9 } } }))
const troubleOf = (code: Trouble['code']) => troublesOf(admin).find((one) => one.code === code) as Trouble
/** A pass now, and not at the operator's next turn. */
const poke = (value: string) =>
  app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { 'keyshift.dev/poke': value } } },
  )
const says = (said: RegExp) =>
  until(async () => {
    return said.test((await app.resource()).status?.awaits ?? '')
  })

it('D4 over maxmemory the work that is due waits, says why, and goes on by itself', async () => {
  const trouble = troubleOf('OOM')
  await trouble.begin()
  try {
    await apply()
    await says(/RedisOutOfMemory: .*Raise maxmemory, or free memory/)
    expect((await app.document())?.epoch).toBe(1)
  } finally {
    await trouble.end()
  }
  await until(async () => (await app.resource()).status?.preflight !== undefined)
})

it.each<[Trouble['code'], RegExp]>([
  ['NOREPLICAS', /^RedisTooFewReplicas: .*min-replicas-to-write/],
  ['READONLY', /^RedisNotPrimary: /],
  ['MISCONF', /^RedisCannotSave: .*disk/],
  ['LOADING', /^RedisLoading: /],
  ['BUSY', /^RedisBusy: .*SCRIPT KILL/],
])('D4 %s is what status waits for, and it goes on by itself', async (code, said) => {
  const trouble = troubleOf(code)
  await trouble.begin()
  try {
    await poke(code)
    await says(said)
  } finally {
    await trouble.end()
  }
  await says(/^NoMembers: /)
  expect((await app.resource()).status?.epoch).toBe(1)
})
