import { jest } from '@jest/globals'
import type { Child } from '../../../hack/system/child.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import { NAMESPACES } from '../../../src/kube/resources.ts'
import { ANNOTATIONS } from '../../../src/api/resource.ts'
import { EVICTED, mutate, MUTATING_POLICIES, startJobController, UNSCHEDULED } from './kubelet.ts'
import { isWrite } from './recorder.ts'
import { Scene } from './worker-scene.ts'
import { App, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(60_000)

// The real Job controller makes the pods, the real garbage collector removes them, and policies of the API server change what
// they are; the worker is the real program. Kubelet alone is played.
let world: World
let controllers: Child
beforeAll(async () => {
  world = await startWorld(MUTATING_POLICIES)
  controllers = await startJobController(world.cluster)
  const { cluster } = world
  await Promise.all([
    mutate(cluster, {
      label: 'sidecar',
      group: '',
      plural: 'pods',
      object: 'Object{spec: Object.spec{containers: [Object.spec.containers{name: "mesh", image: "mesh:1"}]}}',
    }),
    mutate(cluster, {
      label: 'short-lived',
      group: 'batch',
      plural: 'jobs',
      object: 'Object{spec: Object.spec{ttlSecondsAfterFinished: 1}}',
    }),
  ])
}, START_LIMIT_MS)
afterAll(async () => {
  await controllers.stop(0)
  await world.stop()
})

const scenes: Scene[] = []
afterEach(async () => {
  for (const one of scenes.splice(0)) await one.stop()
})

async function scene(name: string, label?: string, keys = 3): Promise<Scene> {
  const app = await App.create(world, name)
  if (label !== undefined)
    await app.client.mergePatch(NAMESPACES, { name }, { metadata: { labels: { [label]: 'yes' } } })
  const made = new Scene(app)
  scenes.push(made)
  await made.load('j', keys)
  return made
}

const HELD = { phase: 'Pending' } as const
const FIRST = 'jobs-preflight-1'
const SECOND = 'jobs-preflight-2'

describe('O7: finished Jobs that live for one second, by a policy of the cluster', () => {
  it('a recorded result is not run again', async () => {
    const it = await scene('ttl-read', 'short-lived')
    const running = it.operator()
    await it.apply()
    expect(await it.recorded()).toBe(FIRST)
    await until(async () => (await it.jobs()).length === 0)
    await it.pokes(running)
    expect(await it.jobs()).toEqual([])
    expect((await it.status()).jobs).toMatchObject([{ name: FIRST, state: 'Succeeded' }])
  })

  it('a purge runs once for one annotation', async () => {
    const it = await scene('ttl-purge', 'short-lived')
    const running = it.operator()
    await it.apply()
    await it.recorded()
    await world.redis.hset('ttl-purge:job:w1:j9', { workspace_id: 'w1' })
    await it.annotate({ [ANNOTATIONS.purge]: 'once' })
    await until(async () => (await it.status()).purged === 'once' && (await it.jobs()).length === 0)
    await world.redis.hset('ttl-purge:job:w1:j9', { workspace_id: 'w1' })
    await it.pokes(running)
    expect(it.kubelet.workers.get('jobs-purge-1')).toHaveLength(1)
    expect(await it.jobs()).toEqual([])
    expect(await world.redis.exists('ttl-purge:job:w1:j9')).toBe(1)
  })

  it('an unread one is taken from Redis', async () => {
    const it = await scene('ttl-unread', 'short-lived')
    it.kubelet.admit = () => HELD
    const running = it.operator()
    await it.apply()
    await until(async () => (await it.state()) === 'Active')
    await running.stop()
    it.kubelet.admit = () => 'run'
    await until(async () => (await it.work(FIRST))['state'] === 'done' && (await it.jobs()).length === 0)
    it.operator('second')
    expect(await it.recorded()).toBe(FIRST)
    expect(it.kubelet.workers.get(FIRST)).toHaveLength(1)
  })

  it('also where the operator died before it ever saw the Job that it had made', async () => {
    const it = await scene('ttl-unseen', 'short-lived')
    const running = it.operator()
    let made = false
    running.requests.before = (right) => {
      if (made && isWrite(right)) throw new KubeError({ status: 0, reason: 'ConnectionFailed', message: 'crashed' })
      made ||= right === 'create jobs.batch'
    }
    await it.apply()
    await until(() => made)
    await running.stop()
    expect(await it.state()).toBe('Creating')
    await until(async () => (await it.work(FIRST))['state'] === 'done' && (await it.jobs()).length === 0)
    it.operator('second')
    expect(await it.recorded()).toBe(FIRST)
    expect(it.kubelet.workers.get(FIRST)).toHaveLength(1)
  })
})

it('O7: a Job that is deleted while it runs is no success, and runs again under the next number from where it was', async () => {
  const it = await scene('deleted', undefined, 600)
  it.operator()
  await it.apply(200)
  await until(async () => Number((await it.work(FIRST))['done']) > 100)
  const [worker] = it.kubelet.workers.get(FIRST) ?? []
  worker?.kill('SIGSTOP')
  const { startedAt, done } = await it.work(FIRST)
  await it.delete(FIRST)
  await until(async () => (await it.state()) === 'Waiting')
  expect((await it.status()).awaits).toMatch(/^JobRetry: preflight is tried again: its Job is gone/)
  it.kubelet.admit = () => HELD
  await it.hurry()
  await until(async () => (await it.jobs()).includes(SECOND))
  expect(await it.work(SECOND)).toMatchObject({ startedAt, done })
  it.kubelet.admit = () => 'run'
  // The first one wakes up and comes to an end of its own: that counts for nothing.
  worker?.kill('SIGCONT')
  expect(await it.recorded()).toBe(SECOND)
  expect(JSON.parse((await it.work(SECOND))['result'] ?? '')).toMatchObject({ legacy: 600, blockers: [] })
  await until(async () => (await it.app.events()).includes('Warning JobRetry'))
})

it('a worker that sleeps past the deadline of its Job, and wakes up after it, is no success', async () => {
  const it = await scene('deadline', undefined, 600)
  const running = it.operator()
  await it.apply(200)
  await until(async () => Number((await it.work(FIRST))['done']) > 100)
  const [worker] = it.kubelet.workers.get(FIRST) ?? []
  worker?.kill('SIGSTOP')
  await it.endAfter(FIRST, 1)
  await until(async () => (await it.state()) === 'Waiting')
  expect((await it.status()).awaits).toMatch(/DeadlineExceeded/)
  worker?.kill('SIGCONT')
  await until(async () => (await it.work(FIRST))['state'] === 'done')
  await it.pokes(running, 1)
  expect((await it.status()).preflight).toBeUndefined()
  await it.hurry()
  expect(await it.recorded()).toBe(SECOND)
})

describe('O8: a sidecar that a policy of the cluster puts into each pod', () => {
  it('which goes on when the worker is done: the operator ends the Job, and names it', async () => {
    const it = await scene('sidecar', 'sidecar')
    it.operator()
    await it.apply()
    expect(await it.recorded()).toBe(FIRST)
    await until(async () => (await it.jobs()).length === 0 && (await it.pods()).length === 0)
    const [line] = (await it.status()).jobs ?? []
    expect(line).toMatchObject({ name: FIRST, state: 'Succeeded' })
    expect(line?.message).toMatch(/the worker has ended, container mesh keeps the pod running/)
    await until(async () => (await it.app.events()).includes('Warning JobEnded'))
  })

  it('which exits with 1: what counts is what the worker wrote', async () => {
    const it = await scene('sidecar-fails', 'sidecar')
    it.kubelet.foreignExit = 1
    it.operator()
    await it.apply()
    expect(await it.recorded()).toBe(FIRST)
    await until(async () => (await it.jobs()).length === 0)
    expect((await it.status()).jobs?.[0]?.message).toMatch(/container mesh made the pod fail/)
    expect((await it.status()).preflight?.job).toBe(FIRST)
  })

  it('beside a worker that is killed: the attempt is lost, not stuck', async () => {
    const it = await scene('sidecar-killed', 'sidecar', 600)
    it.operator()
    await it.apply(200)
    await until(async () => Number((await it.work(FIRST))['done']) > 0)
    it.kubelet.workers.get(FIRST)?.[0]?.kill('SIGKILL')
    await until(async () => (await it.state()) === 'Waiting')
    await it.hurry()
    expect(await it.recorded()).toBe(SECOND)
    await until(async () => (await it.jobs()).length === 0)
  })
})

describe('a pod that cannot start is named in status, and goes on when it can', () => {
  const waiting = { reason: 'ImagePullBackOff', message: 'no such image' }
  const pulling = [{ name: 'worker', image: 'x', imageID: '', ready: false, restartCount: 0, state: { waiting } }]
  it.each([
    ['never scheduled', 'unscheduled', UNSCHEDULED, /not scheduled: 0\/3 nodes fit/],
    [
      'without its image',
      'no-image',
      { ...HELD, containerStatuses: pulling },
      /the image of container worker cannot be pulled/,
    ],
  ])('%s', async (_, name, status, text) => {
    const it = await scene(name)
    it.kubelet.admit = () => status
    it.operator()
    await it.apply()
    await until(async () => (await it.app.condition('Ready'))?.reason === 'JobPending')
    expect((await it.status()).awaits).toMatch(text)
    await until(async () => (await it.app.events()).includes('Warning JobPending'))
    it.kubelet.admit = () => 'run'
    expect(await it.recorded()).toBe(FIRST)
  })
})

it('an evicted pod is named, uses up no try of its Job, and the next one goes on from where it was', async () => {
  const it = await scene('evicted')
  it.kubelet.admit = () => EVICTED
  it.operator()
  await it.apply()
  await until(async () => (await it.app.condition('Ready'))?.reason === 'JobPending')
  expect((await it.status()).awaits).toMatch(/Evicted: The node was low on resource: memory/)
  it.kubelet.admit = () => 'run'
  expect(await it.recorded()).toBe(FIRST)
  await until(async () => (await it.app.job('preflight'))?.status?.succeeded === 1)
  expect((await it.app.job('preflight'))?.status?.failed ?? 0).toBe(0)
})

it('O7: Jobs that are deleted by hand as soon as they end change nothing', async () => {
  const it = await scene('by-hand')
  const running = it.operator()
  await it.apply()
  await until(async () => (await it.work(FIRST))['state'] === 'done')
  await it.delete(FIRST)
  expect(await it.recorded()).toBe(FIRST)
  await it.pokes(running)
  expect(await it.jobs()).toEqual([])
})

it('D9: sixty thousand jobs loaded while backfill is stopped half way are all copied before it says that it is done', async () => {
  const name = 'loaded'
  const it = await scene(name, undefined, 10_000)
  it.operator()
  const brisk = { steps: [{ percent: 100, soak: '0s' }] }
  await it.apply(20_000, { targetPhase: 'BackfillVerify', phases: { dualWrite: brisk, readRouting: brisk } })
  const backfill = 'jobs-backfill-1'
  const seen = new Set<string>()
  /** What status says while the work hash says that it runs. */
  const sample = async (): Promise<boolean> => {
    const status = await it.status()
    const { state, done, total } = await it.work(backfill)
    if (state === undefined) return false
    if (state !== 'running') return true
    expect(Number(done)).toBeLessThan(Number(total))
    expect(status.evidence?.backfill).toBeUndefined()
    if (status.progress?.startsWith('backfill') === true) seen.add(status.progress)
    return false
  }
  await until(async () => {
    await sample()
    return Number((await it.work(backfill))['copied']) > 3000
  })
  const [worker] = it.kubelet.workers.get(backfill) ?? []
  worker?.kill('SIGSTOP')
  await Promise.all([it.load('late', 60_000), sample()])
  expect(await it.app.events()).not.toContain('Normal BackfillComplete')
  // Nor is it silent on a worker that stands still.
  const last = Number((await it.work(backfill))['updatedAt']) - 301_000
  await world.redis.hset(it.app.keys.work(backfill), 'updatedAt', last)
  await it.annotate({ poked: 'still' })
  await until(async () => (await it.app.condition('Ready'))?.reason === 'JobPending')
  const movedAt = new Date(last).toISOString()
  expect((await it.status()).awaits).toContain(`backfill has made no progress since ${movedAt}`)
  worker?.kill('SIGCONT')
  await until(sample)
  const { result = '', total } = await it.work(backfill)
  expect(JSON.parse(result)).toMatchObject({ copied: 70_000, present: 70_000, malformed: 0 })
  await until(async () => (await it.status()).evidence?.backfill?.job === backfill)
  await until(async () => (await it.app.events()).includes('Normal BackfillComplete'))
  // An independent look at every key.
  const keys = new Set<string>()
  let cursor = '0'
  do {
    const [next, page] = await world.redis.scan(cursor, 'MATCH', `${name}:job:*`, 'COUNT', 10_000)
    for (const key of page) keys.add(key)
    cursor = next
  } while (cursor !== '0')
  expect(keys.size).toBe(140_000)
  expect(Number(total)).toBe(keys.size)
  expect(seen.size).toBeGreaterThan(0)
  for (const text of seen) expect(text).toMatch(/^backfill ~\d\d? %( of pass \d)?$/)
}, 240_000)
