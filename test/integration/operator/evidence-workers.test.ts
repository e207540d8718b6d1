import { jest } from '@jest/globals'
import type { ChildProcess } from 'node:child_process'
import { ANNOTATIONS } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import type { Child } from '../../../hack/system/child.ts'
import { NAMESPACES } from '../../../src/kube/resources.ts'
import { mutate, MUTATING_POLICIES, startJobController, UNSCHEDULED } from './kubelet.ts'
import { makeScenarios } from './scenarios.ts'
import { Scene } from './worker-scene.ts'
import { App, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(600_000)

// As in workers.test.ts, for the work whose false success would let the walk move on keys that are not as they shall be.
type Kind = 'backfill' | 'verify' | 'repair'
const JOBS = 300
const KEYS_PER_SECOND = 300

let world: World
let controllers: Child
const scenes: Scene[] = []
// They wait for workers, most of the time: all at once.
const scenarios = makeScenarios()
const { scenario } = scenarios

beforeAll(async () => {
  world = await startWorld(MUTATING_POLICIES)
  controllers = await startJobController(world.cluster)
  await mutate(world.cluster, {
    label: 'sidecar',
    group: '',
    plural: 'pods',
    object: 'Object{spec: Object.spec{containers: [Object.spec.containers{name: "mesh", image: "mesh:1"}]}}',
  })
  scenarios.start()
}, START_LIMIT_MS)
afterAll(async () => {
  for (const scene of scenes) await scene.stop()
  await controllers.stop(0)
  await world.stop()
})

/** An application that goes to BackfillVerify, with an operator of its own. */
async function start(name: string, label?: string): Promise<Story> {
  const app = await App.create(world, name)
  if (label !== undefined)
    await app.client.mergePatch(NAMESPACES, { name }, { metadata: { labels: { [label]: 'yes' } } })
  const scene = new Scene(app)
  scenes.push(scene)
  await scene.load('j', JOBS)
  return new Story(scene)
}

async function go({ scene }: Story): Promise<void> {
  scene.operator()
  const brisk = { steps: [{ percent: 100, soak: '0s' }] }
  await scene.apply(KEYS_PER_SECOND, {
    targetPhase: 'BackfillVerify',
    phases: { dualWrite: brisk, readRouting: brisk, backfillVerify: { soak: '1h' } },
  })
}

class Story {
  readonly scene: Scene
  constructor(scene: Scene) {
    this.scene = scene
  }

  key(id: string, workspace?: string): string {
    return [this.scene.app.namespace, 'job', ...(workspace === undefined ? [] : [workspace]), id].join(':')
  }

  /** What a foreign writer leaves behind: a missing, a different and an orphaned target. */
  async damage(): Promise<void> {
    await world.redis.del(this.key('j1', 'w1'))
    await world.redis.hset(this.key('j2', 'w2'), 'n', 'other')
    await world.redis.hset(this.key('stray', 'w3'), 'workspace_id', 'w3')
  }

  async isWhole(): Promise<boolean> {
    for (let i = 0; i < JOBS; i += 1) {
      const [legacy, target] = await Promise.all([
        world.redis.hgetall(this.key(`j${i}`)),
        world.redis.hgetall(this.key(`j${i}`, `w${i % 20}`)),
      ])
      if (JSON.stringify(legacy) !== JSON.stringify(target)) return false
    }
    return (await world.redis.exists(this.key('stray', 'w3'))) === 0
  }

  /** The Job whose word the walk has taken for this. */
  async taken(kind: Kind): Promise<string | undefined> {
    const { evidence, repaired }: Status = await this.scene.status()
    if (kind === 'repair') return repaired?.job
    return (kind === 'backfill' ? evidence?.backfill : evidence?.verifiedBoth)?.job
  }

  async awaits(text: RegExp): Promise<void> {
    await until(async () => text.test((await this.scene.status()).awaits ?? ''))
  }

  async state(kind: Kind, state: string): Promise<void> {
    await until(async () => (await this.scene.status()).work?.[kind]?.state === state)
  }

  /** The newest worker of a Job, once it has got past `done` keys. */
  async halfWay(job: string, done: number): Promise<ChildProcess> {
    await until(async () => Number((await this.scene.work(job))['done']) > done)
    const { state = '' } = await this.scene.work(job)
    expect(state).not.toBe('done')
    return this.scene.kubelet.workers.get(job)?.at(-1) as ChildProcess
  }

  async done(job: string): Promise<number> {
    return Number((await this.scene.work(job))['done'] ?? 0)
  }

  /** A sleeper wakes up and comes to its end, which counts for nothing. */
  async wake(kind: Kind, job: string, worker: ChildProcess): Promise<void> {
    worker.kill('SIGCONT')
    await until(async () => (await this.scene.work(job))['state'] === 'done')
    await this.pass()
    expect(await this.taken(kind)).toBeUndefined()
  }

  /** Until the operator has looked again. */
  async pass(): Promise<void> {
    await this.scene.poke()
    const { running } = this.scene
    const passes = await running.passes()
    await until(async () => (await running.passes()) > passes + 1 || (await this.scene.poke(), false))
  }
}

scenario(
  'O7: backfill, verify and repair that are not scheduled, deleted half way, and asleep past their deadline: each goes on, none counts before it has ended',
  async () => {
    const story = await start('ordeal')
    const { scene } = story
    const held = new Set(['jobs-backfill-1', 'jobs-verify-2', 'jobs-repair-1'])
    scene.kubelet.admit = ({ metadata }) => (held.has(metadata.ownerReferences?.[0]?.name ?? '') ? UNSCHEDULED : 'run')
    await go(story)

    /** Gives the name of the Job that comes to an end. */
    const ordeal = async (kind: Kind, attempt: number): Promise<string> => {
      const name = (number: number): string => `jobs-${kind}-${number}`
      const [first, second, third] = [name(attempt), name(attempt + 1), name(attempt + 2)]
      held.delete(first)
      const sleeper = await story.halfWay(first, 30)
      sleeper.kill('SIGSTOP')
      const reached = await story.done(first)
      await scene.delete(first)
      await story.state(kind, 'Waiting')
      expect((await scene.status()).work?.[kind]?.message).toMatch(/its Job is gone/)
      held.add(second)
      await scene.hurry()
      await until(async () => (await scene.work(second))['state'] !== undefined)
      // It goes on from where the first one was.
      expect(await story.done(second)).toBe(reached)
      held.delete(second)
      await until(() => scene.kubelet.workers.has(second))
      const late = await story.halfWay(second, reached)
      late.kill('SIGSTOP')
      await scene.endAfter(second, 1)
      await story.state(kind, 'Waiting')
      expect((await scene.status()).work?.[kind]?.message).toMatch(/DeadlineExceeded/)
      await story.wake(kind, second, late)
      sleeper.kill('SIGCONT')
      await scene.hurry()
      return third
    }

    await story.awaits(/jobs-backfill-1.*not scheduled: 0\/3 nodes fit/)
    expect(await story.taken('backfill')).toBeUndefined()
    const backfill = await ordeal('backfill', 1)
    await until(async () => (await story.taken('backfill')) === backfill)
    await until(async () => (await scene.jobs()).includes('jobs-verify-2'))
    expect(await story.isWhole()).toBe(true)

    await story.awaits(/jobs-verify-2.*not scheduled: 0\/3 nodes fit/)
    await story.damage()
    const verify = await ordeal('verify', 2)
    await story.state('verify', 'Held')
    expect(await scene.work(verify)).toMatchObject({ missing: '1', different: '1', orphan: '1' })
    expect((await scene.status()).awaits).toMatch(/^VerifyFailed: /)
    expect(await story.taken('verify')).toBeUndefined()

    await scene.annotate({ [ANNOTATIONS.repair]: 'once' })
    await until(async () => (await scene.jobs()).includes('jobs-repair-1'))
    expect(await story.taken('repair')).toBeUndefined()
    const repair = await ordeal('repair', 1)
    await until(async () => (await story.taken('repair')) === repair)
    await until(async () => (await story.taken('verify')) !== undefined)
    expect(await story.isWhole()).toBe(true)
  },
)

scenario(
  'O8: backfill, verify and repair beside a sidecar, evicted half way and killed after it: each goes on, and the operator ends the Job whose worker is done',
  async () => {
    const story = await start('beside', 'sidecar')
    const { scene } = story
    await go(story)

    const ordeal = async (kind: Kind, attempt: number): Promise<string> => {
      const first = `jobs-${kind}-${attempt}`
      const evicted = await story.halfWay(first, 30)
      scene.kubelet.evicts.add(first)
      evicted.kill('SIGKILL')
      await until(() => scene.kubelet.evicts.size === 0)
      const reached = await story.done(first)
      await until(() => scene.kubelet.workers.get(first)?.length === 2)
      expect(await story.taken(kind)).toBeUndefined()
      // The same attempt, in another pod, from where it was.
      const next = await story.halfWay(first, reached)
      next.kill('SIGKILL')
      await story.state(kind, 'Waiting')
      expect(await story.taken(kind)).toBeUndefined()
      await scene.hurry()
      const second = `jobs-${kind}-${attempt + 1}`
      await until(async () => (await story.taken(kind)) === second)
      await until(async () => !(await scene.jobs()).includes(second))
      const line = (await scene.status()).jobs?.find(({ name }) => name === second)
      expect(line?.message).toMatch(/the worker has ended, container mesh keeps the pod running/)
      return second
    }

    await ordeal('backfill', 1)
    await ordeal('verify', 2)
    expect(await story.isWhole()).toBe(true)
    await story.damage()
    await scene.annotate({ [ANNOTATIONS.repair]: 'once' })
    await ordeal('repair', 1)
    expect((await scene.status()).repaired).toMatchObject({ copied: 1, replaced: 1, removed: 1, left: 0 })
    await until(async () => (await story.taken('verify')) === 'jobs-verify-4')
    expect(await story.isWhole()).toBe(true)
  },
)
