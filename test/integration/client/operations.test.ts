import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Encoding, JobStore, KeyshiftClient } from '../../../src/client/index.ts'
import { isSelected } from '../../../src/protocol/bucket.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import { legacyKey, targetKey } from '../../../src/protocol/templates.ts'
import { documentOf, KEYS, TEMPLATES } from './support/routing.ts'
import { World, type Stored } from './support/world.ts'

/**
 * Every operation in every routing state, with every pair of keys that can be there, for both encodings, against rules
 * written down here a second time: what exists, which keys a write reaches, what a read answers.
 */
jest.setTimeout(60_000)

const MINE = 'w1'
const OTHERS = 'w2'
const EXPIRES = 4_000_000_000_000
const LATER = 4_100_000_000_000

interface State {
  readonly name: string
  readonly doc: RoutingDocument | undefined
  readonly phase: number
  /** Percent of creates and reads on target. */
  readonly creates: number
  readonly reads: number
}
const STATES: readonly State[] = [
  { name: 'unmanaged', doc: undefined, phase: 0, creates: 0, reads: 0 },
  { name: 'Legacy, epoch 1', doc: documentOf(1, 'Legacy'), phase: 0, creates: 0, reads: 0 },
  { name: 'Legacy again', doc: documentOf(9, 'Legacy'), phase: 0, creates: 0, reads: 0 },
  { name: 'DualWrite 10 %', doc: documentOf(2, 'DualWrite', 10), phase: 1, creates: 10, reads: 0 },
  { name: 'DualWrite 100 %', doc: documentOf(3, 'DualWrite', 100), phase: 1, creates: 100, reads: 0 },
  { name: 'ReadRouting 50 %', doc: documentOf(4, 'ReadRouting', 50), phase: 2, creates: 100, reads: 50 },
  { name: 'BackfillVerify', doc: documentOf(5, 'BackfillVerify'), phase: 3, creates: 100, reads: 100 },
]

type Place = 'none' | 'legacy only' | 'both' | 'target only'
const PLACES: readonly Place[] = ['none', 'legacy only', 'both', 'target only']

// In the first tenth of the buckets, between a tenth and a half, in the second half.
const within = (low: number, high: number): string => {
  for (let i = 0; ; i += 1) {
    const id = `j${i}`
    if (isSelected('ai-jobs', id, high) && !isSelected('ai-jobs', id, low)) return id
  }
}
const JOBS = [within(0, 10), within(10, 50), within(50, 100)]

const hashOf = (a: string): Record<string, string> => ({ workspace_id: MINE, a, n: '1' })
const textOf = (a: string): string => `{"workspace_id":"${MINE}", "a":"${a}", "big":12345678901234567890, "one":1.0}`

let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())

test('unmanaged, a job whose id looks like the target key of another is left to itself', async () => {
  const store = world.client('hash').forWorkspace(MINE)
  await store.create(`${MINE}:j9`, { a: 'mine' })
  await store.create('j9', { a: 'other' })
  await store.update('j9', { a: 'changed' })
  await store.delete('j9')
  expect((await store.get(`${MINE}:j9`))?.value).toEqual({ workspace_id: MINE, a: 'mine' })
  await world.closeClients()
})

describe.each(STATES)('in $name', (state) => {
  beforeEach(async () => {
    await world.redis.raw.flushall()
    world.dir.swap(undefined)
    if (state.doc !== undefined) await world.settle(state.doc)
  })
  afterEach(() => world.closeClients())

  // Before epoch 1 there are no target keys.
  const places = state.doc === undefined ? PLACES.slice(0, 2) : PLACES
  const exists = (place: Place): boolean =>
    place === 'both' || place === 'legacy only' || (place === 'target only' && state.phase >= 2)
  const percent = (jobId: string): 'L' | 'TL' | 'LT' =>
    state.phase < 2 ? 'L' : isSelected('ai-jobs', jobId, state.reads) ? 'TL' : 'LT'

  for (const encoding of ['hash', 'json'] as const) {
    const value = (a: string): never => (encoding === 'hash' ? hashOf(a) : textOf(a)) as never
    const stored = (a: string, expiresAt: number): Stored => ({
      type: encoding === 'hash' ? 'hash' : 'string',
      value: value(a),
      expiresAt,
    })
    const put = async (key: string, a: string): Promise<void> => {
      if (encoding === 'hash') await world.redis.raw.hset(key, hashOf(a))
      else await world.redis.raw.set(key, textOf(a))
      await world.redis.raw.call('PEXPIREAT', key, EXPIRES)
    }
    // A target without legacy is a stray of phases 0-1: its content is another.
    const lay = async (place: Place, jobId: string): Promise<void> => {
      await world.redis.raw.del(legacyKey(TEMPLATES, jobId), targetKey(TEMPLATES, MINE, jobId))
      if (place === 'legacy only' || place === 'both') await put(legacyKey(TEMPLATES, jobId), 'old')
      if (place === 'both') await put(targetKey(TEMPLATES, MINE, jobId), 'old')
      if (place === 'target only') await put(targetKey(TEMPLATES, MINE, jobId), 'stray')
    }
    const before = (place: Place): { legacy: Stored; target: Stored } => ({
      legacy: place === 'both' || place === 'legacy only' ? stored('old', EXPIRES) : null,
      target: place === 'both' ? stored('old', EXPIRES) : place === 'target only' ? stored('stray', EXPIRES) : null,
    })
    const each = async (
      act: (store: JobStore<Encoding>, place: Place, jobId: string, others: JobStore<Encoding>) => Promise<void>,
    ) => {
      const client = world.client(encoding) as unknown as KeyshiftClient<Encoding>
      await client.ready()
      for (const place of places)
        for (const jobId of JOBS) {
          await lay(place, jobId)
          try {
            await act(client.forWorkspace(MINE), place, jobId, client.forWorkspace(OTHERS))
            const { legacy, target } = await world.pair(MINE, jobId)
            if (legacy !== null && target !== null) expect(target).toEqual(legacy)
          } catch (error) {
            throw new Error(`${place}, ${jobId}: ${String((error as Error).message)}`, { cause: error })
          }
        }
    }

    test(`${encoding}: create makes what does not exist, once, on the keys of its routing`, () =>
      each(async (store, place, jobId) => {
        const made = store.create(jobId, value('new'), { expiresAt: LATER })
        if (exists(place)) {
          await expect(made).rejects.toThrow(/exists already/)
          expect(await world.pair(MINE, jobId)).toEqual(before(place))
          return
        }
        await made
        const onTarget = place === 'target only' || isSelected('ai-jobs', jobId, state.creates)
        expect(await world.pair(MINE, jobId)).toEqual({
          legacy: stored('new', LATER),
          target: onTarget ? stored('new', LATER) : null,
        })
      }))

    test(`${encoding}: get answers from the key that its routing comes to first`, () =>
      each(async (store, place, jobId) => {
        const got = await store.get(jobId)
        const order = percent(jobId)
        const { legacy, target } = before(place)
        const found = order === 'L' ? legacy : order === 'LT' ? (legacy ?? target) : (target ?? legacy)
        expect(got).toEqual(found === null ? undefined : { jobId, value: found.value, expiresAt: EXPIRES })
        expect(await world.pair(MINE, jobId)).toEqual(before(place))
      }))

    // What a write leaves: both keys where they were, with the new content, or nothing changed.
    const maintained = (place: Place, a: string, at = EXPIRES): { legacy: Stored; target: Stored } => {
      if (!exists(place)) return before(place)
      const was = before(place)
      return { legacy: was.legacy && stored(a, at), target: was.target && stored(a, at) }
    }

    test(`${encoding}: update reaches each key that exists and keeps the expiry (D1)`, () =>
      each(async (store, place, jobId) => {
        const done =
          encoding === 'hash'
            ? (store as unknown as JobStore<'hash'>).update(jobId, { a: 'new' })
            : (store as unknown as JobStore<'json'>).update(jobId, (text) => text.replace(/"a":"\w+"/, '"a":"new"'))
        expect(await done).toBe(exists(place))
        expect(await world.pair(MINE, jobId)).toEqual(maintained(place, 'new'))
      }))

    test(`${encoding}: expire gives both keys one time, and takes it from both`, () =>
      each(async (store, place, jobId) => {
        const a = place === 'target only' ? 'stray' : 'old'
        expect(await store.expire(jobId, { expiresAt: LATER })).toBe(exists(place))
        expect(await world.pair(MINE, jobId)).toEqual(maintained(place, a, LATER))
        expect(await store.expire(jobId, { ttlMs: 60_000 })).toBe(exists(place))
        const { legacy, target } = await world.pair(MINE, jobId)
        if (legacy !== null && target !== null) expect(target.expiresAt).toBe(legacy.expiresAt)
        expect(await store.expire(jobId, { persist: true })).toBe(exists(place))
        expect(await world.pair(MINE, jobId)).toEqual(maintained(place, a, -1))
      }))

    test(`${encoding}: delete leaves neither key`, () =>
      each(async (store, place, jobId) => {
        expect(await store.delete(jobId)).toBe(exists(place))
        expect(await world.pair(MINE, jobId)).toEqual({ legacy: null, target: null })
      }))

    test(`${encoding}: push enters what exists, in the form that the phase writes`, () =>
      each(async (store, place, jobId) => {
        await world.redis.raw.del('ai:queue')
        expect(await store.push(jobId, { queue: 'ai:queue' })).toBe(exists(place))
        const entry = state.phase >= 2 ? `${MINE}:${jobId}` : jobId
        expect(await world.redis.raw.lrange('ai:queue', 0, -1)).toEqual(exists(place) ? [entry] : [])
      }))

    test(`${encoding}: another workspace finds nothing and changes nothing (I3)`, () =>
      each(async (_store, place, jobId, others) => {
        expect(await others.get(jobId)).toBeUndefined()
        const update =
          encoding === 'hash'
            ? (others as unknown as JobStore<'hash'>).update(jobId, { a: 'stolen' })
            : (others as unknown as JobStore<'json'>).update(jobId, () => textOf('stolen'))
        expect(await update).toBe(false)
        if (encoding === 'hash') expect(await others.mutate(jobId, [['HDEL', 'a']])).toBeUndefined()
        expect(await others.expire(jobId, { ttlMs: 1 })).toBe(false)
        expect(await others.push(jobId, { queue: 'ai:queue' })).toBe(false)
        expect(await others.delete(jobId)).toBe(false)
        expect(await world.pair(MINE, jobId)).toEqual(before(place))
        expect(await world.redis.raw.exists('ai:queue')).toBe(0)
      }))

    test(`${encoding}: D6 list gives every job of the workspace once, and of no other`, async () => {
      const client = world.client(encoding) as unknown as KeyshiftClient<Encoding>
      const made = { [MINE]: new Set<string>(), [OTHERS]: new Set<string>() }
      for (let i = 0; i < 150; i += 1) {
        const workspace = i % 3 === 0 ? OTHERS : MINE
        const text = textOf('x').replace(MINE, workspace)
        await client.forWorkspace(workspace).create(`list${i}`, encoding === 'hash' ? { a: 'x' } : text)
        made[workspace].add(`list${i}`)
      }
      await world.redis.raw.hset('ai:job:foreign:progress', { percent: '5' })
      for (const workspace of [MINE, OTHERS] as const) {
        const seen: string[] = []
        for await (const job of client.forWorkspace(workspace).list({ pageSize: 17 })) seen.push(job.jobId)
        expect(seen.sort()).toEqual([...made[workspace]].sort())
      }
    })
  }

  test('D1 nothing but expire changes the absolute expiry, which is the same on both keys', async () => {
    const hash = world.client('hash').forWorkspace(MINE)
    const json = world.client('json').forWorkspace(MINE)
    for (const jobId of JOBS) {
      const targets = state.creates === 100 || isSelected('ai-jobs', jobId, state.creates)
      const expectExpiry = async (expiresAt: number): Promise<void> => {
        const { legacy, target } = await world.pair(MINE, jobId)
        expect([legacy?.expiresAt, target?.expiresAt]).toEqual([expiresAt, targets ? expiresAt : undefined])
      }
      await json.create(jobId, textOf('old'), { expiresAt: EXPIRES })
      await json.update(jobId, () => textOf('new'))
      await json.update(jobId, () => textOf('newer'), { operationId: `json-${jobId}` })
      await expectExpiry(EXPIRES)
      await json.expire(jobId, { expiresAt: LATER })
      await expectExpiry(LATER)
      await json.delete(jobId)
      await hash.create(jobId, hashOf('old'), { expiresAt: EXPIRES })
      await hash.update(jobId, { a: 'new' })
      await hash.update(jobId, { a: 'newer' }, { expect: { a: 'new' }, operationId: `hash-${jobId}` })
      await hash.mutate(jobId, [['HINCRBY', 'n', 1]])
      await hash.push(jobId, { queue: 'ai:queue' })
      await expectExpiry(EXPIRES)
      await hash.expire(jobId, { expiresAt: LATER })
      await expectExpiry(LATER)
      await hash.delete(jobId)
    }
  })

  test('mutate runs every command on each key that exists, or none', async () => {
    const client = world.client('hash')
    const store = client.forWorkspace(MINE)
    for (const place of places)
      for (const jobId of JOBS) {
        const [l, t] = [legacyKey(TEMPLATES, jobId), targetKey(TEMPLATES, MINE, jobId)]
        await world.redis.raw.del(l, t)
        const keys = { none: [], 'legacy only': [l], both: [l, t], 'target only': [t] }[place]
        for (const key of keys) {
          await world.redis.raw.hset(key, { ...hashOf('old'), big: '9223372036854775807' })
          await world.redis.raw.call('PEXPIREAT', key, EXPIRES)
        }
        const was = await world.pair(MINE, jobId)
        if (exists(place)) {
          // The second command overflows: the first is taken back, on both keys.
          await expect(
            store.mutate(jobId, [
              ['HDEL', 'a'],
              ['HINCRBY', 'big', 1],
            ]),
          ).rejects.toThrow(/overflow/)
        }
        expect(await world.pair(MINE, jobId)).toEqual(was)
        const results = await store.mutate(jobId, [
          ['HSET', 'b', 'new'],
          ['HDEL', 'a'],
          ['HINCRBY', 'n', 41],
          ['HINCRBYFLOAT', 'f', 0.5],
          ['HINCRBY', 'big', -1n],
        ])
        expect(results).toEqual(exists(place) ? ['1', '1', '42', '0.5', '9223372036854775806'] : undefined)
        const now = await world.pair(MINE, jobId)
        const changed = {
          type: 'hash',
          value: { workspace_id: MINE, b: 'new', n: '42', f: '0.5', big: '9223372036854775806' },
          expiresAt: EXPIRES,
        }
        expect(now).toEqual(exists(place) ? { legacy: was.legacy && changed, target: was.target && changed } : was)
      }
  })
})

describe('a key of a type that no job of this store has', () => {
  const others = {
    list: (key: string) => world.redis.raw.rpush(key, 'x'),
    'string that is no JSON': (key: string) => world.redis.raw.set(key, 'x'),
    'string with this workspace': (key: string) => world.redis.raw.set(key, textOf('a')),
    'hash with this workspace': (key: string) => world.redis.raw.hset(key, hashOf('a')),
  }
  const of = (encoding: Encoding) =>
    Object.entries(others).filter(
      ([kind]) => kind !== (encoding === 'hash' ? 'hash with this workspace' : 'string with this workspace'),
    )

  test.each(['hash', 'json'] as const)('%s: is not there, is not touched, and takes its name', async (encoding) => {
    for (const doc of [documentOf(2, 'DualWrite', 100), documentOf(5, 'BackfillVerify')])
      for (const [kind, lay] of of(encoding)) {
        await world.redis.raw.flushall()
        await world.settle(doc)
        const client = world.client<Encoding>(encoding)
        const store = client.forWorkspace(MINE)
        await lay('ai:job:j1')
        await lay(`ai:job:${MINE}:j2`)
        const before = [await world.redis.raw.dump('ai:job:j1'), await world.redis.raw.dump(`ai:job:${MINE}:j2`)]
        for (const job of ['j1', 'j2']) {
          expect([kind, await store.get(job)]).toEqual([kind, undefined])
          expect(await store.expire(job, { ttlMs: 1 })).toBe(false)
          expect(await store.delete(job)).toBe(false)
          const value = (encoding === 'hash' ? hashOf('b') : textOf('b')) as never
          await expect(store.create(job, value)).rejects.toMatchObject({ code: 'JOB_EXISTS' })
        }
        const after = [await world.redis.raw.dump('ai:job:j1'), await world.redis.raw.dump(`ai:job:${MINE}:j2`)]
        expect(after).toEqual(before)
        await client.close()
      }
  })
})

test('ids that the target cannot hold work in Legacy and are counted, and are refused from DualWrite on', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(1, 'Legacy'))
  const client = world.client('hash')
  const store = client.forWorkspace(MINE)
  await store.create('report:2026-01-01', { a: '1' })
  expect((await store.get('report:2026-01-01'))?.value).toEqual({ workspace_id: MINE, a: '1' })
  const listed: string[] = []
  for await (const job of store.list()) listed.push(job.jobId)
  expect(listed).toEqual(['report:2026-01-01'])
  world.dir.publish(documentOf(2, 'DualWrite', 10))
  await expect(
    (async () => {
      for (;;) await store.get('report:2026-01-01')
    })(),
  ).rejects.toThrow(/job id "report:2026-01-01" contains ":"/)
  await expect(store.create('report:x', {})).rejects.toMatchObject({ code: 'INVALID_ID' })
  await client.close()
  const counted = await world.redis.raw.hgetall(KEYS.illegalIds)
  expect(counted).toMatchObject({ example: 'report:2026-01-01', member: client.state().memberId })
  expect(Number(counted['count'])).toBeGreaterThanOrEqual(2)
})

test('after a rollback to Legacy list gives jobs of such ids too, and nothing that the earlier run left', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(9, 'Legacy'))
  await world.redis.raw.hset('ai:job:w1:stray', hashOf('a'))
  await world.redis.raw.hset('ai:job:w2:stray', { workspace_id: OTHERS })
  const client = world.client('hash')
  const store = client.forWorkspace(MINE)
  const ids = ['a:b:c', 'j1', 'report:2026-01-01']
  for (const id of ids) await store.create(id, {})
  const listed: string[] = []
  for await (const job of store.list()) listed.push(job.jobId)
  expect(listed.sort()).toEqual(ids)
  await client.close()
})

test('what no operation can have is refused before the first write', async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(2, 'DualWrite', 10))
  expect(() => world.client('hash', { operationTtlMs: 0.5 })).toThrow(/operationTtlMs/)
  const client = world.client('hash')
  const store = client.forWorkspace(MINE)
  await expect(store.create('j1', {}, { queue: 'ai:job:j1' })).rejects.toMatchObject({ code: 'OCCUPIED' })
  await expect(store.create('j1', {}, { queue: 'ai:job:w1:j1' })).rejects.toMatchObject({ code: 'OCCUPIED' })
  expect(await store.get('j1')).toBeUndefined()
  await store.create('j1', { n: '0' })
  const many = Array.from({ length: 9000 }, () => ['HINCRBY', 'n', 1] as const)
  await expect(store.mutate('j1', many)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await store.mutate('j1', many.slice(0, 1000))).toHaveLength(1000)
  expect((await store.get('j1'))?.value).toMatchObject({ n: '1000' })
  await client.close()
})

test('K11 a repeat of an update of a text gets the first answer, also once the job is gone', async () => {
  await world.redis.raw.flushall()
  world.dir.swap(undefined)
  const client = world.client('json')
  const store = client.forWorkspace(MINE)
  await store.create('j1', textOf('old'))
  const update = (operationId: string) => store.update('j1', () => textOf('new'), { operationId })
  expect(await update('done')).toBe(true)
  await store.delete('j1')
  expect([await update('done'), await update('never done')]).toEqual([true, false])
  expect(await store.get('j1')).toBeUndefined()
  await client.close()
})

test('K12 an operation id that two jobs share is refused, also where their ids hold spaces', async () => {
  await world.redis.raw.flushall()
  world.dir.swap(undefined)
  const client = world.client('hash')
  const add = (workspace: string, job: string) =>
    client.forWorkspace(workspace).mutate(job, [['HINCRBY', 'n', 1]], { operationId: 'op' })
  await client.forWorkspace('z').create('x y', { n: '41' })
  await client.forWorkspace('y z').create('x', { n: '0' })
  expect(await add('z', 'x y')).toEqual(['42'])
  expect(await add('z', 'x y')).toEqual(['42'])
  await expect(add('y z', 'x')).rejects.toMatchObject({ code: 'OPERATION_REUSED' })
  await client.close()
})

test('a text is not written once the time for it is over', async () => {
  await world.redis.raw.flushall()
  world.dir.swap(undefined)
  const client = world.client('json')
  const store = client.forWorkspace(MINE)
  await store.create('j1', textOf('a'))
  const late = store.update('j1', () => new Promise((resolve) => setTimeout(() => resolve(textOf('b')), 60)), {
    deadlineMs: 50,
  })
  await expect(late).rejects.toMatchObject({ code: 'NOT_READY' })
  expect((await store.get('j1'))?.value).toBe(textOf('a'))
  await client.close()
})
