import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { KeyshiftError, LeaseLost, type Delivery, type Encoding } from '../../../src/client/index.ts'
import { until } from '../redis/support/redis.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
const QUEUE = 'ai:queue'
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  world.dir.swap(undefined)
})
afterEach(() => world.closeClients())

const entries = () => world.redis.raw.lrange(QUEUE, 0, -1)
const processing = () => world.redis.raw.lrange(KEYS.processing(QUEUE), 0, -1)
const depth = () => world.redis.raw.hgetall(KEYS.depth)
const empty = async (): Promise<void> => {
  expect(await entries()).toEqual([])
  expect(await processing()).toEqual([])
  expect(await world.redis.raw.exists(KEYS.leases(QUEUE), KEYS.queued(QUEUE), KEYS.depth)).toBe(0)
}

describe.each([
  { name: 'unmanaged', doc: undefined, pair: false },
  { name: 'DualWrite 10 %', doc: documentOf(2, 'DualWrite', 10), pair: false },
  { name: 'ReadRouting 50 %', doc: documentOf(3, 'ReadRouting', 50), pair: true },
  { name: 'BackfillVerify', doc: documentOf(4, 'BackfillVerify'), pair: true },
])('in $name', ({ doc, pair }) => {
  beforeEach(async () => {
    if (doc !== undefined) await world.settle(doc)
  })

  for (const encoding of ['hash', 'json'] as const) {
    test(`${encoding}: what is enqueued comes out in order, is read, acknowledged, and leaves nothing`, async () => {
      const client = world.client<Encoding>(encoding)
      const value = (w: string): never => (encoding === 'hash' ? { a: w } : `{"workspace_id":"${w}"}`) as never
      for (const [w, j] of [
        ['w1', 'j1'],
        ['w2', 'j2'],
        ['w1', 'j3'],
      ] as const)
        await client.forWorkspace(w).enqueue(j, value(w), { queue: QUEUE })
      expect(await entries()).toEqual(pair ? ['w1:j3', 'w2:j2', 'w1:j1'] : ['j3', 'j2', 'j1'])
      expect(await depth()).toEqual({ w1: '2', w2: '1' })
      const queue = client.queue(QUEUE)
      for (const [w, j] of [
        ['w1', 'j1'],
        ['w2', 'j2'],
        ['w1', 'j3'],
      ] as const) {
        const delivery = await queue.dequeue()
        expect(delivery).toMatchObject({ workspaceId: w, jobId: j })
        expect(await delivery?.read()).toMatchObject({ jobId: j })
        await delivery?.ack()
      }
      expect(await queue.dequeue()).toBeUndefined()
      await empty()
    })
  }

  test('both forms of entries are read, whoever wrote them', async () => {
    const client = world.client('hash')
    await client.forWorkspace('w1').create('j1', {})
    await client.forWorkspace('w2').create('j2', {})
    await world.redis.raw.lpush(QUEUE, 'j1', 'w2:j2')
    const queue = client.queue(QUEUE)
    const [a, b] = [await queue.dequeue(), await queue.dequeue()]
    expect([a?.workspaceId, a?.jobId, b?.workspaceId, b?.jobId]).toEqual(['w1', 'j1', 'w2', 'j2'])
    await a?.ack()
    await b?.ack()
    await empty()
  })

  test('nack puts it back to the end, in the form that the phase writes', async () => {
    const client = world.client('hash')
    await client.forWorkspace('w1').create('j1', {})
    await world.redis.raw.lpush(QUEUE, pair ? 'j1' : 'w1:j1')
    const queue = client.queue(QUEUE)
    const delivery = (await queue.dequeue()) as Delivery<'hash'>
    await queue.nack(delivery)
    expect(await entries()).toEqual([pair ? 'w1:j1' : 'j1'])
    expect(await processing()).toEqual([])
    expect(await depth()).toEqual({ w1: '1' })
    await expect(delivery.ack()).rejects.toBeInstanceOf(LeaseLost)
    await (await queue.dequeue())?.ack()
    await empty()
  })

  test('an entry whose job is gone is removed and counted, a malformed one goes to the dead list', async () => {
    const registry = new Registry()
    const client = world.client('hash', { metrics: { registry } })
    await client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })
    await client.forWorkspace('w1').delete('j1')
    await world.redis.raw.lpush(QUEUE, 'never', 'w9:never', ...(pair ? ['a:b:c', ':x'] : []))
    await world.redis.raw.hset('ai:job:nows', { a: '1' })
    if (doc !== undefined) await world.redis.raw.lpush(QUEUE, 'nows')
    expect(await client.queue(QUEUE).dequeue()).toBeUndefined()
    const dead = [...(doc === undefined ? [] : ['nows']), ...(pair ? [':x', 'a:b:c'] : [])]
    expect(await world.redis.raw.lrange(KEYS.dead(QUEUE), 0, -1)).toEqual(dead)
    await empty()
    const text = await registry.metrics()
    expect(text).toMatch(/keyshift_client_queue_removed_total\{migration="[a-z-]*",reason="gone"\} 3/)
    expect(text).toMatch(new RegExp(`reason="malformed"} ${dead.length}`))
  })

  test('an entry is never read as a job of another workspace', async () => {
    const client = world.client('hash')
    await client.forWorkspace('w1').create('j1', {})
    await world.redis.raw.lpush(QUEUE, 'w2:j1')
    expect(await client.queue(QUEUE).dequeue()).toBeUndefined()
    expect(await world.redis.raw.exists('ai:job:j1')).toBe(1)
  })

  test('an entry whose holder is gone comes back, also one moved by something else', async () => {
    const client = world.client('hash')
    const store = client.forWorkspace('w1')
    await store.enqueue('j1', {}, { queue: QUEUE })
    await store.create('j2', {})
    await world.redis.raw.lpush(KEYS.processing(QUEUE), 'j2')
    const queue = client.queue(QUEUE)
    const lost = await queue.dequeue({ leaseMs: 1 })
    const others = world.client('hash').queue(QUEUE)
    const again: string[] = []
    await until('both came back', async () => {
      await others.reap({ leaseMs: 1 })
      const delivery = await others.dequeue({ leaseMs: 60_000 })
      if (delivery !== undefined) {
        again.push(delivery.jobId)
        await delivery.ack()
      }
      return again.length === 2
    })
    expect(again.sort()).toEqual(['j1', 'j2'])
    await expect(lost?.ack()).rejects.toBeInstanceOf(LeaseLost)
    await expect(lost?.extend()).rejects.toBeInstanceOf(LeaseLost)
    await empty()
  })

  test('an extended lease is kept', async () => {
    const client = world.client('hash')
    await client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })
    const queue = client.queue(QUEUE)
    const delivery = await queue.dequeue({ leaseMs: 1000 })
    const before = delivery?.leaseEnd ?? 0
    await delivery?.extend(600_000)
    expect(delivery?.leaseEnd).toBeGreaterThan(before + 500_000)
    expect(await queue.reap()).toBe(0)
    await delivery?.ack()
    await empty()
  })

  test('a waiting consumer gets what comes later, and an abort ends the wait', async () => {
    const client = world.client('hash')
    const queue = client.queue(QUEUE)
    const waiting = queue.dequeue({ waitMs: 20_000 })
    await client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })
    const delivery = await waiting
    expect(delivery?.jobId).toBe('j1')
    await delivery?.ack()
    const abort = new AbortController()
    const ended = queue.dequeue({ waitMs: 20_000, signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(ended).rejects.toThrow('enough')
  })

  test('many consumers share a queue: every job is done once where no lease ends', async () => {
    const client = world.client('hash')
    const ids = Array.from({ length: 100 }, (_, i) => `m${i}`)
    for (const id of ids) await client.forWorkspace(`w${id.length}`).enqueue(id, {}, { queue: QUEUE })
    const done: string[] = []
    const consume = async (): Promise<void> => {
      const queue = world.client('hash').queue(QUEUE)
      for (let delivery = await queue.dequeue(); delivery !== undefined; delivery = await queue.dequeue()) {
        done.push(delivery.jobId)
        await delivery.ack()
      }
    }
    await Promise.all([consume(), consume(), consume()])
    expect(done.sort()).toEqual([...ids].sort())
    await empty()
  })
})

test('unmanaged, a job id with the delimiter and a value without workspace are served as before', async () => {
  const client = world.client('hash')
  await client.forWorkspace('w1').enqueue('report:1', { a: '1' }, { queue: QUEUE })
  await world.redis.raw.hset('ai:job:old', { a: '2' })
  await world.redis.raw.lpush(QUEUE, 'old')
  const queue = client.queue(QUEUE)
  const report = await queue.dequeue()
  expect(report).toMatchObject({ workspaceId: 'w1', jobId: 'report:1' })
  expect((await report?.read())?.value).toMatchObject({ a: '1' })
  await report?.ack()
  const old = await queue.dequeue()
  expect(old).toMatchObject({ workspaceId: undefined, jobId: 'old' })
  expect((await old?.read())?.value).toEqual({ a: '2' })
  await old?.ack()
  await empty()
})

test('entries written in one phase are served in every other, forward and back', async () => {
  const client = world.client('hash')
  const store = client.forWorkspace('w1')
  const walk = [
    documentOf(1, 'Legacy'),
    documentOf(2, 'DualWrite', 100),
    documentOf(3, 'ReadRouting', 100),
    documentOf(4, 'BackfillVerify'),
    documentOf(5, 'ReadRouting', 100),
    documentOf(6, 'DualWrite', 100),
    documentOf(7, 'Legacy'),
  ]
  const made: string[] = []
  for (const doc of walk) {
    await world.settle(doc)
    await store.enqueue(`at${doc.epoch}`, {}, { queue: QUEUE })
    made.push(`at${doc.epoch}`)
    const delivery = await client.queue(QUEUE).dequeue()
    expect(delivery?.workspaceId).toBe('w1')
    await delivery?.nack()
  }
  const served: string[] = []
  const queue = client.queue(QUEUE)
  for (let d = await queue.dequeue(); d !== undefined; d = await queue.dequeue()) {
    served.push(d.jobId)
    await d.ack()
  }
  expect(served.sort()).toEqual(made.sort())
  await empty()
})

test('a queue key of another type is refused and left alone', async () => {
  await world.redis.raw.set(QUEUE, 'text')
  const client = world.client('hash')
  await expect(client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })).rejects.toMatchObject({
    code: 'OCCUPIED',
  })
  await expect(client.queue(QUEUE).dequeue()).rejects.toMatchObject({ code: 'OCCUPIED' })
  expect(await world.redis.raw.keys('ai:*')).toEqual([QUEUE])
})

test('entries that are no text go to the dead list, also those that a consumer left behind, and hold up nobody', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(2, 'DualWrite', 10))
  const entries = Array.from({ length: 120 }, (_, i) => Buffer.from([0x6a, 0xff, i]))
  await world.redis.raw.lpush(QUEUE, ...entries.slice(0, 10))
  await world.redis.raw.lpush(KEYS.processing(QUEUE), ...entries.slice(10))
  const client = world.client('hash')
  await client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })
  const queue = client.queue(QUEUE)
  const delivery = await queue.dequeue({ leaseMs: 1000 })
  expect(delivery?.jobId).toBe('j1')
  await queue.reap({ leaseMs: 1 })
  await until('all are dead', async () => {
    await queue.reap({ leaseMs: 1 })
    return (await world.redis.raw.llen(KEYS.dead(QUEUE))) === entries.length
  })
  const dead = await world.redis.raw.lrangeBuffer(KEYS.dead(QUEUE), 0, -1)
  expect(dead.map((entry) => entry.toString('hex')).sort()).toEqual(entries.map((e) => e.toString('hex')).sort())
  await client.close()
})

test('a nack of an entry whose job is gone counts as removed, not as returned', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(2, 'DualWrite', 10))
  const registry = new Registry()
  const client = world.client('hash', { metrics: { registry } })
  const store = client.forWorkspace('w1')
  await store.enqueue('j1', {}, { queue: QUEUE })
  const delivery = await client.queue(QUEUE).dequeue()
  await store.delete('j1')
  await delivery?.nack()
  const text = await registry.metrics()
  expect(text).toMatch(/ai_jobs_total\{workspace_id="w1",status="returned"\} 0/)
  expect(text).toMatch(/queue_removed_total\{migration="[a-z-]*",reason="gone"\} 1/)
  await client.close()
})

test('dequeue ends within its deadline, however many entries of jobs that are gone come first', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(2, 'DualWrite', 10))
  for (let i = 0; i < 100; i += 1)
    await world.redis.raw.lpush(QUEUE, ...Array.from({ length: 1000 }, (_, k) => `gone-${i}-${k}`))
  const client = world.client('hash')
  const ended: unknown = await client
    .queue(QUEUE)
    .dequeue({ deadlineMs: 1000 })
    .catch((error: unknown) => error)
  // On a machine that is slow just then the last step has no time left.
  if (ended !== undefined) expect(ended).toBeInstanceOf(KeyshiftError)
  expect(await world.redis.raw.llen(QUEUE)).toBeGreaterThan(0)
  await client.close()
})
