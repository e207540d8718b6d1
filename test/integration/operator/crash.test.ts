import { jest } from '@jest/globals'
import { createKubeClient } from '../../../src/kube/client.ts'
import { parseDocument } from '../../../src/protocol/document.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { JobRunner } from './job-runner.ts'
import { Mortal, type Moment } from './mortal.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(300_000)

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

const WALK = [
  'Legacy 0/0',
  'DualWrite 100/0',
  'ReadRouting 100/100',
  'BackfillVerify 100/100',
  'ReadRouting 100/100',
  'DualWrite 100/0',
  'Legacy 0/0',
]
/** The writes of a change of the routing, and the others of a walk. */
const OF_A_CHANGE = ['patch jobkeymigrations.keyshift.dev/status', 'control-write-record', 'patch configmaps']
const OTHERS = ['control-raise-fence', 'control-start-work', 'create jobs.batch', 'control-mark-backfilled']

/** Every document that was published, in order, with what Redis held at that moment. */
interface Published {
  readonly text: string
  readonly fence: number
  readonly recordEpoch: number
}

/** One application whose operators die one after the other, each at a write of its own. */
class Story {
  readonly app: App
  readonly when: Moment
  readonly published: Published[] = []
  readonly deaths: string[] = []

  constructor(app: App, when: Moment) {
    this.app = app
    this.when = when
  }

  /** Operators live and die until the resource has reached the phase. */
  async reach(targetPhase: Phase): Promise<void> {
    await this.app.apply(this.spec(targetPhase))
    const { generation } = (await this.app.resource()).metadata
    const isReached = async (): Promise<boolean> => {
      const { status } = await this.app.resource()
      const reached = status?.conditions?.find(({ type }) => type === 'TargetReached')
      return reached?.status === 'True' && reached.observedGeneration === generation
    }
    while (!(await isReached())) {
      const place = await this.#live(isReached)
      if (place === undefined) return
      this.deaths.push(place)
    }
  }

  /** The write at which it died; undefined: reached. */
  async #live(isReached: () => Promise<boolean>): Promise<string | undefined> {
    const { namespace } = this.app
    const mortal = new Mortal(createKubeClient(world.cluster.connection), this.when, (place) => this.#isLast(place))
    mortal.publishing = (text) => this.#witness(text)
    const running = runOperator(world, namespace, {
      client: mortal.client,
      openRedis: mortal.openRedis,
      // The dead do not give their lease back.
      lease: { namespace, name: `life-${this.deaths.length}` },
    })
    let isOver = false
    const reached = until(async () => isOver || (await isReached())).then(() => undefined)
    const end = await Promise.race([mortal.died, reached])
    isOver = true
    await running.stop()
    return end
  }

  /** Nobody dies where the last one died, nor more than three times at one place, or none would ever come past. */
  #isLast(place: string): boolean {
    return this.deaths.at(-1) !== place && this.deaths.filter((death) => death === place).length < 3
  }

  async #witness(text: string): Promise<void> {
    const { redis } = world
    const [fence, epoch] = await Promise.all([
      redis.get(this.app.keys.fence),
      redis.hget(this.app.keys.record, 'epoch'),
    ])
    this.published.push({ text, fence: Number(fence ?? 0), recordEpoch: Number(epoch ?? 0) })
  }

  spec(targetPhase: Phase) {
    return this.app.spec({
      targetPhase,
      redis: {
        address: `redis://127.0.0.1:${world.redisServer.port}/0`,
        assume: { maxmemory: 1_000_000_000 },
        // The client of the other story.
        observers: ['default'],
      },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '60s' },
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak: '0s' },
      },
    })
  }
}

describe('an operator that dies at each write of a walk through all phases and back', () => {
  const table: readonly (readonly [string, Moment])[] = [
    ['when it was done and before its answer came', 'after'],
    ['before it is sent', 'before'],
  ]
  it.concurrent.each(table)('%s: the next one ends the walk as if nobody had died', async (_, when) => {
    const app = await App.create(world, `dies-${when}`)
    const jobs = Array.from({ length: 30 }, (__, i) => ({ id: `j${i}`, workspace: `w${i % 3}` }))
    for (const { id, workspace } of jobs)
      await world.redis.hset(`${app.namespace}:job:${id}`, { workspace_id: workspace, n: id })
    const stop = new AbortController()
    const client = new RealClient(app, await app.startPod(), { address: app.spec().redis.address })
    const helpers = [
      new JobRunner(app.client, app.namespace).run(stop.signal),
      client.follow(stop.signal),
      client.work(stop.signal),
    ]
    const story = new Story(app, when)
    try {
      await story.reach('BackfillVerify')
      const { status } = await app.resource()
      expect(Object.keys(status?.evidence ?? {})).toEqual(expect.arrayContaining(['backfill', 'verifiedBoth']))
      const all = [...jobs, ...client.created.map((id) => ({ id, workspace: 'w1' }))]
      for (const { id, workspace } of all) {
        const legacy = await world.redis.hgetall(`${app.namespace}:job:${id}`)
        expect(legacy).toMatchObject({ workspace_id: workspace })
        expect(await world.redis.hgetall(`${app.namespace}:job:${workspace}:${id}`)).toEqual(legacy)
      }
      await story.reach('Legacy')
    } finally {
      stop.abort()
      await Promise.all(helpers)
    }
    for (const id of client.created) expect(await world.redis.exists(`${app.namespace}:job:${id}`)).toBe(1)
    expect(client.refused).toEqual([])

    // One text an epoch, epochs that only grow, no state left out and none taken twice.
    const texts = [...new Set(story.published.map(({ text }) => text))].map((text) => parseDocument(text))
    expect(texts.map(({ epoch }) => epoch)).toEqual(WALK.map((__, i) => i + 1))
    expect(texts.map(({ phase, createTarget, readTarget }) => `${phase} ${createTarget}/${readTarget}`)).toEqual(WALK)
    const epochs = story.published.map(({ text }) => parseDocument(text).epoch)
    expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
    // Fence and record come before the document that needs them.
    for (const [i, { fence, recordEpoch }] of story.published.entries())
      expect({ fence, recordEpoch }).toEqual({ fence: (epochs[i] ?? 0) - 1, recordEpoch: epochs[i] })
    const { status } = await app.resource()
    expect(status?.history?.map(({ epoch, reason }) => `${epoch} ${reason}`)).toEqual([
      '1 FirstPublished',
      ...['2', '3', '4'].map((epoch) => `${epoch} StepTaken`),
      ...['5', '6', '7'].map((epoch) => `${epoch} SteppedBack`),
    ])
    expect(await world.redis.hget(app.keys.record, 'epoch')).toBe('7')
    expect(story.deaths).toEqual(
      expect.arrayContaining(OF_A_CHANGE.flatMap((write) => WALK.map((_state, i) => `${write} ${i + 1}`))),
    )
    expect(story.deaths.map((place) => place.replace(/ \d+$/, ''))).toEqual(expect.arrayContaining(OTHERS))
    expect(
      story.deaths.filter((place) => place.startsWith('control-raise-fence')).map((place) => place.at(-1)),
    ).toEqual(expect.arrayContaining(['1', '2', '3', '4', '5', '6']))
  })
})
