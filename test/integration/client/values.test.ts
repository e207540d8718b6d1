import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { Conflict, UnknownOutcome, WorkspaceMismatch } from '../../../src/client/index.ts'
import { startProxy } from '../redis/support/proxy.ts'
import { until } from '../redis/support/redis.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(30_000)
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

const served = async (registry: Registry): Promise<Record<string, number>> => {
  const metric = await registry.getSingleMetric('keyshift_client_reads_total')?.get()
  return Object.fromEntries(
    (metric?.values ?? [])
      .filter((v) => v.labels['migration'] === 'ai-jobs' && v.value > 0)
      .map((v) => [String(v.labels['served']), v.value]),
  )
}

describe('fallback reads', () => {
  test('are counted in Redis once the backfill is recorded, misses and other reads are not', async () => {
    await world.settle(documentOf(5, 'BackfillVerify'))
    const registry = new Registry()
    const store = world.client('hash', { metrics: { registry } }).forWorkspace('w1')
    await world.redis.raw.hset('ai:job:old', { workspace_id: 'w1' })
    await store.create('new', {})
    for (const job of ['old', 'new', 'none']) await store.get(job)
    expect(await world.redis.raw.get(KEYS.fallbackReads)).toBeNull()
    await world.redis.raw.set(KEYS.backfilled, '1')
    for (const job of ['old', 'new', 'none', 'old']) await store.get(job)
    expect(await world.redis.raw.get(KEYS.fallbackReads)).toBe('2')
    expect(await served(registry)).toEqual({ fallback: 3, target: 2, none: 2 })
  })

  test('a read that comes to legacy first is none', async () => {
    await world.settle(documentOf(4, 'ReadRouting', 0))
    await world.redis.raw.set(KEYS.backfilled, '1')
    const registry = new Registry()
    const store = world.client('hash', { metrics: { registry } }).forWorkspace('w1')
    await world.redis.raw.hset('ai:job:old', { workspace_id: 'w1' })
    await store.get('old')
    expect(await world.redis.raw.get(KEYS.fallbackReads)).toBeNull()
    expect(await served(registry)).toEqual({ legacy: 1 })
  })
})

describe('a value without a usable workspace', () => {
  test.each([
    ['unmanaged', undefined, true],
    ['epoch 1', documentOf(1, 'Legacy'), true],
    ['Legacy of a later epoch', documentOf(9, 'Legacy'), false],
    ['DualWrite', documentOf(2, 'DualWrite', 100), false],
  ] as const)('%s: served as before: %s', async (_, doc, asBefore) => {
    if (doc !== undefined) await world.settle(doc)
    const registry = new Registry()
    const store = world.client('hash', { metrics: { registry } }).forWorkspace('w1')
    await world.redis.raw.hset('ai:job:old', { a: '1' })
    const before = await world.redis.raw.dump('ai:job:old')
    expect((await store.get('old'))?.value).toEqual(asBefore ? { a: '1' } : undefined)
    expect(await store.update('old', { a: '2' })).toBe(asBefore)
    expect(await world.redis.raw.hget('ai:job:old', 'a')).toBe(asBefore ? '2' : '1')
    if (!asBefore) expect(await world.redis.raw.dump('ai:job:old')).toBe(before)
    const counted = await registry.getSingleMetric('keyshift_client_unscoped_total')?.get()
    expect(Math.max(...(counted?.values ?? []).map((v) => v.value))).toBe(asBefore ? 1 : 0)
  })
})

describe('hashes', () => {
  beforeEach(() => world.settle(documentOf(5, 'BackfillVerify')))

  test('an update happens only where the expected fields hold, on both keys or on none', async () => {
    const store = world.client('hash').forWorkspace('w1')
    await store.create('j1', { a: '1' })
    expect(await store.update('j1', { a: '2' }, { expect: { a: '1', b: null } })).toBe(true)
    await expect(store.update('j1', { a: '3' }, { expect: { a: '1' } })).rejects.toMatchObject({ field: 'a' })
    await expect(store.update('j1', { a: '3' }, { expect: { a: null } })).rejects.toBeInstanceOf(Conflict)
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(legacy?.value).toEqual({ workspace_id: 'w1', a: '2' })
    expect(target).toEqual(legacy)
  })

  test('the workspace cannot change by any way', async () => {
    const store = world.client('hash').forWorkspace('w1')
    await expect(store.create('j1', { workspace_id: 'w2' })).rejects.toBeInstanceOf(WorkspaceMismatch)
    await store.create('j1', { a: '1' })
    for (const act of [
      () => store.update('j1', { workspace_id: 'w2' }),
      () => store.mutate('j1', [['HSET', 'workspace_id', 'w2']]),
      () => store.mutate('j1', [['HDEL', 'workspace_id']]),
      () => store.mutate('j1', [['HINCRBY', 'workspace_id', 1]]),
    ])
      await expect(act()).rejects.toBeInstanceOf(WorkspaceMismatch)
    expect(await store.update('j1', { workspace_id: 'w1', a: '2' })).toBe(true)
  })

  test('any field and value comes back as it was given', async () => {
    const store = world.client('hash').forWorkspace('w1')
    const value = {
      ['__proto__']: 'x',
      constructor: 'y',
      '': 'empty',
      'é\0\r\n': '\0\r\n$5',
      n: '12345678901234567890',
    }
    await store.create('j1', value)
    expect((await store.get('j1'))?.value).toEqual({ ...value, workspace_id: 'w1' })
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, String(i)]))
    await store.create('j2', many)
    expect(await store.update('j2', many)).toBe(true)
    expect(Object.keys((await store.get('j2'))?.value ?? {})).toHaveLength(5001)
  })

  test('a time in the past, or two of them, is refused before anything is written', async () => {
    const store = world.client('hash').forWorkspace('w1')
    await expect(store.create('j1', {}, { expiresAt: 1000 })).rejects.toThrow(/in the past/)
    await expect(store.create('j1', {}, { ttlMs: 5, expiresAt: 1000 })).rejects.toThrow(/not both/)
    await expect(store.create('j1', {}, { ttlMs: 0.5 })).rejects.toThrow(/whole number/)
    expect(await world.redis.raw.exists('ai:job:j1', 'ai:job:w1:j1')).toBe(0)
  })
})

describe('texts', () => {
  const text = '{"big":12345678901234567890,"one":1.0,"dup":1,"dup":2,"list":[],"workspace_id":"w1","n":0}'
  const bump = (t: string): string => t.replace(/"n":(\d+)/, (_, n: string) => `"n":${Number(n) + 1}`)
  beforeEach(() => world.settle(documentOf(5, 'BackfillVerify')))

  test('D1 keep every byte that the function does not change, and their expiry', async () => {
    const store = world.client('json').forWorkspace('w1')
    await store.create('j1', text, { expiresAt: 4_000_000_000_000 })
    await store.update('j1', bump)
    expect(await store.get('j1')).toEqual({ jobId: 'j1', value: bump(text), expiresAt: 4_000_000_000_000 })
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(target).toEqual(legacy)
  })

  test('many updates at once are all applied, none twice', async () => {
    const stores = [world.client('json'), world.client('json')].map((c) => c.forWorkspace('w1'))
    await stores[0]?.create('j1', text)
    const each = async (i: number) => stores[i % 2]?.update('j1', bump, { maxTries: 1000, deadlineMs: 20_000 })
    await Promise.all(Array.from({ length: 30 }, (_, i) => each(i)))
    expect((await stores[0]?.get('j1'))?.value).toContain('"n":30')
  })

  test('a text that is always changed by someone else ends in Conflict after the given tries', async () => {
    const store = world.client('json').forWorkspace('w1')
    await store.create('j1', text)
    let tries = 0
    const update = store.update(
      'j1',
      async (old) => {
        tries += 1
        await world.redis.raw.set('ai:job:w1:j1', text.replace('"n":0', `"n":${tries + 100}`))
        return bump(old)
      },
      { maxTries: 3 },
    )
    await expect(update).rejects.toBeInstanceOf(Conflict)
    expect(tries).toBe(3)
  })

  test('after an unknown outcome the function is not run again', async () => {
    const proxy = await startProxy(world.redis.port)
    const client = world.client('json', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` } })
    const store = client.forWorkspace('w1')
    await store.create('j1', text)
    await store.update('j1', (t) => t)
    let runs = 0
    const update = store.update('j1', (old) => {
      runs += 1
      proxy.holdReplies()
      return bump(old)
    })
    const settled = expect(update).rejects.toBeInstanceOf(UnknownOutcome)
    await until('it was written', async () => (await world.redis.raw.get('ai:job:j1')) === bump(text))
    proxy.cut()
    proxy.release()
    await settled
    expect(runs).toBe(1)
    await client.close()
    await proxy.close()
  })

  test('a text of another workspace, of none, or that is no JSON is refused', async () => {
    const store = world.client('json').forWorkspace('w1')
    for (const bad of [text.replace('w1', 'w2'), '{}', '{"workspace_id":7}', 'x', '["w1"]'])
      await expect(store.create('j1', bad)).rejects.toBeInstanceOf(WorkspaceMismatch)
    await store.create('j1', text)
    for (const bad of [text.replace('w1', 'w2'), '{}', 'x'])
      await expect(store.update('j1', () => bad)).rejects.toBeInstanceOf(WorkspaceMismatch)
    await expect(store.update('j1', () => '"\ud800"')).rejects.toThrow(/well-formed/)
    expect((await store.get('j1'))?.value).toBe(text)
  })

  test('bytes that are no UTF-8 are left alone and named', async () => {
    const store = world.client('json').forWorkspace('w1')
    const bytes = Buffer.concat([Buffer.from('{"workspace_id":"w1","x":"'), Buffer.from([0xff]), Buffer.from('"}')])
    await world.redis.raw.set('ai:job:w1:j1', bytes)
    await expect(store.get('j1')).rejects.toMatchObject({ code: 'OCCUPIED' })
    await expect(store.update('j1', (t) => t)).rejects.toMatchObject({ code: 'OCCUPIED' })
    expect(await world.redis.raw.getBuffer('ai:job:w1:j1')).toEqual(bytes)
  })
})
