import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { Status } from '../../../src/api/status.ts'
import { SECRETS } from '../../../src/kube/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { TROUBLE_ARGS, troublesOf, type Trouble } from '../redis/support/troubles.ts'
import { JobRunner } from './job-runner.ts'
import {
  App,
  PATIENT,
  runOperator,
  startWorld,
  START_LIMIT_MS,
  until,
  type RunningOperator,
  type World,
} from './world.ts'

jest.setTimeout(120_000)

// What redis-refusals.test.ts shows of a resource at rest, for one that is on its way.
const NAME = 'in-flight'
let world: World
let app: App
let server: LocalRedis
let admin: Redis
let running: RunningOperator
let runner: JobRunner
const stop = new AbortController()
const helpers: Promise<void>[] = []

beforeAll(async () => {
  const whole = await startWorld()
  server = await startRedis({ dir: join(whole.dir, 'own'), args: TROUBLE_ARGS })
  admin = new Redis(server.port, { connectionName: 'keyshift-operator' })
  admin.on('error', () => undefined)
  world = { ...whole, redisServer: server, redis: admin }
  app = await App.create(world, NAME)
  const jobs = admin.pipeline()
  for (let i = 0; i < 300; i += 1) jobs.hset(`${NAME}:job:j${i}`, { workspace_id: 'w1' })
  await jobs.exec()
  running = runOperator(world, NAME, { election: PATIENT })
  runner = new JobRunner(app.client, NAME)
  helpers.push(runner.run(stop.signal), follow())
  await app.apply(spec('Legacy'))
  await reached('Legacy')
}, START_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await Promise.all(helpers)
  admin.disconnect()
  await server.stop('KILL')
  await world.stop()
})

/** A member that reports what is published, whenever Redis takes it. */
async function follow(): Promise<void> {
  const member = await app.join(await app.startPod())
  while (!stop.signal.aborted) {
    await member.report(await app.document()).catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const spec = (targetPhase: Phase, changes = {}) =>
  app.spec({
    targetPhase,
    redis: { address: `redis://127.0.0.1:${server.port}/0`, assume: { maxmemory: 1e9 }, observers: ['*'], ...changes },
    phases: {
      dualWrite: { steps: [{ percent: 100, soak: '1h' }] },
      readRouting: { steps: [{ percent: 100, soak: '0s' }] },
    },
  })
const status = async (): Promise<Status> => (await app.resource()).status ?? {}
const reached = (phase: Phase) =>
  until(async () => (await status()).phase === phase && (await app.condition('TargetReached'))?.status === 'True')
let pokes = 0
/** A pass now, and not at the operator's next turn. */
const poke = () =>
  app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { 'keyshift.dev/poke': String((pokes += 1)) } } },
  )
const says = (said: RegExp) => until(async () => said.test((await status()).awaits ?? ''))
const recordEpoch = async (): Promise<number> => Number(await admin.hget(app.keys.record, 'epoch'))

/** Begins the trouble once the operator has written the next epoch into the status, and before it does anything else. */
function strikeAtNextStep(trouble: Trouble): Promise<void> {
  return new Promise((resolve, reject) => {
    running.requests.around = async (right, args, call) => {
      const answer = await call(args)
      const { epoch } = right === 'patch jobkeymigrations.keyshift.dev/status' ? (args[2] as Status) : {}
      if (epoch === undefined) return answer
      running.requests.around = (_right, same, go) => go(same)
      await trouble.begin().then(resolve, reject)
      return answer
    }
  })
}

/**
 * A step to `phase` that Redis refuses half way: nothing of it is published, and it is taken once, afterwards. Out of memory it is
 * taken all the same: a way back must not wait for room.
 */
async function stepThrough(trouble: Trouble, said: RegExp, phase: Phase): Promise<void> {
  const before = (await app.document())?.epoch ?? 0
  const began = strikeAtNextStep(trouble)
  await app.apply(spec(phase))
  await began
  try {
    if (trouble.code === 'OOM') await until(async () => (await app.document())?.epoch === before + 1)
    else {
      await says(said)
      await poke()
      await says(said)
      expect((await app.document())?.epoch).toBe(before)
      if (!trouble.blind) expect(await recordEpoch()).toBe(before)
    }
    expect((await status()).epoch).toBe(before + 1)
  } finally {
    await trouble.end()
  }
  await poke()
  await until(async () => (await app.document())?.epoch === before + 1)
  expect(await recordEpoch()).toBe(before + 1)
  await until(async () => (await app.document())?.phase === phase)
}

describe.each<[Trouble['code'], RegExp]>([
  ['OOM', /RedisOutOfMemory: .*Raise maxmemory, or free memory/],
  ['NOREPLICAS', /RedisTooFewReplicas: .*min-replicas-to-write/],
  ['READONLY', /RedisNotPrimary: /],
  ['MISCONF', /RedisCannotSave: .*disk/],
  ['LOADING', /RedisLoading: /],
  ['BUSY', /RedisBusy: .*SCRIPT KILL/],
])('D4 %s', (code, said) => {
  const trouble = (): Trouble => troublesOf(admin).find((one) => one.code === code) as Trouble

  it('in the middle of a step forward', async () => {
    const { epoch = 0 } = await status()
    await stepThrough(trouble(), said, 'DualWrite')
    await until(async () => (await status()).evidence?.verifiedTarget !== undefined)
    await until(async () => (await status()).soakEndsAt !== undefined)
    expect(await status()).toMatchObject({ epoch: epoch + 1, fence: epoch })
  })

  it('in a soak', async () => {
    const before = await status()
    const refusal = trouble()
    const passes = await running.passes()
    await refusal.begin()
    try {
      await poke()
      // A soak is in want of no memory.
      if (code === 'OOM') await until(async () => (await running.passes()) > passes)
      else await says(said)
      const { phase, epoch, fence, failed } = await status()
      expect({ phase, epoch, fence, failed }).toEqual({ phase: 'DualWrite', epoch: before.epoch, fence: before.fence })
    } finally {
      await refusal.end()
    }
    await poke()
    await until(async () => {
      const { evidence, soakEndsAt, awaits = '' } = await status()
      return evidence?.verifiedTarget !== undefined && soakEndsAt !== undefined && !said.test(awaits)
    })
    const { epoch, failed, soakEndsAt = '' } = await status()
    expect({ epoch, failed }).toEqual({ epoch: before.epoch, failed: undefined })
    expect(Date.parse(soakEndsAt)).toBeGreaterThanOrEqual(Date.parse(before.soakEndsAt ?? ''))
  })

  it('in the middle of a rollback', async () => {
    const { epoch = 0 } = await status()
    await stepThrough(trouble(), said, 'Legacy')
    await reached('Legacy')
    expect(await status()).toMatchObject({ epoch: epoch + 1, fence: epoch })
  })
})

describe('a password that is changed while a worker is at work', () => {
  const setSecret = (password: string) =>
    app.client.apply(SECRETS, { metadata: { name: 'auth', namespace: NAME }, stringData: { password } } as KubeObject, {
      fieldManager: 'test',
      force: true,
    })

  it('operator and worker wait, say so, find the new Secret by themselves, and the same process ends the work', async () => {
    await setSecret('first')
    await admin.config('SET', 'requirepass', 'first')
    await admin.auth('first')
    const secured = spec('DualWrite', { credentialsSecretRef: { name: 'auth' } })
    await app.apply({ ...secured, worker: { maxKeysPerSecond: 100 } })
    const ofVerify = async (): Promise<string> => `jobs-verify-${(await status()).work?.['verify']?.attempt ?? 0}`
    const work = async (): Promise<Record<string, string>> => admin.hgetall(app.keys.work(await ofVerify()))
    await until(async () => (await work())['state'] === 'running' && Number((await work())['done']) > 20)
    const job = await ofVerify()
    const worker = runner.workers.get(job)
    const written = runner.output.length
    await admin.config('SET', 'requirepass', 'second')
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await admin.auth('second')
    await says(/^RedisAuthFailed: /)
    await until(() => /no connection to Redis, trying again.*refused the password/.test(runner.output.slice(written)))
    const { done } = await work()
    expect((await work())['state']).toBe('running')
    await setSecret('second')
    await runner.remount()
    await until(async () => (await status()).evidence?.verifiedTarget !== undefined)
    expect((await status()).evidence?.verifiedTarget?.job).toBe(job)
    expect(worker?.exitCode).toBe(0)
    expect(Number(done)).toBeLessThan(300)
    expect(runner.workers.get(job)).toBe(worker)
    expect(running.lines.filter((line) => line.startsWith('fatal'))).toEqual([])
  })
})
