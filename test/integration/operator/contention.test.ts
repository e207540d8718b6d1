import { jest } from '@jest/globals'
import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import type { ConfigMap, KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { parseDocument, ROUTING_FILE } from '../../../src/protocol/document.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(120_000)

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

let running: RunningOperator | undefined
afterEach(async () => {
  await running?.stop()
  running = undefined
})

/** Resources of one namespace, by name, and what is written of their ConfigMaps. */
class Stage {
  readonly app: App
  readonly running: RunningOperator
  /** Documents that the operator wrote, in order. */
  readonly written: string[] = []

  constructor(app: App, changes: Parameters<typeof runOperator>[2] = {}) {
    this.app = app
    this.running = running = runOperator(world, app.namespace, changes)
    this.running.requests.around = (right, args, call) => {
      if (right === 'patch configmaps') this.written.push((args[1] as ConfigMap).data?.[ROUTING_FILE] ?? '')
      return call(args)
    }
  }

  ref(name: string) {
    return { namespace: this.app.namespace, name }
  }

  async apply(name: string, changes: Partial<SpecInput> = {}): Promise<void> {
    const address = `redis://127.0.0.1:${world.redisServer.port}/0`
    const spec = this.app.spec({ redis: { address, assume: { maxmemory: 1e9 } }, ...changes })
    const metadata = this.ref(name)
    const resource = { apiVersion: 'keyshift.dev/v1alpha1', kind: 'JobKeyMigration', metadata, spec }
    await this.app.client.apply(MIGRATIONS, resource, { fieldManager: 'test', force: true })
  }

  async stalled(name: string): Promise<{ readonly reason: string; readonly message: string }> {
    const { status } = (await this.app.client.get<KubeObject>(MIGRATIONS, this.ref(name))) as JobKeyMigration
    const found = status?.conditions?.find(({ type }) => type === 'Stalled')
    return { reason: found?.reason ?? '', message: found?.message ?? '' }
  }

  async mounted(name: string): Promise<string> {
    const configMap = await this.app.client.get<ConfigMap>(CONFIG_MAPS, this.ref(name))
    return configMap.data?.[ROUTING_FILE] ?? ''
  }

  /** Two passes more over the resource have ended. */
  async passes(name: string): Promise<void> {
    for (let i = 0; i < 2; i += 1) {
      const before = await this.running.passes()
      const annotations = { poke: `${before}` }
      await this.app.client.mergePatch(MIGRATIONS, this.ref(name), { metadata: { annotations } })
      await until(async () => (await this.running.passes()) > before)
    }
  }
}

/** Keys that only this resource has. */
const keysOf = (name: string) => ({
  legacy: `${name}:job:{job_id}`,
  target: `${name}:job:{workspace_id}:{job_id}`,
  idWindow: '0s',
})
const sharing = (name: string, keys: string): Partial<SpecInput> => ({
  keys: keysOf(keys),
  app: { workloads: [{ kind: 'Deployment', name: 'api' }], configMapName: name },
})

describe('D8: two resources that name the same', () => {
  test('ConfigMap: the second writes nothing and names the first; the first deleted, it goes on once a person adopts', async () => {
    const stage = new Stage(await App.create(world, 'one-configmap'))
    await stage.apply('first', sharing('shared', 'c1'))
    await until(() => stage.written.length > 0)
    await stage.apply('second', sharing('shared', 'c2'))
    await until(async () => (await stage.stalled('second')).reason === 'HeldByOther')
    expect((await stage.stalled('second')).message).toMatch(/one-configmap\/first manages the same ConfigMap shared/)
    await stage.passes('second')
    await stage.passes('first')
    expect((await stage.stalled('first')).reason).not.toBe('HeldByOther')
    expect(stage.written.map((text) => parseDocument(text).name)).toEqual(['first'])
    const { legacy, target } = keysOf('c2')
    expect(await world.redis.keys(`${controlPrefix(legacy, target)}*`)).toEqual([])

    await stage.app.client.delete(MIGRATIONS, stage.ref('first'))
    await until(async () => (await stage.stalled('second')).reason === 'StateConflict')
    expect((await stage.stalled('second')).message).toMatch(
      /the routing of JobKeyMigration first, epoch 1.*adopt-epoch: "1"/,
    )
    expect(stage.written).toHaveLength(1)
    const annotations = { 'keyshift.dev/adopt-epoch': '1' }
    await stage.app.client.mergePatch(MIGRATIONS, stage.ref('second'), { metadata: { annotations } })
    await until(async () => parseDocument(await stage.mounted('shared')).name === 'second')
    expect(parseDocument(await stage.mounted('shared')).epoch).toBe(2)
  })

  test('keys: the second writes nothing, also with adopt-epoch set, and goes on with keys of its own', async () => {
    const stage = new Stage(await App.create(world, 'one-keyspace'))
    await stage.apply('first', sharing('first', 'k1'))
    await until(() => stage.written.length > 0)
    await stage.apply('second', sharing('second', 'k1'))
    await until(async () => (await stage.stalled('second')).reason === 'HeldByOther')
    const annotations = { 'keyshift.dev/adopt-epoch': '1' }
    await stage.app.client.mergePatch(MIGRATIONS, stage.ref('second'), { metadata: { annotations } })
    await stage.passes('second')
    expect(await stage.stalled('second')).toMatchObject({
      reason: 'HeldByOther',
      message: expect.stringMatching(/one-keyspace\/first manages the same keys/) as string,
    })
    expect(stage.written.map((text) => parseDocument(text).name)).toEqual(['first'])
    await stage.apply('second', sharing('second', 'k2'))
    await until(() => stage.written.length > 1)
    expect(parseDocument(await stage.mounted('second')).name).toBe('second')
  })

  test('ConfigMap and keys, applied at once: one goes on, the other one holds, and the writing ends', async () => {
    const stage = new Stage(await App.create(world, 'at-once'))
    await Promise.all([stage.apply('a', sharing('both', 'b1')), stage.apply('b', sharing('both', 'b1'))])
    const reasons = async () => [(await stage.stalled('a')).reason, (await stage.stalled('b')).reason]
    await until(async () => (await reasons()).filter((reason) => reason === 'HeldByOther').length === 1)
    await stage.passes('a')
    await stage.passes('b')
    const { length } = stage.written
    expect(length).toBeLessThanOrEqual(2)
    await stage.passes('a')
    await stage.passes('b')
    expect(stage.written).toHaveLength(length)
    const winner = (await reasons())[0] === 'HeldByOther' ? 'b' : 'a'
    expect(parseDocument(await stage.mounted('both')).name).toBe(winner)
  })
})

describe('O9: a ConfigMap that another manager takes back again and again', () => {
  test('is answered more and more rarely, and no more once it is left in peace', async () => {
    let ahead = 0
    const clock = { ...systemClock, now: () => Date.now() + ahead }
    // Time that is run ahead is no clock that is wrong.
    const stage = new Stage(await App.create(world, 'contested'), { clock, skew: { ms: 0 } })
    await stage.apply('jobs')
    await until(() => stage.written.length === 1)
    const document = await stage.mounted('jobs-routing')
    let turn = 0
    const takeBack = async () => {
      const data = { [ROUTING_FILE]: `{"turn":${(turn += 1)}}` }
      await stage.app.client.mergePatch(CONFIG_MAPS, stage.ref('jobs-routing'), { data }, { fieldManager: 'argocd' })
    }
    const answered = (times: number) =>
      until(async () => stage.written.length === times && (await stage.mounted('jobs-routing')) === document)
    await takeBack()
    await answered(2)
    let writes = 2
    // Each answer waits twice as long as the one before, in the end five minutes.
    for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
      for (let i = 0; i < 3; i += 1) await takeBack()
      ahead += (seconds * 1000) / 2
      await stage.passes('jobs')
      await takeBack()
      await stage.passes('jobs')
      expect(stage.written).toHaveLength(writes)
      ahead += (seconds * 1000) / 2
      await stage.passes('jobs')
      await answered((writes += 1))
      expect(await stage.stalled('jobs')).toMatchObject({
        reason: 'ConfigMapContested',
        message: expect.stringMatching(/argocd keeps taking back/) as string,
      })
    }
    ahead += 600_000
    await stage.passes('jobs')
    await until(async () => (await stage.stalled('jobs')).reason !== 'ConfigMapContested')
    await stage.passes('jobs')
    expect(stage.written).toHaveLength(writes)
    expect(stage.running.lines.filter((line) => line.includes('ConfigMapReverted'))).toHaveLength(8)
  })
})
