import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import {
  KeyshiftError,
  NotReady,
  UnknownOutcome,
  type ClientOptions,
  type JobStore,
  type KeyshiftClient,
} from '../../../src/client/index.ts'
import type { LeaseRecord } from '../../../src/protocol/control-keys.ts'
import { startProxy, type Cut, type Proxy } from '../redis/support/proxy.ts'
import { MAJORS, startTestRedis, until } from '../redis/support/redis.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { noUnhandledRejections } from './support/unhandled.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
noUnhandledRejections()
let world: World
const proxies: Proxy[] = []
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(5, 'BackfillVerify'))
})
afterEach(async () => {
  await world.closeClients()
  for (const proxy of proxies.splice(0)) await proxy.close()
})

type Outcome = 'done' | 'unknown' | 'not sent'
/** What became of a call; anything but a typed error of the connection fails the test. */
async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  const error = await call.then(
    () => undefined,
    (e: unknown) => e,
  )
  if (error === undefined) return 'done'
  expect(error).toBeInstanceOf(KeyshiftError)
  if (error instanceof UnknownOutcome) return 'unknown'
  expect(error).toBeInstanceOf(NotReady)
  return 'not sent'
}

const reportsEpoch = (client: KeyshiftClient<'hash'>, epoch: number): Promise<unknown> =>
  until(`the member reports epoch ${epoch}`, async () => {
    const lease = await world.redis.raw.get(KEYS.lease(client.state().memberId))
    return lease !== null && (JSON.parse(lease) as LeaseRecord).epoch === epoch
  })

/** One call of each kind, each on a job that is there; the server knows their scripts. */
const CALLS: Record<string, (store: JobStore<'hash'>, options: { deadlineMs: number }) => Promise<unknown>> = {
  create: (s, o) => s.create(`new-${Math.random()}`, {}, o),
  get: (s, o) => s.get('j1', o),
  update: (s, o) => s.update('j1', { a: '1' }, o),
  mutate: (s, o) => s.mutate('j1', [['HINCRBY', 'b', 1]], o),
  expire: (s, o) => s.expire('j1', { ttlMs: 600_000 }, o),
  push: (s, o) => s.push('j1', { ...o, queue: 'ai:queue' }),
  delete: (s, o) => s.delete('gone', o),
}

describe.each(MAJORS)('over $major', ({ Redis }) => {
  const proxied = async (more: Partial<ClientOptions<'hash'>> = {}) => {
    const proxy = await startProxy(world.redis.port)
    proxies.push(proxy)
    const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0`, Redis }, ...more })
    const store = client.forWorkspace('w1')
    await store.create('j1', { n: '0' })
    for (const call of Object.values(CALLS)) await call(store, { deadlineMs: 5000 })
    await store.mutate('j1', [['HINCRBY', 'n', 0]])
    return { proxy, client, store }
  }
  const startAnother = (port: number) =>
    world.client('hash', { redis: { address: `redis://127.0.0.1:${port}/0`, Redis } }).ready()
  const n = async (): Promise<number> => {
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(target).toEqual(legacy)
    return Number((legacy?.value as Record<string, string>)['n'])
  }

  test.each<[Cut, number]>([
    ['request', 0],
    ['reply', 1],
    ['mid-reply', 1],
  ])('K1 cut at the %s, 100 times: the call settles with a typed error and ran %i times', async (where, ran) => {
    const { proxy, client, store } = await proxied()
    for (let i = 1; i <= 100; i += 1) {
      await client.ready()
      const step = String(1000 + i)
      proxy.cutNext(where, step)
      expect(await outcomeOf(store.mutate('j1', [['HINCRBY', 'n', Number(step)]]))).toBe('unknown')
    }
    const sum = ran * Array.from({ length: 100 }, (_, i) => 1001 + i).reduce((a, b) => a + b)
    expect(await n()).toBe(sum)
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    await reportsEpoch(client, 6)
  })

  test.each<Cut>(['request', 'reply', 'mid-reply'])('a read cut at the %s answers all the same', async (where) => {
    const { proxy, store } = await proxied()
    for (let i = 0; i < 20; i += 1) {
      proxy.cutNext(where, 'EVALSHA')
      expect((await store.get('j1'))?.value).toMatchObject({ workspace_id: 'w1', n: '0' })
    }
  })

  test.each<[string, (proxy: Proxy) => void]>([
    ['what the client sends is held back', (proxy) => proxy.holdRequests()],
    ['what the server answers is held back', (proxy) => proxy.holdReplies()],
    ['the peer is gone without a word', (proxy) => proxy.vanish()],
    ['connections are refused and cut', (proxy) => (proxy.refuse(true), proxy.cut())],
  ])('while %s every call settles by its deadline, and all goes on afterwards', async (_, harm) => {
    const { proxy, client, store } = await proxied()
    harm(proxy)
    const queue = client.queue('ai:queue')
    const calls = [50, 200, 1500].flatMap((deadlineMs) => [
      ...Object.values(CALLS).map((call) => outcomeOf(call(store, { deadlineMs }))),
      outcomeOf(queue.dequeue({ deadlineMs })),
      outcomeOf(queue.reap({ deadlineMs })),
      outcomeOf(store.list({ deadlineMs }).next()),
    ])
    // The next epoch comes in the middle of it: the drain must end.
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    const outcomes = await Promise.all(calls)
    expect(outcomes.length).toBe(30)
    proxy.refuse(false)
    proxy.release()
    await client.ready()
    await store.update('j1', { n: '7' })
    expect(await n()).toBe(7)
    await reportsEpoch(client, 6)
  })

  test('a call of several steps has one deadline for all of them', async () => {
    const { proxy, client } = await proxied()
    // The server knows the scripts of the three steps, none of which takes too long by itself.
    await (await client.queue('ai:queue').dequeue())?.nack()
    proxy.delayReplies(() => 300)
    expect(await outcomeOf(client.queue('ai:queue').dequeue({ deadlineMs: 700 }))).not.toBe('done')
  })

  test('half-open: reads answer within their deadlines, over a socket that is alive', async () => {
    const { proxy, store } = await proxied()
    proxy.vanish()
    const reads = Promise.all(Array.from({ length: 20 }, () => store.get('j1')))
    // Somebody must come by to notice the silence.
    for (let i = 0; i < 15; i += 1) {
      void store.get('j1').catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    for (const job of await reads) expect(job?.value).toMatchObject({ n: '0' })
    expect(proxy.connections()).toBeGreaterThan(1)
  })

  test('K2 what failed with no connection is not done once there is one again', async () => {
    const { proxy, client, store } = await proxied()
    proxy.refuse(true)
    proxy.cut()
    await until('the connection is lost', () => !client.state().ready)
    expect(client.state()).toMatchObject({ ready: false, reason: 'CONNECTING' })
    expect(await outcomeOf(store.update('j1', { n: '1' }, { deadlineMs: 100 }))).toBe('not sent')
    const other = world.client('hash').forWorkspace('w1')
    expect(await other.update('j1', { n: '2' })).toBe(true)
    proxy.refuse(false)
    expect((await store.get('j1'))?.value).toMatchObject({ n: '2' })
    expect(await n()).toBe(2)
  })

  test('K2 what was held back on the way is not done after its own error', async () => {
    const { proxy, client, store } = await proxied()
    proxy.holdRequests()
    expect(await outcomeOf(store.update('j1', { n: '1' }, { deadlineMs: 100 }))).toBe('unknown')
    const other = world.client('hash').forWorkspace('w1')
    expect(await other.update('j1', { n: '2' })).toBe(true)
    proxy.release()
    // By the time another socket answers, what the first one left behind has been passed on.
    await client.ready()
    expect((await store.get('j1'))?.value).toMatchObject({ n: '2' })
    await startAnother(proxy.port)
    expect(await n()).toBe(2)
  })

  test.each([false, true])('K2 Redis stops for a while (an epoch changes meanwhile: %s)', async (changes) => {
    const redis = await startTestRedis()
    const own = new World(redis)
    try {
      await own.settle(documentOf(5, 'BackfillVerify'))
      const [a, b] = [0, 1].map(() => own.client('hash', { redis: { address: redis.address, Redis } }))
      const [mine, others] = [a, b].map((c) => (c as KeyshiftClient<'hash'>).forWorkspace('w1')) as [
        JobStore<'hash'>,
        JobStore<'hash'>,
      ]
      await mine.create('j1', { v: '0' })
      await mine.update('j1', { v: '0' })
      process.kill(redis.pid, 'SIGSTOP')
      expect(await outcomeOf(mine.update('j1', { v: 'A' }, { deadlineMs: 200 }))).toBe('unknown')
      if (changes) own.dir.publish(documentOf(6, 'BackfillVerify'))
      const acknowledged = others.update('j1', { v: 'B' }, { deadlineMs: 20_000 })
      process.kill(redis.pid, 'SIGCONT')
      expect(await acknowledged).toBe(true)
      // Whatever had reached Redis by the deadline ran before what was sent after it.
      for (const store of [mine, others]) expect((await store.get('j1'))?.value['v']).toBe('B')
      const { legacy, target } = await own.pair('w1', 'j1')
      expect(target).toEqual(legacy)
      expect(legacy?.value).toMatchObject({ v: 'B' })
    } finally {
      process.kill(redis.pid, 'SIGCONT')
      await own.stop()
    }
  })
})
