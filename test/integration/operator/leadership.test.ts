import { jest } from '@jest/globals'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { JOBS } from '../../../src/kube/resources.ts'
import type { Job } from '../../../src/kube/types.ts'
import { openConnection, type OpenRedis } from '../../../src/operator/redis-pool.ts'
import type { Connection } from '../../../src/redis/connection.ts'
import { systemClock, type Clock } from '../../../src/runtime/clock.ts'
import { JobRunner } from './job-runner.ts'
import { isWrite } from './recorder.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import {
  killOperatorProcesses,
  kubeconfigThrough,
  probe,
  startOperatorProcess,
  type OperatorProcess,
} from './operator-process.ts'
import { makeScenarios } from './scenarios.ts'
import {
  App,
  passesIn,
  runOperator,
  startWorld,
  START_LIMIT_MS,
  until,
  type RunningOperator,
  type World,
} from './world.ts'

jest.setTimeout(400_000)

let world: World
const proxies: Proxy[] = []
const stop = new AbortController()
const helpers: Promise<void>[] = []
const stops: (() => Promise<void>)[] = []
// They wait for leases to end, in real time: all at once.
const scenarios = makeScenarios()
const { scenario } = scenarios

beforeAll(async () => {
  world = await startWorld()
  scenarios.start()
}, START_LIMIT_MS)
afterAll(async () => {
  killOperatorProcesses()
  for (const one of stops) await one()
  stop.abort()
  await Promise.all(helpers)
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await world.stop()
})

interface Replica {
  readonly proxy: Proxy
  process: OperatorProcess
  /** As the kubelet does: a process that has ended is started again. */
  restart(): Promise<void>
}

async function startReplica(namespace: string): Promise<Replica> {
  const proxy = await startProxy(Number(new URL(world.cluster.server).port))
  proxies.push(proxy)
  const env = {
    KUBECONFIG: kubeconfigThrough(world, proxy.port),
    KEYSHIFT_NAMESPACES: namespace,
    KEYSHIFT_LEASE: namespace,
  }
  const replica: Replica = {
    proxy,
    process: await startOperatorProcess(world, env),
    restart: async () => void (replica.process = await startOperatorProcess(world, env)),
  }
  return replica
}

const leads = ({ process }: Replica): boolean => process.lines().some(({ message }) => message === 'leading')

/** An application whose epoch 1 is out, the leader that published it, and another replica that is ready to follow it. */
async function startPair(namespace: string): Promise<{ app: App; first: Replica; second: Replica }> {
  const app = await App.create(world, namespace)
  const first = await startReplica(namespace)
  await until(() => leads(first))
  await world.redis.hset(`${namespace}:job:j1`, { workspace_id: 'w1' })
  await app.apply(app.spec())
  await until(async () => (await app.document())?.epoch === 1)
  const second = await startReplica(namespace)
  await until(async () => (await probe(`${second.process.url}/readyz`)) === 200)
  return { app, first, second }
}

function canary(app: App, canaryPercentage: number, targetPhase: 'Legacy' | 'DualWrite' = 'DualWrite') {
  const redis = { ...app.spec().redis, assume: { maxmemory: 1e9 }, observers: ['*'] }
  const steps = [10, 50].map((percent) => ({ percent, soak: '0s' }))
  return app.spec({ targetPhase, canaryPercentage, redis, phases: { dualWrite: { steps } } })
}

/** The way to the API server is shut: what is open is cut, what is new refused. */
function block({ proxy }: Replica, on: boolean): void {
  proxy.refuse(on)
  if (on) proxy.cut()
}

/** Until the leader has looked at the resource and left it as it was. */
async function atRest(app: App, { process }: Replica): Promise<void> {
  const passes = async (): Promise<number> => passesIn(await (await fetch(`${process.url}/metrics`)).text())
  const ref = { namespace: app.namespace, name: 'jobs' }
  for (let look = 0; ; look += 1) {
    const before = await passes()
    const edited = await app.client.mergePatch(MIGRATIONS, ref, { metadata: { labels: { look: String(look) } } })
    await until(async () => (await passes()) > before)
    const { resourceVersion } = (await app.resource()).metadata
    if (resourceVersion === edited.metadata.resourceVersion) return
  }
}

scenario('O3: a leader cut off from the API server ends, the other one leads and goes on with the canary', async () => {
  const { app, first, second } = await startPair('cut-off')
  expect(leads(second)).toBe(false)
  const member = await app.join(await app.startPod())
  helpers.push(member.follow(stop.signal), new JobRunner(app.client, app.namespace).run(stop.signal))
  await app.apply(canary(app, 10))
  await until(async () => (await app.document())?.createTarget === 10)

  block(first, true)
  expect(await first.process.exit).toBe(1)
  expect(first.process.lastWord()).toMatch(/^lease lost: not renewed for \d+ ms$/)
  expect(await probe(`${second.process.url}/healthz`)).toBe(200)
  await until(() => leads(second))

  await app.apply(canary(app, 50))
  await until(async () => (await app.document())?.createTarget === 50)
  expect((await app.document())?.epoch).toBe(3)
  block(first, false)
  await first.restart()
  await until(async () => (await probe(`${first.process.url}/readyz`)) === 200)
  expect(leads(first)).toBe(false)
})

scenario('O3: both cut off, both go on by themselves once the way is open; the one that led has ended', async () => {
  const { app, first, second } = await startPair('both')
  for (const replica of [first, second]) block(replica, true)
  expect(await first.process.exit).toBe(1)
  // It competes in vain, which no new process would do better.
  expect(second.process.code()).toBeUndefined()
  for (const path of ['healthz', 'readyz']) expect(await probe(`${second.process.url}/${path}`)).toBe(200)
  for (const replica of [first, second]) block(replica, false)
  await first.restart()
  await until(() => leads(first) || leads(second))
  await app.apply(app.spec({ paused: true }))
  await until(async () => (await app.condition('Paused'))?.status === 'True')
  expect(leads(first) && leads(second)).toBe(false)
})

/** All that an operator may write of an application. */
async function written(app: App): Promise<object> {
  const { items } = await app.client.list<Job>(JOBS, { namespace: app.namespace })
  return {
    resource: (await app.resource()).metadata.resourceVersion,
    configMap: (await app.configMap())?.metadata.resourceVersion,
    jobs: items.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort(),
    record: await world.redis.hgetall(app.keys.record),
    fence: await world.redis.get(app.keys.fence),
    works: (await world.redis.keys(app.keys.work('*'))).sort(),
  }
}

scenario('a leader that was stopped while another took over writes nothing when it wakes, and ends', async () => {
  const { app, first, second } = await startPair('frozen')
  await atRest(app, first)
  first.process.child.kill('SIGSTOP')
  await until(() => leads(second))
  // With the leader stopped too, what there is to do is for the one that wakes, and nobody else.
  second.process.child.kill('SIGSTOP')
  await app.join(await app.startPod())
  await app.apply(canary(app, 10))
  const before = await written(app)
  first.process.child.kill('SIGCONT')
  expect(await first.process.exit).toBe(1)
  expect(first.process.lastWord()).toMatch(/^lease lost/)
  expect(await written(app)).toEqual(before)
  second.process.child.kill('SIGCONT')
})

/** Time, kube calls and scripts of one operator of this process, which can all stand still together, as for SIGSTOP. */
class Sleeper {
  readonly clock: Clock
  readonly openRedis: OpenRedis
  /** Scripts and calls go on when it wakes, timers later: a process that is stopped in mid-pass goes on there first. */
  #awake = Promise.resolve()
  #timers = Promise.resolve()
  wake: () => void = () => undefined
  releaseTimers: () => void = () => undefined
  /** Falls asleep when the record of this epoch has been written. */
  #at = 0
  #asleep: () => void = () => undefined

  constructor() {
    this.clock = {
      ...systemClock,
      sleep: async (ms, signal) => {
        await systemClock.sleep(ms, signal)
        await this.#timers
      },
    }
    this.openRedis = (options) =>
      new Proxy(openConnection(options), {
        get: (target, field) => {
          const value: unknown = Reflect.get(target, field, target)
          if (typeof value !== 'function') return value
          if (field !== 'runScript') return value.bind(target) as unknown
          return async (...args: Parameters<Connection['runScript']>) => {
            const answer = await target.runScript(...args)
            if (args[0] === 'control-write-record' && Number(args[2][0]) === this.#at) this.#sleep()
            await this.#awake
            return answer
          }
        },
      })
  }

  watch({ requests }: RunningOperator): void {
    requests.around = async (_right, args, call) => {
      await this.#awake
      const answer = await call(args)
      await this.#awake
      return answer
    }
  }

  fallAsleepAt(epoch: number): Promise<void> {
    this.#at = epoch
    return new Promise((resolve) => (this.#asleep = resolve))
  }

  #sleep(): void {
    this.#at = 0
    this.#awake = new Promise((resolve) => (this.wake = resolve))
    this.#timers = new Promise((resolve) => (this.releaseTimers = resolve))
    this.#asleep()
  }
}

scenario(
  'a leader that slept in mid-step, while another went on and back, does not end its step when it wakes',
  async () => {
    const app = await App.create(world, 'slept')
    await world.redis.hset('slept:job:j1', { workspace_id: 'w1' })
    const lease = { namespace: app.namespace, name: 'slept' }
    const sleeper = new Sleeper()
    const election = { leaseDurationMs: 15_000, renewDeadlineMs: 12_000, retryPeriodMs: 500 }
    const { clock, openRedis } = sleeper
    const first = runOperator(world, app.namespace, { lease, election, clock, openRedis })
    sleeper.watch(first)
    stops.push(() => {
      sleeper.wake()
      sleeper.releaseTimers()
      return first.stop()
    })
    const member = await app.join(await app.startPod())
    helpers.push(member.follow(stop.signal), new JobRunner(app.client, app.namespace).run(stop.signal))
    await app.apply(canary(app, 100, 'Legacy'))
    await until(async () => (await app.condition('TargetReached'))?.status === 'True')
    // It has the answer of Redis to the record of epoch 2, and is about to publish it.
    const asleep = sleeper.fallAsleepAt(2)
    await app.apply(canary(app, 10))
    await asleep
    expect((await app.document())?.epoch).toBe(1)
    const second = runOperator(world, app.namespace, { lease, election })
    stops.push(() => second.stop())
    await until(async () => (await app.document())?.epoch === 2)
    await app.apply(canary(app, 100, 'Legacy'))
    await until(async () => (await app.document())?.epoch === 3)
    await until(async () => (await app.condition('TargetReached'))?.status === 'True')
    const before = await written(app)
    const requests = first.requests.calls.length
    const writes = (): readonly string[] =>
      first.requests.calls.slice(requests).filter((right) => isWrite(right) && right !== 'create events')
    sleeper.wake()
    await until(() => writes().length > 0 || first.lines.some((line) => line.includes('LeaseLost')))
    expect(writes()).toEqual([])
    expect(await written(app)).toEqual(before)
    sleeper.releaseTimers()
    await until(() => first.lines.some((line) => line.startsWith('fatal lease lost')))
    expect(await written(app)).toEqual(before)
  },
)
