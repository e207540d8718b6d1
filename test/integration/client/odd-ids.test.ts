import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { Registry } from 'prom-client'
import type { Encoding, KeyshiftClient } from '../../../src/client/index.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { snapshot } from './support/snapshot.ts'
import { thrownBy } from './support/thrown.ts'
import { World } from './support/world.ts'

/**
 * Ids that a request of somebody else may hold, through every public operation, under every routing: refused with a
 * typed error before anything is sent, or kept byte for byte as a job of its own.
 */
jest.setTimeout(60_000)
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
afterEach(() => world.closeClients())

const ROUTINGS: readonly [string, RoutingDocument | undefined][] = [
  ['unmanaged', undefined],
  ['Legacy, epoch 1', documentOf(1, 'Legacy')],
  ['Legacy after a walk back', documentOf(9, 'Legacy')],
  ['DualWrite 10 %', documentOf(2, 'DualWrite', 10)],
  ['DualWrite 100 %', documentOf(3, 'DualWrite', 100)],
  ['ReadRouting 50 %', documentOf(4, 'ReadRouting', 50)],
  ['BackfillVerify', documentOf(5, 'BackfillVerify')],
]

const MEGABYTE = 'x'.repeat(1_048_576)
/** Never, in no phase: no key can hold them, or hold them as they are. */
const NEVER: Readonly<Record<string, unknown>> = {
  'that is empty': '',
  'that is half of a surrogate pair': '\ud800',
  'with half of a surrogate pair in it': 'a\udc00b',
  'that is a number': 7,
  'that is a bigint': 7n,
  'that is undefined': undefined,
  'that is null': null,
  'that is a list': ['j1'],
  'that is an object without prototype': Object.create(null) as unknown,
  'that is a symbol': Symbol('j1'),
  'that is bytes': Buffer.from('j1'),
}
/** In Legacy as ever, and counted; refused from phase 1 on. */
const FROM_PHASE_1: Readonly<Record<string, string>> = {
  'with the delimiter': 'a:b',
  'that is the delimiter': ':',
  'that ends with the delimiter': 'a:',
  'of a megabyte': MEGABYTE,
  'of a byte more than fits': 'é'.repeat(256) + 'x',
}
/** Always, and each of them another one than all the others. */
const ALWAYS: Readonly<Record<string, string>> = {
  'with braces': '{job_id}',
  'that is a glob': '*',
  'that is a glob of one': '[ab]?\\',
  'with NUL': 'a\0b',
  'that is NUL': '\0',
  'with a line end': 'a\r\nb',
  'with spaces around it': ' j1 ',
  'of the longest length': 'é'.repeat(256),
  'in NFC': 'caf\u00e9',
  'in NFD': 'cafe\u0301',
  'in Latin': 'paypal',
  'in Cyrillic that looks like it': 'p\u0430yp\u0430l',
  'with a colon of full width': 'a\uff1ab',
  'with a zero width joiner': 'a\u200db',
  'that is what bytes of no text become': '\ufffd',
  'that begins with a byte order mark': '\ufeffj1',
  'with the name of a prototype': '__proto__',
  'like a control key': 'keyshift',
}

type Act = (client: KeyshiftClient<Encoding>, w: never, j: never) => Promise<unknown>
const value = (encoding: Encoding, w: unknown): never =>
  (encoding === 'hash'
    ? { a: '1' }
    : JSON.stringify({ workspace_id: typeof w === 'string' ? w : 'w1', a: '1' })) as never
const actsOf = (encoding: Encoding): Readonly<Record<string, Act>> => ({
  create: (c, w, j) => c.forWorkspace(w).create(j, value(encoding, w), { operationId: 'o1' }),
  enqueue: (c, w, j) => c.forWorkspace(w).enqueue(j, value(encoding, w), { queue: 'ai:queue', ttlMs: 1000 }),
  push: (c, w, j) => c.forWorkspace(w).push(j, { queue: 'ai:queue' }),
  get: (c, w, j) => c.forWorkspace(w).get(j),
  update: (c, w, j) =>
    c.forWorkspace(w).update(j, (encoding === 'hash' ? { a: '2' } : () => value('json', w)) as never),
  ...((encoding === 'hash'
    ? { mutate: (c: KeyshiftClient<Encoding>, w, j) => c.forWorkspace(w).mutate(j, [['HSET', 'a', '2']]) }
    : {}) as Record<string, Act>),
  expire: (c, w, j) => c.forWorkspace(w).expire(j, { ttlMs: 1 }),
  delete: (c, w, j) => c.forWorkspace(w).delete(j),
})

/** Neighbours that a careless key, glob or encoding would touch. */
async function lay(encoding: Encoding): Promise<void> {
  const { raw } = world.redis
  await raw.flushall()
  for (const w of ['w1', 'w2', '\ufffd', '7', 'null', 'undefined'])
    for (const j of ['j1', '\ufffd', '7', 'null', 'undefined', 'x'])
      for (const key of [`ai:job:${w}${j}`, `ai:job:${w}:${w}${j}`])
        if (encoding === 'hash') await raw.hset(key, { workspace_id: w, a: '1' })
        else await raw.set(key, JSON.stringify({ workspace_id: w, a: '1' }))
  for (const key of ['ai:job:', 'ai:job:\ufffd', 'ai:job:j1']) {
    if (encoding === 'hash') await raw.hset(key, { workspace_id: '\ufffd', a: '1' })
    else await raw.set(key, JSON.stringify({ workspace_id: '\ufffd', a: '1' }))
  }
  await raw.lpush('ai:queue', 'j1')
}

const follow = (encoding: Encoding, doc: RoutingDocument | undefined): Promise<KeyshiftClient<Encoding>> =>
  world.follow<Encoding>(encoding, doc, { metrics: { registry: new Registry() } })

describe.each(ROUTINGS)('in %s', (_, doc) => {
  const refused = { ...NEVER, ...(doc === undefined || doc.phase === 'Legacy' ? {} : FROM_PHASE_1) }

  test.each(['hash', 'json'] as const)(
    'K12 %s: an id that cannot be used is InvalidId for every operation, as job and as workspace, and nothing changes',
    async (encoding) => {
      await lay(encoding)
      const client = await follow(encoding, doc)
      const before = await snapshot(world.redis.raw)
      const acts = Object.entries(actsOf(encoding))
      for (const [kind, id] of Object.entries(refused)) {
        const asked: [string, Promise<unknown>][] = []
        for (const [name, act] of acts) {
          asked.push([`${name} of a job id ${kind}`, thrownBy(() => act(client, 'w1' as never, id as never))])
          asked.push([`${name} in a workspace ${kind}`, thrownBy(() => act(client, id as never, 'j1' as never))])
        }
        asked.push([
          `list of a workspace ${kind}`,
          thrownBy(async () =>
            client
              .forWorkspace(id as never)
              .list()
              .next(),
          ),
        ])
        for (const [what, thrown] of asked) {
          const error = (await thrown) as Error
          expect([what, error]).toEqual([what, expect.objectContaining({ code: 'INVALID_ID', retry: 'never' })])
          expect(error.message).toMatch(/^(job|workspace) id .* choose another one$/s)
          expect(error.message.length).toBeLessThan(500)
        }
      }
      expect(await snapshot(world.redis.raw)).toEqual(before)
      expect(await world.redis.raw.exists(KEYS.illegalIds)).toBe(0)
    },
  )

  /** Every operation on jobs whose ids are the names of their workspaces, all of them there at once. */
  async function keepsEach(encoding: Encoding, ids: readonly string[]): Promise<void> {
    await world.redis.raw.flushall()
    const client = await follow(encoding, doc)
    const stored = (id: string, a: string): unknown =>
      encoding === 'hash' ? { workspace_id: id, a } : JSON.stringify({ workspace_id: id, a })
    const set = (id: string, a: string): never => (encoding === 'hash' ? { a } : () => stored(id, a) as string) as never
    for (const id of ids)
      await client.forWorkspace(id).enqueue(id, stored(id, '1') as never, { queue: 'ai:queue', expiresAt: 4e12 })
    const all = await snapshot(world.redis.raw)
    for (const id of ids) {
      const store = client.forWorkspace(id)
      expect(await store.update(id, set(id, '2'))).toBe(true)
      expect(await store.get(id)).toEqual({ jobId: id, value: stored(id, '2'), expiresAt: 4e12 })
      const listed = []
      for await (const job of store.list()) listed.push(job)
      expect(listed).toEqual([{ jobId: id, value: stored(id, '2'), expiresAt: 4e12 }])
      expect(await store.update(id, set(id, '1'))).toBe(true)
    }
    expect(await snapshot(world.redis.raw)).toEqual(all)
    for (const id of ids) {
      const delivery = await client.queue('ai:queue').dequeue()
      expect(delivery).toMatchObject({ jobId: id, workspaceId: id })
      expect((await delivery?.read())?.value).toEqual(stored(id, '1'))
      await delivery?.ack()
      expect(await client.forWorkspace(id).delete(id)).toBe(true)
    }
    expect([...(await snapshot(world.redis.raw)).keys()].filter((key) => key.startsWith('ai:'))).toEqual([])
    await client.close()
  }

  test.each(['hash', 'json'] as const)(
    'K12 %s: any other id is a job of its own, exactly as it was given, through every operation',
    async (encoding) => {
      const inLegacy = doc === undefined || doc.phase === 'Legacy'
      // After a walk back one such as a:b reads as the entry of a pair: it is a job, but none to enqueue.
      const more = Object.values(FROM_PHASE_1).filter(
        (id) => id !== MEGABYTE && !(doc?.targets === true && id === 'a:b'),
      )
      await keepsEach(encoding, [...Object.values(ALWAYS), ...(inLegacy ? more : [])])
      if (inLegacy) await keepsEach(encoding, [MEGABYTE])
    },
  )
})

describe('names besides those of jobs', () => {
  const NAMES = Object.entries(NEVER).filter(([, name]) => name !== undefined)

  test.each(NAMES)('a queue or an operation id %s is a typed error, and nothing changes', async (_, name) => {
    await lay('hash')
    const client = await follow('hash', documentOf(5, 'BackfillVerify'))
    const store = client.forWorkspace('\ufffd')
    const before = await snapshot(world.redis.raw)
    const queue = name as string
    for (const act of [
      () => store.enqueue('new', { a: '1' }, { queue }),
      () => store.push('\ufffd', { queue }),
      async () => client.queue(queue).dequeue(),
    ])
      expect(await thrownBy(act)).toMatchObject({ code: 'INVALID_ARGUMENT', retry: 'never' })
    for (const act of [
      () => store.create('new', { a: '1' }, { operationId: queue }),
      () => store.delete('\ufffd', { operationId: queue }),
      () => store.expire('\ufffd', { ttlMs: 1 }, { operationId: queue }),
    ])
      expect(await thrownBy(act)).toMatchObject({
        code: 'INVALID_ID',
        message: expect.stringMatching(/^operation id /),
      })
    expect(await snapshot(world.redis.raw)).toEqual(before)
  })

  test('a workspace of a megabyte, legal in Legacy, gives no label of that size', async () => {
    await world.redis.raw.flushall()
    world.dir.swap(undefined)
    const registry = new Registry()
    const client = world.client('hash', { metrics: { registry } })
    await client.forWorkspace(MEGABYTE).create('j1', {})
    expect((await registry.metrics()).length).toBeLessThan(100_000)
  })
})
