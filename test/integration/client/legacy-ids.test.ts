import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { InvalidId, type KeyshiftClient } from '../../../src/client/index.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import { startProxy } from '../redis/support/proxy.ts'
import { until } from '../redis/support/redis.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
let world: World
let registry: Registry
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
})
afterEach(() => world.closeClients())

const follow = async (doc: RoutingDocument, fence?: number): Promise<KeyshiftClient<'hash'>> => {
  world.dir.publish(doc)
  if (fence !== undefined) await world.redis.raw.set(KEYS.fence, String(fence))
  registry = new Registry()
  const client = world.client('hash', { metrics: { registry } })
  await client.ready()
  return client
}

describe('D11 ids that phase 1 will refuse', () => {
  const counted = async (client: KeyshiftClient<'hash'>): Promise<Record<string, string>> => {
    await client.close()
    return world.redis.raw.hgetall(KEYS.illegalIds)
  }

  test('probes for jobs that are not there count nothing, whatever they ask', async () => {
    const client = await follow(documentOf(1, 'Legacy'))
    const store = client.forWorkspace('w1')
    expect(await store.get('../etc:passwd')).toBeUndefined()
    expect(await store.update('a:b', { x: '1' })).toBe(false)
    expect(await store.delete('a:b')).toBe(false)
    expect(await store.expire('a:b', { ttlMs: 1000 })).toBe(false)
    expect(await store.mutate('a:b', [['HSET', 'x', '1']])).toBeUndefined()
    expect(await store.push('a:b', { queue: 'ai:queue' })).toBe(false)
    expect(await counted(client)).toEqual({})
  })

  test.each<[string, (client: KeyshiftClient<'hash'>) => Promise<unknown>]>([
    ['created', (c) => c.forWorkspace('w1').create('r:2', {})],
    [
      'created again',
      (c) =>
        c
          .forWorkspace('w1')
          .create('r:1', {})
          .catch(() => undefined),
    ],
    ['read', (c) => c.forWorkspace('w1').get('r:1')],
    ['updated', (c) => c.forWorkspace('w1').update('r:1', { x: '1' })],
    ['pushed', (c) => c.forWorkspace('w1').push('r:1', { queue: 'ai:other' })],
    ['deleted', (c) => c.forWorkspace('w1').delete('r:1')],
    ['dequeued, by a consumer of what others push', (c) => c.queue('ai:queue').dequeue()],
  ])('a job that was %s counts, with an example and the member', async (_, act) => {
    await world.redis.raw.hset('ai:job:r:1', { workspace_id: 'w1' })
    await world.redis.raw.lpush('ai:queue', 'r:1')
    const client = await follow(documentOf(1, 'Legacy'))
    await act(client)
    expect(await counted(client)).toMatchObject({
      count: '1',
      example: expect.stringMatching(/^r:[12]$/),
      member: client.state().memberId,
    })
  })
})

describe('D11 a job is made only after its id was counted', () => {
  const count = () => world.redis.raw.hget(KEYS.illegalIds, 'count')

  test.each<[string, (store: ReturnType<KeyshiftClient<'hash'>['forWorkspace']>, id: string) => Promise<unknown>]>([
    ['created', (store, id) => store.create(id, {})],
    ['enqueued', (store, id) => store.enqueue(id, {}, { queue: 'ai:queue' })],
  ])('%s: its count is there when the call returns, of many at once as well', async (_, make) => {
    const store = (await follow(documentOf(1, 'Legacy'))).forWorkspace('w1')
    await make(store, 'r:1')
    expect(await count()).toBe('1')
    await Promise.all(['r:2', 'r:3', 'r:4', 'j1'].map((id) => make(store, id)))
    expect(await count()).toBe('4')
  })

  test('where no answer comes back the count is made and the job is not', async () => {
    const proxy = await startProxy(world.redis.port)
    try {
      world.dir.publish(documentOf(1, 'Legacy'))
      const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` } })
      const store = client.forWorkspace('w1')
      await store.create('r:1', {})
      proxy.holdReplies()
      const made = store.create('w1:j1', {}, { deadlineMs: 1000 })
      await expect(made).rejects.toMatchObject({ code: 'NOT_READY', retry: 'safe' })
      expect(Number(await count())).toBeGreaterThan(1)
      expect(await world.redis.raw.exists('ai:job:w1:j1')).toBe(0)
      proxy.release()
      await store.create('w1:j1', {}, { deadlineMs: 20_000 })
    } finally {
      await proxy.close()
    }
  })
})

// The legacy key of job `w1:j1` is the target key of job `j1` in workspace w1.
describe.each<[string, RoutingDocument, number | undefined]>([
  ['epoch 1', documentOf(1, 'Legacy'), undefined],
  ['a later epoch of a migration that never left Legacy', documentOf(3, 'Legacy', 100, false), 2],
])('K12 in %s, a job whose id looks like the target of another one', (_, doc, fence) => {
  test('is its own: no operation on the one touches the other', async () => {
    const client = await follow(doc, fence)
    const store = client.forWorkspace('w1')
    const [one, other] = ['j1', 'w1:j1']
    await store.create(other, { v: 'other' })
    await store.create(one, { v: 'one' })
    expect((await store.get(other))?.value['v']).toBe('other')
    await store.update(one, { v: 'one again' })
    await store.mutate(one, [['HSET', 'w', '1']])
    await store.expire(one, { ttlMs: 600_000 })
    expect(await store.get(other)).toEqual({ jobId: other, value: { workspace_id: 'w1', v: 'other' } })
    await store.update(other, { v: 'other again' })
    expect((await store.get(one))?.value).toEqual({ workspace_id: 'w1', v: 'one again', w: '1' })
    const listed: string[] = []
    for await (const job of store.list()) listed.push(job.jobId)
    expect(listed.sort()).toEqual([one, other])
    expect(await store.delete(one)).toBe(true)
    expect((await store.get(other))?.value['v']).toBe('other again')
    expect(await store.delete(other)).toBe(true)
    expect(await world.redis.raw.keys('ai:job:*')).toEqual([])
  })

  test('comes out of a queue as itself', async () => {
    const client = await follow(doc, fence)
    const store = client.forWorkspace('w1')
    await store.create('j1', { v: 'one' })
    await store.enqueue('w1:j1', { v: 'other' }, { queue: 'ai:queue' })
    const delivery = await client.queue('ai:queue').dequeue()
    expect(delivery).toMatchObject({ jobId: 'w1:j1', workspaceId: 'w1' })
    expect((await delivery?.read())?.value['v']).toBe('other')
    await delivery?.nack()
    expect(await world.redis.raw.lrange('ai:queue', 0, -1)).toEqual(['w1:j1'])
  })
})

describe('once target keys may exist', () => {
  const acts = (client: KeyshiftClient<'hash'>, id = 'w1:j1'): (() => Promise<unknown>)[] => {
    const store = client.forWorkspace('w1')
    return [
      () => store.create(id, {}),
      () => store.get(id),
      () => store.update(id, { v: '2' }),
      () => store.mutate(id, [['HSET', 'v', '2']]),
      () => store.expire(id, { ttlMs: 1000 }),
      () => store.push(id, { queue: 'ai:queue' }),
      () => store.delete(id),
    ]
  }
  const refusedAreCounted = async (): Promise<void> => {
    const page = await registry.metrics()
    for (const operation of ['create', 'get', 'update', 'mutate', 'expire', 'push', 'delete'])
      expect(page).toContain(`keyshift_client_invalid_ids_total{migration="ai-jobs",operation="${operation}"} 1`)
    // What the caller asked for is no failure of the application's.
    expect(page).toContain('ai_jobs_total{workspace_id="w1",status="failed"} 0')
  }
  test('D11 from phase 1 on such an id is a typed error for each operation, counted', async () => {
    const client = await follow(documentOf(2, 'DualWrite', 10), 1)
    for (const act of acts(client, 'report:1'))
      await expect(act()).rejects.toMatchObject({ code: 'INVALID_ID', message: expect.stringContaining('"report:1"') })
    await refusedAreCounted()
    expect(await world.redis.raw.keys('ai:job:*')).toEqual([])
  })

  test.each<[string, RoutingDocument, number]>([
    ['the fence has reached the epoch, so that the next one may be there', documentOf(1, 'Legacy'), 1],
    ['after a walk back to Legacy', documentOf(9, 'Legacy'), 8],
  ])(
    '%s: ids that spell a target of their workspace are refused, and targets are looked after',
    async (_, doc, fence) => {
      for (const key of ['ai:job:j1', 'ai:job:w1:j1']) await world.redis.raw.hset(key, { workspace_id: 'w1', v: '1' })
      const client = await follow(doc, fence)
      for (const act of acts(client)) await expect(act()).rejects.toBeInstanceOf(InvalidId)
      await refusedAreCounted()
      expect(await world.pair('w1', 'j1')).toMatchObject({
        legacy: { value: { v: '1' } },
        target: { value: { v: '1' } },
      })
      const store = client.forWorkspace('w1')
      await store.update('j1', { v: '3' })
      const { legacy, target } = await world.pair('w1', 'j1')
      expect(target).toEqual(legacy)
      // Another workspace's name is no target of this one.
      await store.create('w2:j1', {})
      expect(await store.delete('j1')).toBe(true)
      expect(await world.redis.raw.keys('ai:job:*')).toEqual(['ai:job:w2:j1'])
    },
  )

  test('the fence is looked at by the script itself: what began before it rose is refused after it', async () => {
    const client = await follow(documentOf(1, 'Legacy'))
    await client.forWorkspace('w1').create('w1:j1', {})
    await world.redis.raw.set(KEYS.fence, '1')
    for (const act of acts(client)) await expect(act()).rejects.toBeInstanceOf(InvalidId)
    await refusedAreCounted()
    await until('it stays', () => world.redis.raw.exists('ai:job:w1:j1'))
  })
})
