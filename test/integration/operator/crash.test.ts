import { jest } from '@jest/globals'
import { matrix, startFakePrometheus, vector } from '../../unit/prometheus/fake-prometheus.ts'
import { ANNOTATIONS } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import { PODS } from '../../../src/kube/resources.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { parseDocument } from '../../../src/protocol/document.ts'
import { JobRunner } from './job-runner.ts'
import type { Moment } from './mortal.ts'
import { Story } from './mortal-story.ts'
import { RealClient } from './real-client.ts'
import { App, startWorld, START_LIMIT_MS, type World } from './world.ts'

jest.setTimeout(600_000)

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

const TABLE: readonly (readonly [string, Moment])[] = [
  ['when it was done and before its answer came', 'after'],
  ['before it is sent', 'before'],
]

describe('an operator that dies at each write of a walk through all phases and back', () => {
  it.concurrent.each(TABLE)('%s: the next one ends the walk as if nobody had died', async (_, when) => {
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

/** What a change of the routing as `epoch` writes. */
const changeOf = (epoch: number): unknown => expect.arrayContaining(OF_A_CHANGE.map((write) => `${write} ${epoch}`))
const namesOf = (deaths: readonly string[]) => deaths.map((place) => place.replace(/ \d+$/, ''))

describe('an operator that dies at each write', () => {
  it.concurrent.each(TABLE)(
    '%s: of an abort, a walk back after a failed check, an adoption, repair, purge and prune, the next one ends it',
    async (_, when) => {
      const app = await App.create(world, `aside-${when}`)
      const { namespace, keys } = app
      const prometheus = await startFakePrometheus()
      let value = '0'
      prometheus.answer(({ path }, response) =>
        response.end(
          path.includes('query_range') ? matrix([]) : vector([[{ workspace_id: 'w1' }, value]], {}, Date.now() / 1000),
        ),
      )
      const checks = [{ name: 'errors', query: 'errors', max: 0.01, interval: '1s', failureLimit: 0 }]
      const slo = {
        slo: { prometheus: { address: prometheus.url }, checks },
        redis: { ...app.spec().redis, assume: { maxmemory: 1e9 }, observers: ['*'] },
      }
      for (let i = 0; i < 5; i += 1) await world.redis.hset(`${namespace}:job:j${i}`, { workspace_id: 'w1' })
      const stop = new AbortController()
      const member = await app.join(await app.startPod())
      let follows = true
      const follow = async (): Promise<void> => {
        for (; !stop.signal.aborted; await new Promise((resolve) => setTimeout(resolve, 100)))
          if (follows) await member.report(await app.document())
      }
      const helpers = [follow(), new JobRunner(app.client, namespace).run(stop.signal)]
      const story = new Story(app, when)
      const calmly = async (work: () => Promise<unknown>): Promise<void> => {
        story.calm = true
        await work()
        story.calm = false
      }
      const status = async (): Promise<Status> => (await app.resource()).status ?? {}
      const document = async () => parseDocument((await status()).routing ?? '')
      const ref = { namespace, name: 'jobs' }
      const annotate = (annotations: Record<string, string>) =>
        app.client.mergePatch(MIGRATIONS, ref, { metadata: { annotations } })
      const isReached = async (): Promise<boolean> => {
        const { metadata, status: now } = await app.resource()
        const reached = now?.conditions?.find(({ type }) => type === 'TargetReached')
        return reached?.status === 'True' && reached.observedGeneration === metadata.generation
      }
      const last = async () => (await status()).history?.at(-1)
      try {
        await calmly(() => story.reach('Legacy', slo))
        follows = false
        await calmly(async () => {
          await app.apply(story.spec('DualWrite', slo))
          await story.live(async () => (await app.document())?.epoch === 2)
        })
        await app.apply(story.spec('Legacy', slo))
        const aborted = await story.live(async () => {
          follows ||= (await app.document())?.epoch === 3
          return follows && isReached()
        })
        expect(aborted).toEqual(changeOf(3))
        expect(await last()).toMatchObject({ epoch: 3, reason: 'Aborted' })

        await calmly(() => story.reach('ReadRouting', slo))
        const { epoch = 0 } = await status()
        value = '1'
        const back = await story.live(
          async () => (await app.document())?.phase === 'DualWrite' && (await app.document())?.epoch === epoch + 1,
        )
        value = '0'
        expect(back).toEqual(changeOf(epoch + 1))
        expect(await document()).toMatchObject({ phase: 'DualWrite', createTarget: 100, readTarget: 0 })
        expect((await status()).failed).toMatchObject({ phase: 'ReadRouting' })

        await calmly(() => story.reach('DualWrite', slo))
        const before = await status()
        await app.client.delete(MIGRATIONS, ref)
        await app.apply(story.spec('DualWrite', slo))
        const adopted = await story.live(
          async () => (await last())?.reason === 'Adopted' && (await status()).fence === before.fence && isReached(),
        )
        expect(adopted).toContain(`patch jobkeymigrations.keyshift.dev/status ${before.epoch}`)
        expect(await status()).toMatchObject({ epoch: before.epoch, routing: before.routing })
        expect(await world.redis.hmget(keys.record, 'epoch', 'document')).toEqual([
          String(before.epoch),
          before.routing,
        ])

        const repairs: string[] = []
        for (const turn of ['a', 'b', 'c', 'd']) {
          await world.redis.hset(`${namespace}:job:w1:j1`, 'n', turn)
          await annotate({ [ANNOTATIONS.repair]: turn })
          repairs.push(
            ...(await story.live(async () => {
              const { repaired, evidence } = await status()
              return repaired?.value === turn && evidence?.verifiedTarget !== undefined && isReached()
            })),
          )
          expect(await world.redis.hgetall(`${namespace}:job:w1:j1`)).toEqual({ workspace_id: 'w1' })
        }
        const ofRepair = ['control-start-work', 'create jobs.batch', 'delete jobs.batch']
        // Died once its Job was gone, nobody comes back for what it left in Redis.
        expect(namesOf(repairs)).toEqual(expect.arrayContaining(when === 'before' ? [...ofRepair, 'DEL'] : ofRepair))

        await calmly(() => story.reach('Legacy', slo))
        const gone = await app.startPod()
        await (await app.join(gone, 'gone')).lapse()
        await app.client.delete(PODS, { namespace, name: gone.metadata.name ?? '' })
        await annotate({ [ANNOTATIONS.purge]: 'once' })
        const purge = await story.live(
          async () =>
            (await status()).purged === 'once' &&
            (await world.redis.hexists(keys.members, 'gone')) === 0 &&
            isReached(),
        )
        expect(namesOf(purge)).toEqual(
          expect.arrayContaining(['control-start-work', 'create jobs.batch', 'control-prune-members']),
        )
        expect(await world.redis.exists(`${namespace}:job:w1:j1`)).toBe(0)
        const texts = [...new Set(story.published.map(({ text }) => text))].map((text) => parseDocument(text))
        expect(texts.map((one) => one.epoch)).toEqual(texts.map((__, i) => i + 1))
        for (const { text, recordEpoch } of story.published) expect(recordEpoch).toBe(parseDocument(text).epoch)
      } finally {
        stop.abort()
        await Promise.all(helpers)
        await prometheus.stop()
      }
    },
  )
})
