import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Encoding, JobStore, KeyshiftClient } from '../../../src/client/index.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import type { WorkSpec } from '../../../src/protocol/work.ts'
import { SCRIPTS } from '../../../src/redis/scripts.generated.ts'
import { batchConfig } from '../../../src/worker/batch.ts'
import type { Work } from '../../../src/worker/work-spec.ts'
import { documentOf, KEYS, TEMPLATES } from './support/routing.ts'
import { snapshot } from './support/snapshot.ts'
import { World } from './support/world.ts'

/** Values that something else wrote, or that a caller gives: kept to the byte, or refused with nothing done. */
jest.setTimeout(60_000)
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(() => world.redis.raw.flushall())
afterEach(() => world.closeClients())

const ROUTINGS: readonly [string, RoutingDocument | undefined][] = [
  ['unmanaged', undefined],
  ['Legacy, epoch 1', documentOf(1, 'Legacy')],
  ['Legacy after a walk back', documentOf(9, 'Legacy')],
  ['DualWrite', documentOf(2, 'DualWrite', 100)],
  ['ReadRouting', documentOf(4, 'ReadRouting', 50)],
  ['BackfillVerify', documentOf(5, 'BackfillVerify')],
]
const ADJACENT = ROUTINGS.filter(([name]) => name === 'DualWrite' || name === 'BackfillVerify')

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
/** Texts that a script can find the workspace in, and that a parse and a stringify would change. */
const KEPT: Readonly<Record<string, string>> = {
  '64-bit numbers':
    '{"workspace_id":"w1","a":9007199254740993,"b":9223372036854775808,"c":-9223372036854775809,"d":18446744073709551616}',
  'numbers of every spelling':
    '{"workspace_id":"w1","a":1.0,"b":1e400,"c":-0,"d":1E-400,"e":0.1000000000000000055511151231257827}',
  'a key twice': '{"a":1,"workspace_id":"w1","a":2}',
  'its workspace twice, the last one counts': '{"workspace_id":"w2","workspace_id":"w1"}',
  'its workspace in escapes': '{"work\\u0073pace_id":"\\u00771"}',
  'empty lists and objects': '{"workspace_id":"w1","l":[],"o":{},"n":null}',
  'spaces and line ends': ' \t\r\n{ "workspace_id" : "w1" }\n',
  'the names of prototypes': '{"__proto__":{"x":1},"constructor":2,"workspace_id":"w1"}',
  'NUL, escaped': '{"workspace_id":"w1","a":"\\u0000"}',
  'what bytes of no text become': '{"workspace_id":"w1","a":"\ufffd\ufeff"}',
  'lists 990 deep': `{"workspace_id":"w1","a":${nested(990)}}`,
  'a megabyte of text': `{"workspace_id":"w1","a":"${'é'.repeat(524_288)}"}`,
  'a megabyte of numbers': `{"workspace_id":"w1","a":[${'9007199254740993,'.repeat(61_680)}1]}`,
}
/** Texts that no script finds a workspace in. */
const MALFORMED: Readonly<Record<string, string>> = {
  nothing: '',
  'no JSON': 'x',
  'JSON that breaks off': '{"workspace_id":"w1","a":',
  'JSON with something behind it': '{"workspace_id":"w1"} x',
  'a byte order mark': '\ufeff{"workspace_id":"w1"}',
  'a text': '"w1"',
  null: 'null',
  'a list': '["workspace_id","w1"]',
  'no workspace': '{"a":"w1"}',
  'a number for its workspace': '{"workspace_id":1}',
  'a 64-bit number for its workspace': '{"workspace_id":9007199254740993}',
  'null for its workspace': '{"workspace_id":null}',
  'a list for its workspace': '{"workspace_id":["w1"]}',
  'an empty workspace': '{"workspace_id":""}',
  'null for its workspace the second time': '{"workspace_id":"w1","workspace_id":null}',
  'its workspace further down': '{"job":{"workspace_id":"w1"}}',
  'lists 2,000 deep': `{"workspace_id":"w1","a":${nested(2000)}}`,
  'lists 100,000 deep': `{"workspace_id":"w1","a":${nested(100_000)}}`,
  'half of a surrogate pair, escaped': '{"workspace_id":"w1","a":"\\ud800"}',
}
const texts = (store: unknown): JobStore<'json'> => store as JobStore<'json'>

const jobsOf = (all: Map<string, unknown>) => [...all].filter(([key]) => key.startsWith('ai:job:'))

/** One batch of a backfill, as a worker runs it over the whole db. */
async function backfill(): Promise<Record<string, string>> {
  const { raw } = world.redis
  const work = KEYS.work('backfill-1')
  await raw.hset(KEYS.record, { phase: 'BackfillVerify', epoch: '5' })
  const spec = { kind: 'backfill', workspaceField: 'workspace_id', ignore: [], queues: [] } as unknown as WorkSpec
  const config = batchConfig({ spec, templates: TEMPLATES } as Work)
  const keys = [KEYS.fence, KEYS.record, work]
  for (let i = 0; i < 50; i += 1) {
    const reply = (await raw.eval(
      SCRIPTS['worker-backfill-batch'].source,
      3,
      ...keys,
      config,
      1000,
      1e7,
      '0',
      'run',
    )) as string[]
    if (reply[0] === 'ENDED') return raw.hgetall(work)
    expect(reply[0]).toBe('OK')
  }
  throw new Error('it did not end')
}

describe('texts', () => {
  test.each(ROUTINGS)(
    'in %s, what a parser would change is created, read, updated and listed to the byte',
    async (_, doc) => {
      const store = texts((await world.follow('json', doc)).forWorkspace('w1'))
      const jobs = Object.values(KEPT).map((text, i) => [`j${i}`, text] as const)
      for (const [job, text] of jobs) {
        await store.create(job, text, { expiresAt: 4e12 })
        expect(await store.update(job, (old) => `${old} `)).toBe(true)
        expect((await store.get(job))?.value).toBe(`${text} `)
        expect(await store.update(job, () => text)).toBe(true)
      }
      for (const [job, text] of jobs) {
        const { legacy, target } = await world.pair('w1', job)
        expect(legacy).toEqual({ type: 'string', value: text, expiresAt: 4e12 })
        if (doc !== undefined && doc.phase !== 'Legacy') expect(target).toEqual(legacy)
        else expect(target).toBeNull()
      }
      const listed = new Map<string, string>()
      for await (const job of store.list()) listed.set(job.jobId, job.value)
      expect(listed).toEqual(new Map(jobs))
    },
  )

  test.each(ROUTINGS)(
    'in %s, none that names no workspace is created, or put in the place of one that does',
    async (_, doc) => {
      const store = texts((await world.follow('json', doc)).forWorkspace('w1'))
      await store.create('j1', '{"workspace_id":"w1"}')
      const before = await snapshot(world.redis.raw)
      for (const [kind, text] of Object.entries(MALFORMED)) {
        const refused = {
          code: 'WORKSPACE_MISMATCH',
          retry: 'never',
          message: expect.stringMatching(/1,000 levels deep/),
        }
        for (const act of [() => store.create('j2', text), () => store.update('j1', () => text)])
          expect([kind, await act().catch((error: unknown) => error)]).toEqual([kind, expect.objectContaining(refused)])
      }
      expect(await snapshot(world.redis.raw)).toEqual(before)
    },
  )

  test.each(ADJACENT)(
    'in %s, one that names no workspace is not there for anybody, and keeps its key and every byte',
    async (_, doc) => {
      for (const [i, text] of Object.values(MALFORMED).entries()) {
        await world.redis.raw.set(`ai:job:l${i}`, text)
        await world.redis.raw.set(`ai:job:w1:t${i}`, text)
      }
      const store = texts((await world.follow('json', doc)).forWorkspace('w1'))
      const before = await snapshot(world.redis.raw)
      for (const job of Object.keys(Object.values(MALFORMED)).flatMap((i) => [`l${i}`, `t${i}`])) {
        expect(await store.get(job)).toBeUndefined()
        expect(await store.update(job, () => '{"workspace_id":"w1"}')).toBe(false)
        expect(await store.expire(job, { ttlMs: 1 })).toBe(false)
        expect(await store.delete(job)).toBe(false)
        expect(await store.push(job, { queue: 'ai:queue' })).toBe(false)
        await expect(store.create(job, '{"workspace_id":"w1"}')).rejects.toMatchObject({ code: 'JOB_EXISTS' })
      }
      for await (const job of store.list()) throw new Error(`listed ${job.jobId}`)
      expect(await snapshot(world.redis.raw)).toEqual(before)
    },
  )

  test.each(ROUTINGS.slice(0, 2))(
    'in %s, they are served by job id as before, counted, and keep every byte',
    async (_, doc) => {
      const store = texts((await world.follow('json', doc)).forWorkspace('w1'))
      for (const [i, text] of Object.values(MALFORMED).entries()) {
        const key = `ai:job:l${i}`
        await world.redis.raw.set(key, text, 'PXAT', 4e12)
        expect((await store.get(`l${i}`))?.value).toBe(text)
        expect(await store.update(`l${i}`, (old) => `${old} `)).toBe(true)
        expect(await world.stored(key)).toEqual({ type: 'string', value: `${text} `, expiresAt: 4e12 })
        await expect(store.update(`l${i}`, () => '{"workspace_id":"w2"}')).rejects.toMatchObject({
          code: 'WORKSPACE_MISMATCH',
        })
      }
    },
  )

  test('a backfill moves what can be read to the byte, and counts and leaves the rest', async () => {
    await world.settle(documentOf(5, 'BackfillVerify'))
    const { raw } = world.redis
    for (const [i, text] of Object.values(KEPT).entries())
      await raw.set(`ai:job:k${i}`, text, 'PXAT', 4_000_000_000_123)
    for (const [i, text] of Object.values(MALFORMED).entries()) await raw.set(`ai:job:m${i}`, text)
    const before = await snapshot(raw)
    const bytes = Buffer.concat([
      Buffer.from('{"workspace_id":"w1","a":"'),
      Buffer.from([0xff, 0xc0]),
      Buffer.from('"}'),
    ])
    await raw.set('ai:job:bytes', bytes)
    expect(await backfill()).toMatchObject({
      copied: String(Object.keys(KEPT).length + 1),
      malformed: String(Object.keys(MALFORMED).length),
    })
    const after = await snapshot(raw)
    for (const [key, held] of jobsOf(before)) {
      expect([key, after.get(key)]).toEqual([key, held])
      const target = after.get(key.replace('ai:job:', 'ai:job:w1:'))
      expect([key, target]).toEqual([key, key.startsWith('ai:job:k') ? held : undefined])
    }
    expect(await raw.getBuffer('ai:job:w1:bytes')).toEqual(bytes)
  })
})

describe('hashes', () => {
  const BYTES = Buffer.from([0x61, 0xff, 0xc0, 0x80])

  test.each([
    ['value', 'b', BYTES],
    ['name', BYTES, 'b'],
  ])(
    'a field whose %s is no UTF-8 is never handed out as another text, and stays through writes beside it',
    async (_, field, held) => {
      await world.settle(documentOf(5, 'BackfillVerify'))
      const { raw } = world.redis
      for (const key of ['ai:job:j1', 'ai:job:w1:j1']) await raw.hset(key, 'workspace_id', 'w1', field, held, 'n', '1')
      await raw.lpush('ai:queue', 'w1:j1')
      const client = await world.follow('hash', documentOf(5, 'BackfillVerify'))
      const store = client.forWorkspace('w1')
      const before = await snapshot(raw)
      const delivery = await client.queue('ai:queue').dequeue()
      for (const act of [() => store.get('j1'), () => store.list().next(), async () => delivery?.read()])
        await expect(act()).rejects.toMatchObject({
          code: 'OCCUPIED',
          message: expect.stringMatching(/"j1" is no UTF-8/),
        })
      await expect(store.update('j1', { n: '2' }, { expect: { b: BYTES.toString() } })).rejects.toMatchObject({
        code: 'CONFLICT',
      })
      await delivery?.nack()
      expect(jobsOf(await snapshot(raw))).toEqual(jobsOf(before))
      expect(await store.update('j1', { n: '2' }, { expect: { n: '1' } })).toBe(true)
      expect(await store.mutate('j1', [['HINCRBY', 'n', 9007199254740993n]])).toEqual(['9007199254740995'])
      for (const key of ['ai:job:j1', 'ai:job:w1:j1']) {
        const all = await raw.hgetallBuffer(key)
        expect(Object.values(all)).toContainEqual(Buffer.from(held))
        expect(String(all['n'])).toBe('9007199254740995')
      }
    },
  )

  test('what bytes of no text become is a text like any other', async () => {
    const store = (await world.follow('hash', documentOf(5, 'BackfillVerify'))).forWorkspace('w1')
    await store.create('j1', { '\ufffd': '\ufeff\ufffd' })
    expect((await store.get('j1'))?.value).toEqual({ workspace_id: 'w1', '\ufffd': '\ufeff\ufffd' })
    expect(await store.update('j1', { a: 'b' }, { expect: { '\ufffd': '\ufeff\ufffd' } })).toBe(true)
  })

  const wide = '9'.repeat(1_048_576)
  test('a megabyte in a field, and 64-bit numbers, come back as they were given', async () => {
    const store = (await world.follow('hash', documentOf(5, 'BackfillVerify'))).forWorkspace('w1')
    const value = { wide, big: '9223372036854775807', more: '18446744073709551616', one: '1.0' }
    await store.create('j1', value)
    expect((await store.get('j1'))?.value).toEqual({ ...value, workspace_id: 'w1' })
    await expect(store.mutate('j1', [['HINCRBY', 'more', 1]])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(store.mutate('j1', [['HINCRBY', 'big', 1]])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(legacy?.value).toEqual({ ...value, workspace_id: 'w1' })
    expect(target).toEqual(legacy)
  })
})

describe('an argument that cannot be kept as it is, or waited for', () => {
  type Acts = Readonly<Record<string, (store: never, client: never) => unknown>>
  const hash = (acts: Record<string, (store: JobStore<'hash'>, client: KeyshiftClient<'hash'>) => unknown>): Acts =>
    acts
  const json = (acts: Record<string, (store: JobStore<'json'>, client: KeyshiftClient<'json'>) => unknown>): Acts =>
    acts
  const any = (value: unknown): never => value as never

  const HASH = hash({
    'half of a surrogate pair in a field': (s) => s.create('j2', { a: '\ud800' }),
    'half of a surrogate pair in the name of a field': (s) => s.create('j2', { '\ud800': 'a' }),
    'a number in a field': (s) => s.create('j2', { a: any(1) }),
    'undefined in a field': (s) => s.update('j1', { a: any(undefined) }),
    'an object in a field': (s) => s.update('j1', { a: any({ b: 1 }) }),
    'a text for the fields': (s) => s.create('j2', any('abc')),
    'a list for the fields': (s) => s.update('j1', any(['a', 'b'])),
    'a Map for the fields': (s) => s.create('j2', any(new Map([['a', 'b']]))),
    'null for the fields': (s) => s.update('j1', any(null)),
    'no fields': (s) => s.update('j1', {}),
    'half of a surrogate pair that is expected': (s) => s.update('j1', { a: '2' }, { expect: { fffd: '\ud800' } }),
    'a number that is expected': (s) => s.update('j1', { a: '2' }, { expect: { n: any(1) } }),
    'a list that is expected': (s) => s.update('j1', { a: '2' }, { expect: any(['n']) }),
    'no commands': (s) => s.mutate('j1', []),
    'a command that is none': (s) => s.mutate('j1', any([null])),
    'a command in a text': (s) => s.mutate('j1', any('HSET a b')),
    'another command': (s) => s.mutate('j1', any([['DEL', 'a']])),
    'a command with a value too many': (s) => s.mutate('j1', any([['HSET', 'a', 'b', 'c']])),
    'a command without its value': (s) => s.mutate('j1', any([['HSET', 'a']])),
    'half of a surrogate pair in a command': (s) => s.mutate('j1', [['HSET', 'a', '\udc00']]),
    'a number past 2^53 in a command': (s) => s.mutate('j1', [['HINCRBY', 'n', 2 ** 53]]),
    'half a number in a command': (s) => s.mutate('j1', [['HINCRBY', 'n', 0.5]]),
    'NaN in a command': (s) => s.mutate('j1', [['HINCRBYFLOAT', 'n', NaN]]),
    'a list for a field in a command': (s) => s.mutate('j1', any([['HDEL', ['a']]])),
  })
  const JSON_TEXT = json({
    'half of a surrogate pair in a text': (s) => s.create('j2', '{"workspace_id":"w1","a":"\ud800"}'),
    'an object for a text': (s) => s.create('j2', any({ workspace_id: 'w1' })),
    'a text in place of a function': (s) => s.update('j1', any('{"workspace_id":"w1"}')),
    'nothing made by the function': (s) =>
      s.update(
        'j1',
        any(() => undefined),
      ),
    'no tries': (s) => s.update('j1', (t) => t, { maxTries: 0 }),
    'NaN tries': (s) => s.update('j1', (t) => t, { maxTries: NaN }),
    'a command for a text': (s) => s.mutate('j1', [['HSET', 'a', 'b']]),
  })
  const EITHER: Acts = hash({
    'a time to live that is NaN': (s) => s.expire('j1', { ttlMs: NaN }),
    'a time to live in a text': (s) => s.expire('j1', { ttlMs: any('1000') }),
    'a time to live past what Redis takes': (s) => s.expire('j1', { ttlMs: 2 ** 53 }),
    'two times': (s) => s.expire('j1', any({ ttlMs: 1, expiresAt: 1 })),
    'no time': (s) => s.expire('j1', any({})),
    'null for a time': (s) => s.expire('j1', any(null)),
    'not to persist': (s) => s.expire('j1', any({ persist: false })),
    'a deadline that is NaN': (s) => s.get('j1', { deadlineMs: NaN }),
    'a deadline past what a timer takes': (s) => s.delete('j1', { deadlineMs: 2 ** 31 }),
    'a deadline in a text': (s) => s.delete('j1', { deadlineMs: any('50') }),
    'a deadline of a list that is NaN': (s) => s.list({ deadlineMs: NaN }).next(),
    'a page of nothing': (s) => s.list({ pageSize: 0 }).next(),
    'a deadline of ready that is no number': (_, c) => c.ready({ deadlineMs: Infinity }),
    'a wait that is NaN': (_, c) => c.queue('ai:queue').dequeue({ waitMs: NaN }),
    'a wait that is over': (_, c) => c.queue('ai:queue').dequeue({ waitMs: -1 }),
    'a lease that is NaN': (_, c) => c.queue('ai:queue').dequeue({ leaseMs: NaN }),
    'a lease without an end': (_, c) => c.queue('ai:queue').dequeue({ leaseMs: 1e300 }),
    'a lease to reap that is none': (_, c) => c.queue('ai:queue').reap({ leaseMs: 0 }),
    'a delivery of nobody': (_, c) => c.queue('ai:queue').ack(any({ jobId: 'j1' })),
  })

  test.each(['hash', 'json'] as const)('%s: is InvalidArgument, and nothing was sent', async (encoding) => {
    const client = await world.follow(encoding as 'hash', documentOf(5, 'BackfillVerify'))
    const store = client.forWorkspace('w1')
    const value = encoding === 'hash' ? { n: '1', fffd: '\ufffd' } : '{"workspace_id":"w1"}'
    await (store as JobStore<Encoding>).enqueue('j1', value, { queue: 'ai:queue' })
    const before = await snapshot(world.redis.raw)
    for (const [what, act] of Object.entries({ ...EITHER, ...(encoding === 'hash' ? HASH : JSON_TEXT) })) {
      const thrown = await (async () => act(store as never, client as never))().catch((error: unknown) => error)
      expect([what, thrown]).toEqual([what, expect.objectContaining({ code: 'INVALID_ARGUMENT', retry: 'never' })])
    }
    expect(await snapshot(world.redis.raw)).toEqual(before)
  })
})
