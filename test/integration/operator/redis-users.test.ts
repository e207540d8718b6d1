import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { SECRETS } from '../../../src/kube/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { missingOfApp, missingOfOwn } from '../../../src/operator/gather/rights.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { aclRules, appRights, keyshiftRights } from '../../../src/redis/rights.ts'
import { JobRunner } from './job-runner.ts'
import { MAJORS } from '../redis/support/redis.ts'
import { RealClient } from './real-client.ts'
import {
  App,
  runOperator,
  startWorld,
  START_LIMIT_MS,
  templatesOf,
  until,
  type RunningOperator,
  type World,
} from './world.ts'

jest.setTimeout(120_000)

const NAME = 'users'
const FIRST = 'a+b/c=%40@#:é'
const SECOND = '=%#@/+second: ü'
const { legacy, target } = templatesOf(NAME)
const input = { templates: parseTemplates(legacy, target), workspaceField: 'workspace_id', queues: [`${NAME}:queue`] }
const RULES = { keyshift: aclRules(keyshiftRights(input)), app: aclRules(appRights(input)) }
let world: World
let app: App
let server: LocalRedis
let admin: Redis
let running: RunningOperator
let runner: JobRunner
let mounted: string
const clients: RealClient[] = []
const stop = new AbortController()
const helpers: Promise<void>[] = []

/** The Redis users that docs/redis-users.md has, with other key patterns; nobody is the default user. */
const setUser = (user: keyof typeof RULES, password: string, less: readonly string[] = []) =>
  admin.call(
    'ACL',
    'SETUSER',
    user,
    'reset',
    'on',
    `>${password}`,
    ...RULES[user].filter((rule) => !less.includes(rule)),
  )
/** As kubelet mounts a Secret, and as the API server keeps it. */
async function setSecret(password: string): Promise<void> {
  mkdirSync(mounted, { recursive: true })
  writeFileSync(join(mounted, 'username'), 'keyshift')
  writeFileSync(join(mounted, 'password'), password)
  await app.client.apply(
    SECRETS,
    { metadata: { name: 'redis-auth', namespace: NAME }, stringData: { username: 'keyshift', password } } as KubeObject,
    { fieldManager: 'test', force: true },
  )
}
const apply = (targetPhase: Phase) =>
  app.apply(
    app.spec({
      targetPhase,
      keys: { legacy, target, idWindow: '0s', queues: [{ key: `${NAME}:queue` }] },
      redis: {
        address: `redis://127.0.0.1:${server.port}/0`,
        credentialsSecretRef: { name: 'redis-auth' },
        assume: { maxmemory: 1e9 },
        observers: ['admin'],
      },
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak: '0s' },
      },
    }),
  )
const stalled = async (message: RegExp) => {
  await until(async () => {
    const ready = await app.condition('Ready')
    return ready?.reason === 'RedisRightsMissing' && message.test(ready.message)
  })
  return (await app.condition('Ready'))?.message
}
const reached = (phase: Phase) =>
  until(
    async () =>
      (await app.resource()).status?.phase === phase && (await app.condition('TargetReached'))?.status === 'True',
  )

beforeAll(async () => {
  world = await startWorld()
  mounted = join(world.dir, 'mounted', 'redis')
  server = await startRedis({ dir: join(world.dir, 'own'), args: ['--enable-debug-command', 'yes'] })
  const first = new Redis(server.port)
  await first.call('ACL', 'SETUSER', 'admin', 'on', '>admin', '~*', '&*', '+@all')
  first.disconnect()
  admin = new Redis({ port: server.port, username: 'admin', password: 'admin' })
  await admin.call('ACL', 'SETUSER', 'default', 'off')
  app = await App.create(world, NAME)
  await setUser('keyshift', FIRST, ['+copy', '+hscan'])
  await setUser('app', FIRST, ['+pexpireat', '+incr', `~${NAME}:queue`])
  await setSecret(FIRST)
  running = runOperator(world, NAME)
  runner = new JobRunner(app.client, NAME)
  runner.env = { KEYSHIFT_SECRETS_DIR: join(world.dir, 'mounted') }
  helpers.push(runner.run(stop.signal))
}, START_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await Promise.all(helpers)
  admin.disconnect()
  await server.stop('KILL')
  await world.stop()
})

it('X1 what the user of Keyshift lacks is named all at once, before anything else', async () => {
  await admin.hset(`${NAME}:job:first`, { workspace_id: 'w1' })
  await apply('Legacy')
  expect(await stalled(/keyshift/)).toBe('Redis users lack rights: ACL SETUSER keyshift +copy +hscan')
  await setUser('keyshift', FIRST, ['+hgetall', '+wait'])
  expect(await stalled(/\+wait/)).toMatch(/lacks rights: ACL SETUSER keyshift \+wait \+hgetall$/)
  await setUser('keyshift', FIRST)
  await until(async () => (await app.condition('Ready'))?.reason !== 'RedisRightsMissing')
})

it("X1 what the application's user lacks is named all at once when its pods are connected, and no step is taken", async () => {
  await apply('BackfillVerify')
  for (const { Redis: major } of MAJORS) {
    // The documented way: a function that reads the mounted file, asked at each attempt to connect.
    const credentials = async () => ({ username: 'app', password: readFileSync(join(mounted, 'password'), 'utf8') })
    const redis = { address: `redis://127.0.0.1:${server.port}/0`, credentials, Redis: major }
    const client = new RealClient(app, await app.startPod(), redis)
    clients.push(client)
    helpers.push(client.follow(stop.signal))
  }
  const message = await stalled(/ACL SETUSER app/)
  expect(message).toBe(`Redis users lack rights: ACL SETUSER app +pexpireat +incr ~${NAME}:queue`)
  expect((await app.resource()).status?.phase).toBe('Legacy')
})

it('X1 with the documented rights the whole way is walked, under both majors of ioredis, and nothing is refused', async () => {
  await admin.call('ACL', 'LOG', 'RESET')
  await setUser('app', FIRST)
  clients.forEach((client) => helpers.push(client.work(stop.signal)))
  await reached('BackfillVerify')
  const queue = clients[0]?.client.queue(`${NAME}:queue`)
  await clients[1]?.client.forWorkspace('w1').enqueue('queued', { n: '1' }, { queue: `${NAME}:queue` })
  await (await queue?.dequeue({ waitMs: 5000 }))?.ack()
  expect(await admin.call('ACL', 'LOG')).toEqual([])
  for (const client of clients) expect(client.created.length).toBeGreaterThan(0)
})

it('X1 each single right that is taken away is the one that is named', async () => {
  const ask = (args: readonly string[]) => admin.call(...(args as [string]))
  const members = clients.map(({ client }) => ({ id: client.state().memberId }))
  const demanded = {
    app: RULES.app,
    keyshift: aclRules(keyshiftRights(input).filter(({ tells }) => tells === undefined)),
  }
  for (const user of ['app', 'keyshift'] as const) {
    for (const rule of demanded[user]) {
      await setUser(user, FIRST, [rule])
      const own = (args: readonly string[]) => (args[1] === 'WHOAMI' ? Promise.resolve('keyshift') : ask(args))
      const named = user === 'app' ? await missingOfApp(ask, members, input) : [await missingOfOwn(own, input)]
      expect(named).toEqual([`ACL SETUSER ${user} ${rule}`])
    }
    await setUser(user, FIRST)
  }
})

it('K5 after a rotation operator, client and worker wait with the reason, and go on with the new Secret', async () => {
  await setUser('keyshift', SECOND)
  await setUser('app', SECOND)
  for (const user of ['keyshift', 'app']) await admin.call('CLIENT', 'KILL', 'USER', user)
  await until(async () => (await app.condition('Ready'))?.reason === 'RedisAuthFailed')
  expect((await app.condition('Ready'))?.message).toContain('refused the password of user "keyshift"')
  for (const { client } of clients) {
    await until(() => client.state().message.includes('refused the password of user "app"'))
    const error = await client
      .forWorkspace('w1')
      .get('job1', { deadlineMs: 100 })
      .catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'NOT_READY', cause: { code: 'WRONG_PASSWORD' } })
  }
  await setSecret(SECOND)
  await until(async () => (await app.condition('TargetReached'))?.status === 'True')
  for (const { client } of clients) expect((await client.forWorkspace('w1').get('job1'))?.jobId).toBe('job1')
  // Another lineage: what was proven is proven again, by workers with the new password.
  const ended = runner.ended.length
  await admin.call('DEBUG', 'CHANGE-REPL-ID')
  await until(() => runner.ended.length >= ended + 2)
  await until(async () => (await app.condition('TargetReached'))?.status === 'True')
})

it('K5 no line of operator, client or worker holds a password', () => {
  const all = [...running.lines, ...clients.flatMap(({ lines }) => lines), runner.output].join('\n')
  expect(all).toContain('"job"')
  for (const secret of [FIRST, SECOND]) expect(all).not.toContain(secret)
})
