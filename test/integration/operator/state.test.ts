import { jest } from '@jest/globals'
import type { Status } from '../../../src/api/status.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import type { Pod } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { parseDocument, ROUTING_FILE } from '../../../src/protocol/document.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { startTestCluster, installCrd } from '../kube/control-plane.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(120_000)

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

/** An application with the client at work, and what runs beside it. */
class Site {
  readonly app: App
  readonly client: RealClient
  readonly pod: Pod
  readonly operators: RunningOperator[] = []
  readonly #stop = new AbortController()
  readonly #helpers: Promise<void>[] = []

  private constructor(app: App, pod: Pod) {
    this.app = app
    this.pod = pod
    this.client = this.process()
    const { signal } = this.#stop
    this.#helpers.push(
      new JobRunner(app.client, app.namespace).run(signal),
      this.client.follow(signal),
      this.client.work(signal),
    )
  }

  static async start(name: string): Promise<Site> {
    const app = await App.create(world, name)
    for (let i = 0; i < 20; i += 1) await world.redis.hset(`${name}:job:old${i}`, { workspace_id: 'w1', n: i })
    return new Site(app, await app.startPod())
  }

  /** One more process of the pod, which follows no document yet. */
  process(): RealClient {
    return new RealClient(this.app, this.pod, { address: this.app.spec().redis.address })
  }

  run(...args: Parameters<typeof runOperator> extends [World, string, ...infer Rest] ? Rest : never): RunningOperator {
    const running = runOperator(world, this.app.namespace, ...args)
    this.operators.push(running)
    return running
  }

  spec(targetPhase: Phase) {
    return this.app.spec({
      targetPhase,
      // The clients of the other sites are no writers of this one's keys.
      redis: { ...this.app.spec().redis, assume: { maxmemory: 1e9 }, observers: ['default'] },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '60s' },
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak: '0s' },
      },
    })
  }

  async reach(targetPhase: Phase): Promise<Status> {
    await this.app.apply(this.spec(targetPhase))
    const { generation } = (await this.app.resource()).metadata
    await until(async () => {
      const reached = (await this.status()).conditions?.find(({ type }) => type === 'TargetReached')
      return reached?.status === 'True' && reached.observedGeneration === generation
    })
    return this.status()
  }

  async status(): Promise<Status> {
    return (await this.app.resource()).status ?? {}
  }

  ref(name = 'jobs') {
    return { namespace: this.app.namespace, name }
  }

  /** A change of the resource that means nothing: a pass follows. */
  async poke(): Promise<void> {
    await this.app.client.mergePatch(MIGRATIONS, this.ref(), { metadata: { annotations: { poke: `${Date.now()}` } } })
  }

  /** What was said in Events of this reason; the API server is sent no more than 25 of an object. */
  said(reason: string): string {
    const lines = this.operators.flatMap((running) => running.lines)
    return lines.filter((line) => line.startsWith('info event') && line.includes(`"${reason}"`)).join('\n')
  }

  /** Each job that was acknowledged is there under both schemas, and alike. */
  async expectPairs(): Promise<void> {
    const { namespace } = this.app
    for (const id of this.client.created) {
      const legacy = await world.redis.hgetall(`${namespace}:job:${id}`)
      expect({ id, ...legacy }).toMatchObject({ id, workspace_id: 'w1' })
      expect(await world.redis.hgetall(`${namespace}:job:w1:${id}`)).toEqual(legacy)
    }
  }

  async stop(): Promise<void> {
    for (const running of this.operators) await running.stop()
    this.#stop.abort()
    await Promise.all(this.#helpers)
  }
}

describe('in BackfillVerify, with the client at work', () => {
  let site: Site
  let early: Status
  let legacyDocument: string
  let done: Status
  beforeAll(async () => {
    site = await Site.start('phase3')
    site.run()
    await site.reach('Legacy')
    legacyDocument = (await site.status()).routing ?? ''
    early = await site.reach('DualWrite')
    done = await site.reach('BackfillVerify')
  }, 120_000)
  afterAll(() => site.stop())

  const put = async (status: Status) => {
    const { resourceVersion, namespace, name } = (await site.app.resource()).metadata
    const absent = Object.keys(done).map((field): [string, null] => [field, null])
    const patch = { ...Object.fromEntries(absent), ...status }
    await site.app.client.patchStatus(MIGRATIONS, { namespace, name }, patch, resourceVersion ?? '')
  }
  /** Everything stands where it stood, and no routing was published for it. */
  const asBefore = async () => {
    await until(async () => {
      const { epoch, fence, evidence } = await site.status()
      return epoch === 4 && fence === done.fence && evidence?.verifiedBoth !== undefined
    })
    expect((await site.app.configMap())?.data?.[ROUTING_FILE]).toBe(done.routing)
    expect((await site.status()).routing).toBe(done.routing)
    expect(await world.redis.get(site.app.keys.fence)).toBe(String(done.fence))
    expect(await world.redis.hmget(site.app.keys.record, 'epoch', 'document')).toEqual(['4', done.routing])
  }

  const statuses: readonly (readonly [string, () => Status])[] = [
    ['of two epochs ago', () => early],
    ['that is empty', () => ({})],
  ]
  it.each(statuses)('O4: a status %s, written back, is put right from the record', async (_, status) => {
    const before = (await site.status()).history?.length ?? 0
    await put(status())
    await until(async () => ((await site.status()).history?.length ?? 0) > before)
    expect((await site.status()).history?.at(-1)).toMatchObject({ epoch: 4, reason: 'Adopted' })
    await asBefore()
    expect(site.said('Adopted')).toMatch(/status goes on from the record in Redis: .*, epoch 4/)
  })

  it('O4: a record of an older epoch is written again from status', async () => {
    await world.redis.hset(site.app.keys.record, { epoch: 2, document: early.routing ?? '' })
    await site.poke()
    await until(async () => (await world.redis.hget(site.app.keys.record, 'epoch')) === '4')
    await asBefore()
    expect(site.said('Adopted')).toMatch(/the record in Redis lies behind status, epoch 4 is written again/)
  })

  it('O4: a ConfigMap of an older epoch is put right, and no client follows it meanwhile', async () => {
    const data = { [ROUTING_FILE]: early.routing ?? '' }
    await site.app.client.mergePatch(CONFIG_MAPS, site.ref('jobs-routing'), { data }, { fieldManager: 'old-backup' })
    await until(() => site.said('ConfigMapReverted').includes('old-backup'))
    await until(async () => (await site.app.configMap())?.data?.[ROUTING_FILE] === done.routing)
    await asBefore()
    expect(site.client.refused).toEqual([])
  })

  it('O4: deleted, the routing stays and nothing is written; applied again it goes on from the record', async () => {
    await site.app.client.delete(MIGRATIONS, site.ref())
    const [running] = site.operators
    const record = await world.redis.hgetall(site.app.keys.record)
    await until(async () => (await running?.registry.metrics())?.includes('namespace="phase3"') === false)
    const created = site.client.created.length
    await until(() => site.client.created.length > created + 5)
    expect((await site.app.configMap())?.data?.[ROUTING_FILE]).toBe(done.routing)
    expect(await world.redis.hgetall(site.app.keys.record)).toEqual(record)
    await site.app.apply(site.spec('BackfillVerify'))
    await until(async () => (await site.status()).history?.at(-1)?.reason === 'Adopted')
    await asBefore()
  })

  it('a deleted fence lets a process of epoch 1 write in legacy alone; it is set again, and everything is proven anew', async () => {
    const before = (await site.status()).evidence
    const late = site.process()
    late.mount(legacyDocument)
    const store = late.client.forWorkspace('w1')
    await expect(store.create('late', { n: '0' })).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    await until(async () => {
      await world.redis.del(site.app.keys.fence)
      return store.create('late', { n: '0' }, { ttlMs: 3_600_000 }).then(
        () => true,
        () => false,
      )
    })
    await site.poke()
    await until(() => site.said('EvidenceVoid').includes('the fence was gone'))
    await until(async () => (await world.redis.get(site.app.keys.fence)) === String(done.fence))
    await expect(store.create('later', { n: '0' })).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    await late.close()
    await until(async () => {
      const { evidence } = await site.status()
      return evidence?.verifiedBoth !== undefined && evidence.verifiedBoth.job !== before?.verifiedBoth?.job
    })
    expect(await world.redis.hget(`${site.app.namespace}:job:w1:late`, 'workspace_id')).toBe('w1')
    await asBefore()
  })

  it('and after all that the way back is open, epoch by epoch', async () => {
    await site.expectPairs()
    const { history } = await site.reach('Legacy')
    expect(history?.slice(-3).map(({ epoch, reason }) => `${epoch} ${reason}`)).toEqual(
      ['5', '6', '7'].map((epoch) => `${epoch} SteppedBack`),
    )
    expect(site.client.refused).toEqual([])
  })
})

it('O4: two clusters on one Redis: the second publishes nothing until a person adopts, and then the first does not', async () => {
  const other = await startTestCluster()
  await installCrd(other)
  const site = await Site.start('twice')
  try {
    const first = site.run()
    const { epoch } = await site.reach('DualWrite')
    const routing = (await site.app.configMap())?.data
    const twin = await App.create({ ...world, cluster: other }, 'twice')
    const second = runOperator({ ...world, cluster: other }, 'twice')
    site.operators.push(second)
    await twin.apply(site.spec('Legacy'))
    await until(async () => (await twin.condition('Stalled'))?.reason === 'StateConflict')
    const { message } = (await twin.condition('Stalled')) ?? {}
    expect(message).toMatch(
      /the record of twice\/jobs in another cluster .* at epoch 2.*keyshift\.dev\/adopt-epoch: "2"/,
    )
    expect(await twin.configMap()).toBeUndefined()
    await site.poke()
    const passes = await first.passes()
    await until(async () => (await first.passes()) > passes)
    expect([(await site.status()).epoch, (await site.app.configMap())?.data]).toEqual([epoch, routing])

    const annotations = { 'keyshift.dev/adopt-epoch': '2' }
    await twin.client.mergePatch(MIGRATIONS, site.ref(), { metadata: { annotations } })
    await until(async () => (await twin.document())?.epoch === 3)
    expect((await twin.document())?.phase).toBe('DualWrite')
    await site.poke()
    await until(async () => (await site.app.condition('Stalled'))?.reason === 'StateConflict')
    expect((await site.app.configMap())?.data).toEqual(routing)
    expect(Number(await world.redis.hget(site.app.keys.record, 'epoch'))).toBeGreaterThanOrEqual(3)
  } finally {
    await site.stop()
    await other.stop()
  }
})

it('two leaders at once: one document an epoch, in order, each step taken once, and the client does not notice', async () => {
  const site = await Site.start('leaders')
  const published: { readonly by: string; readonly text: string }[] = []
  try {
    for (const by of ['a', 'b']) {
      const running = site.run()
      running.requests.around = (right, args, call) => {
        // Each has a Lease that the other does not see, under one name.
        if (right.endsWith('leases.coordination.k8s.io')) args = apart(args, by)
        if (right === 'patch configmaps') {
          const text = (args[1] as { data?: Record<string, string> }).data?.[ROUTING_FILE] ?? ''
          published.push({ by, text })
        }
        return call(args)
      }
    }
    await until(() => site.operators.every(({ operator }) => operator.isLeader))
    await site.reach('BackfillVerify')
    await site.expectPairs()
    const { history } = await site.reach('Legacy')
    expect(history?.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7])
  } finally {
    await site.stop()
  }
  expect(site.operators.every(({ lines }) => lines.some((line) => line.includes('action done')))).toBe(true)
  const texts = [...new Set(published.map(({ text }) => text))].map((text) => parseDocument(text).epoch)
  expect(texts.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7])
  expect(site.client.refused).toEqual([])
  expect(site.client.lines.filter((line) => line.startsWith('error'))).toEqual([])
})

function apart(args: readonly unknown[], by: string): readonly unknown[] {
  const [type, target, ...rest] = args
  const object = target as { name?: string; metadata?: { name?: string } }
  return [
    type,
    object.metadata === undefined
      ? { ...object, name: `${object.name ?? ''}-${by}` }
      : { ...object, metadata: { ...object.metadata, name: `${object.metadata.name ?? ''}-${by}` } },
    ...rest,
  ]
}
