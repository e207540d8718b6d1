import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Encoding, JobStore, KeyshiftClient } from '../../../src/client/index.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import { until } from '../redis/support/redis.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { keysOfEachType } from '../redis/support/key-types.ts'
import { snapshot } from './support/snapshot.ts'
import { thrownBy } from './support/thrown.ts'
import { World } from './support/world.ts'

/** Keys of every type in every place that a client looks at: named, or not there, and never written over. */
jest.setTimeout(60_000)
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(() => world.redis.raw.flushall())
afterEach(() => world.closeClients())

const TYPES: ReturnType<typeof keysOfEachType> = {
  ...keysOfEachType(() => world.redis.raw),
  string: (key) => world.redis.raw.set(key, '{"workspace_id":"w1","a":"1"}'),
  hash: (key) => world.redis.raw.hset(key, { workspace_id: 'w1', a: '1' }),
}
const typesBut = (...own: string[]) => Object.entries(TYPES).filter(([type]) => !own.includes(type))
const ROUTINGS: readonly [string, RoutingDocument | undefined][] = [
  ['unmanaged', undefined],
  ['DualWrite', documentOf(2, 'DualWrite', 100)],
  ['ReadRouting', documentOf(4, 'ReadRouting', 50)],
  ['BackfillVerify', documentOf(5, 'BackfillVerify')],
]
const BACKFILL_VERIFY = documentOf(5, 'BackfillVerify')

const valueOf = (encoding: Encoding): never =>
  (encoding === 'hash' ? { a: '1' } : '{"workspace_id":"w1","a":"1"}') as never

describe.each(ROUTINGS)('in %s', (_, doc) => {
  test.each(['hash', 'json'] as const)(
    '%s: a key of another type in the place of a job is not there for any operation, takes its name, and stays',
    async (encoding) => {
      const client = await world.follow<Encoding>(encoding, doc)
      const store: JobStore<Encoding> = client.forWorkspace('w1')
      const update = (encoding === 'hash' ? { a: '2' } : () => valueOf('json')) as never
      const target = (job: string): string => (doc === undefined ? `ai:job:${job}` : `ai:job:w1:${job}`)
      for (const [type, lay] of typesBut(encoding === 'hash' ? 'hash' : 'string')) {
        await lay(`ai:job:legacy-${type}`)
        await lay(target(`target-${type}`))
        await lay(`ai:job:both-${type}`)
        if (doc !== undefined) await lay(target(`both-${type}`))
      }
      const before = await snapshot(world.redis.raw)
      for (const [type] of typesBut(encoding === 'hash' ? 'hash' : 'string'))
        for (const job of ['legacy', 'target', 'both'].map((place) => `${place}-${type}`)) {
          expect([job, await store.get(job)]).toEqual([job, undefined])
          expect(await store.update(job, update)).toBe(false)
          expect(await store.expire(job, { ttlMs: 1 })).toBe(false)
          expect(await store.delete(job)).toBe(false)
          expect(await store.push(job, { queue: 'ai:queue' })).toBe(false)
          const creating = store.create(job, valueOf(encoding), { queue: 'ai:queue', ttlMs: 60_000 })
          await expect(creating).rejects.toMatchObject({ code: 'JOB_EXISTS' })
        }
      for await (const job of store.list()) throw new Error(`listed ${job.jobId}`)
      expect(await snapshot(world.redis.raw)).toEqual(before)
    },
  )

  test('a key that expires between two operations is not there, and its name is free again', async () => {
    const store = (await world.follow('hash', doc)).forWorkspace('w1')
    for (const key of doc === undefined ? ['ai:job:j1'] : ['ai:job:j1', 'ai:job:w1:j1']) {
      await world.redis.raw.rpush(key, 'x')
      await world.redis.raw.pexpire(key, 1)
    }
    await until('it is gone', async () => (await store.get('j1')) === undefined && (await world.redis.raw.dbsize()) < 6)
    await until('its name is free', async () =>
      store.create('j1', { a: '1' }).then(
        () => true,
        () => false,
      ),
    )
    expect((await store.get('j1'))?.value).toEqual({ workspace_id: 'w1', a: '1' })
  })
})

describe('a key of another type in the place of', () => {
  const QUEUE = 'ai:queue'

  test.each(typesBut('list'))('a queue, a %s, is named with its type, for every operation on it', async (type, lay) => {
    const client = await world.follow('hash', BACKFILL_VERIFY)
    const store = client.forWorkspace('w1')
    await store.enqueue('j1', { a: '1' }, { queue: QUEUE })
    const delivery = await client.queue(QUEUE).dequeue()
    await lay(QUEUE)
    const before = await snapshot(world.redis.raw)
    for (const act of [
      () => store.enqueue('j2', { a: '1' }, { queue: QUEUE, ttlMs: 60_000, operationId: 'o1' }),
      () => store.push('j1', { queue: QUEUE }),
      () => client.queue(QUEUE).dequeue(),
      async () => delivery?.nack(),
    ])
      expect(await thrownBy(act)).toMatchObject({
        code: 'OCCUPIED',
        retry: 'never',
        message: expect.stringContaining(`the queue "ai:queue" is a ${type}, not a list`),
      })
    expect(await snapshot(world.redis.raw)).toEqual(before)
    await delivery?.ack()
  })

  type Act = (client: KeyshiftClient<'hash'>) => Promise<unknown>
  const enqueue: Act = (c) =>
    c.forWorkspace('w1').enqueue('j2', { a: '1' }, { queue: QUEUE, ttlMs: 60_000, operationId: 'o1' })
  const push: Act = (c) => c.forWorkspace('w1').push('j1', { queue: QUEUE })
  const dequeue: Act = (c) => c.queue(QUEUE).dequeue()
  const withId: Act[] = [
    enqueue,
    (c) => c.forWorkspace('w1').update('j1', { a: '2' }, { operationId: 'o1' }),
    (c) => c.forWorkspace('w1').mutate('j1', [['HINCRBY', 'a', 1]], { operationId: 'o1' }),
    (c) => c.forWorkspace('w1').expire('j1', { ttlMs: 1 }, { operationId: 'o1' }),
    (c) => c.forWorkspace('w1').delete('j1', { operationId: 'o1' }),
  ]
  const every: Act[] = [
    enqueue,
    push,
    dequeue,
    (c) => c.forWorkspace('w1').get('j1'),
    (c) => c.forWorkspace('w1').update('j1', { a: '2' }),
    (c) => c.forWorkspace('w1').mutate('j1', [['HINCRBY', 'a', 1]]),
    (c) => c.forWorkspace('w1').expire('j1', { ttlMs: 1 }),
    (c) => c.forWorkspace('w1').delete('j1'),
    (c) => c.forWorkspace('w1').list().next(),
  ]
  /** What Keyshift keeps, of which type, and what looks at it. `delivered`: also what its holder does. */
  const OURS: readonly [string, string, string, readonly Act[], { readonly delivered?: true; readonly back?: true }][] =
    [
      ['the fence', KEYS.fence, 'string', every, { delivered: true }],
      ['the memory of an operation', KEYS.operation('o1'), 'hash', withId, {}],
      ['the counts of a queue', KEYS.queued(QUEUE), 'hash', [enqueue, push], { delivered: true }],
      ['the depth of queues', KEYS.depth, 'hash', [enqueue, push], { delivered: true }],
      ['the entries in processing', KEYS.processing(QUEUE), 'list', [dequeue], { delivered: true }],
      ['the leases of entries', KEYS.leases(QUEUE), 'zset', [dequeue], { delivered: true }],
      ['the dead entries', KEYS.dead(QUEUE), 'list', [], { back: true }],
      ['the count of fallback reads', KEYS.fallbackReads, 'string', [(c) => c.forWorkspace('w1').get('old')], {}],
    ]
  const rows = OURS.flatMap(([what, key, kind, acts, more]) =>
    typesBut(kind).map(([type, lay]) => ({ what, key, kind, type, lay, acts, more })),
  )

  test.each(rows)('$what, a $type, is named with both types, and nothing is done', async (row) => {
    const { raw } = world.redis
    const client = await world.follow('hash', BACKFILL_VERIFY)
    const store = client.forWorkspace('w1')
    await store.enqueue('j1', { a: '1' }, { queue: QUEUE })
    const delivery = await client.queue(QUEUE).dequeue()
    await raw.hset('ai:job:old', { workspace_id: 'w1' })
    await raw.set(KEYS.backfilled, '1')
    if (!row.key.startsWith(KEYS.processing('')) && !row.key.startsWith(KEYS.leases('')))
      await store.push('j1', { queue: QUEUE })
    else await raw.lpush(QUEUE, 'w1:j1')
    await raw.del(row.key)
    await row.lay(row.key)
    const before = await snapshot(raw)
    const acts: (() => Promise<unknown>)[] = row.acts.map((act) => () => act(client))
    if (row.more.delivered === true)
      acts.push(
        async () => delivery?.ack(),
        async () => delivery?.nack(),
      )
    if (row.more.back === true) acts.push(async () => delivery?.nack())
    for (const act of acts)
      expect(await thrownBy(act)).toMatchObject({
        code: 'REFUSED',
        redisCode: 'WRONGTYPE',
        retry: 'never',
        message: expect.stringMatching(
          new RegExp(
            `${row.key.replace(/[.*+?^$()|[\]\\]/g, '\\$&')} is a ${row.type}, and Keyshift keeps a ${row.kind} there`,
          ),
        ),
      })
    expect(await snapshot(raw)).toEqual(before)
  })

  test.each(typesBut('hash'))('the members, a %s: not ready, and says which key it is', async (type, lay) => {
    await lay(KEYS.members)
    const before = await world.redis.raw.dumpBuffer(KEYS.members)
    world.dir.publish(documentOf(1, 'Legacy'))
    const client = world.client('hash')
    await until('it says so', () =>
      client.state().message.includes(`${KEYS.members} is a ${type}, and Keyshift keeps a hash`),
    )
    expect(client.state()).toMatchObject({ ready: false, reason: 'CONNECTING' })
    const creating = client.forWorkspace('w1').create('j1', {}, { deadlineMs: 100 })
    await expect(creating).rejects.toMatchObject({ code: 'NOT_READY', message: expect.stringContaining(KEYS.members) })
    expect(await world.redis.raw.dumpBuffer(KEYS.members)).toEqual(before)
    await world.redis.raw.del(KEYS.members)
    await client.forWorkspace('w1').create('j1', {}, { deadlineMs: 20_000 })
  })

  test.each(typesBut('hash'))(
    'the count of illegal ids, a %s, stays: no job of such an id is made, those of others are',
    async (_, lay) => {
      await lay(KEYS.illegalIds)
      const before = await world.redis.raw.dumpBuffer(KEYS.illegalIds)
      const client = await world.follow('hash', documentOf(1, 'Legacy'))
      const store = client.forWorkspace('w1')
      await expect(store.create('a:b', {}, { deadlineMs: 500 })).rejects.toMatchObject({
        code: 'NOT_READY',
        message: expect.stringContaining(KEYS.illegalIds),
      })
      await store.create('j1', {})
      await client.close()
      expect(await world.redis.raw.exists('ai:job:a:b')).toBe(0)
      expect(await world.redis.raw.dumpBuffer(KEYS.illegalIds)).toEqual(before)
    },
  )
})
