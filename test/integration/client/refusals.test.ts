import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Refused, StaleEpoch, NotReady, type KeyshiftClient } from '../../../src/client/index.ts'
import { TROUBLE_ARGS, troublesOf, type Trouble } from '../redis/support/troubles.ts'
import { documentOf, KEYS, TEMPLATES } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
let world: World
beforeAll(async () => {
  world = await World.start(TROUBLE_ARGS)
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(5, 'BackfillVerify'))
})
afterEach(() => world.closeClients())

/** The line of docs/redis-users.md, as arguments. */
function documentedRights(): string[] {
  const doc = readFileSync(join(import.meta.dirname, '../../../docs/redis-users.md'), 'utf8')
  const line = /ACL SETUSER app ([^`]*)/.exec(doc)?.[1] ?? ''
  return line
    .trim()
    .split(/\s+/)
    .map((word) => (word === '>PASSWORD' ? '>secret' : word))
}
const asApp = (more: object = {}) => ({
  redis: { address: world.redis.address, credentials: async () => ({ username: 'app', password: 'secret' }) },
  deadlineMs: 300,
  ...more,
})

/** Everything a client can do, each step on keys that the one before left. */
const STEPS: Record<string, (client: KeyshiftClient<'hash'>) => Promise<unknown>> = {
  create: (c) => c.forWorkspace('w1').create('j1', { n: '1' }, { ttlMs: 600_000, operationId: 'o1' }),
  enqueue: (c) => c.forWorkspace('w1').enqueue('j2', { n: '1' }, { queue: 'ai:queue', ttlMs: 600_000 }),
  push: (c) => c.forWorkspace('w1').push('j1', { queue: 'ai:queue' }),
  update: (c) => c.forWorkspace('w1').update('j1', { a: 'x' }, { expect: { n: '1' } }),
  mutate: (c) =>
    c.forWorkspace('w1').mutate('j1', [
      ['HINCRBY', 'n', 1],
      ['HINCRBYFLOAT', 'f', 1.5],
      ['HDEL', 'a'],
    ]),
  expire: (c) => c.forWorkspace('w1').expire('j1', { ttlMs: 500_000 }),
  persist: (c) => c.forWorkspace('w1').expire('j1', { persist: true }),
  get: (c) => c.forWorkspace('w1').get('j1'),
  list: async (c) => {
    for await (const job of c.forWorkspace('w1').list()) expect(job.jobId).toMatch(/^j/)
  },
  'dequeue and ack': async (c) => (await c.queue('ai:queue').dequeue())?.ack(),
  'dequeue, extend and nack': async (c) => {
    const delivery = await c.queue('ai:queue').dequeue()
    await delivery?.extend()
    await delivery?.nack()
  },
  delete: (c) => c.forWorkspace('w1').delete('j1'),
  'dequeue what is gone': (c) => c.queue('ai:queue').dequeue(),
}

async function dump(): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {}
  for (const key of (await world.redis.raw.keys('*')).sort()) {
    if (key.startsWith(KEYS.lease('')) || key === KEYS.members) continue
    all[key] = [await world.redis.raw.dump(key), await world.redis.raw.call('PEXPIRETIME', key)]
  }
  return all
}

describe('D4 a user that lacks a right', () => {
  const rights = documentedRights()
  const commands = rights.filter((word) => word.startsWith('+')).map((word) => word.slice(1))

  test('the documented rights suffice for everything, and no documented one is idle', async () => {
    await world.redis.raw.acl('SETUSER', 'app', 'reset', ...rights)
    await world.redis.raw.call('ACL', 'LOG', 'RESET')
    const client = world.client('hash', asApp())
    for (const step of Object.values(STEPS)) await step(client)
    expect(await world.redis.raw.call('ACL', 'LOG')).toEqual([])
    expect(commands.length).toBeGreaterThan(30)
  })

  // Needed for other things than operations on jobs: logging in, the db, scrapes, fallback counting, other spellings.
  const elsewhere = ['client|setname', 'eval', 'hmget', 'del', 'incr', 'exists']
  const writes = commands.filter((c) => !elsewhere.includes(c) && !['info', 'scan'].includes(c))

  test.each(writes)('without %s every operation is done wholly or not at all', async (command) => {
    await world.redis.raw.acl('SETUSER', 'app', 'reset', ...rights)
    await world.client('hash', asApp()).ready()
    await world.redis.raw.acl('SETUSER', 'app', `-${command}`)
    const client = world.client('hash', asApp({ deadlineMs: 150 }))
    const whole = world.client('hash')
    let refused = 0
    for (const [name, step] of Object.entries(STEPS)) {
      const before = await dump()
      const error = await step(client).then(
        () => undefined,
        (e: unknown) => e,
      )
      if (error === undefined) continue
      refused += 1
      if (error instanceof Refused) expect(error.redisCode).toBe('NOPERM')
      // A member that cannot register is not ready, and says why.
      else expect(error).toBeInstanceOf(NotReady)
      if (!name.startsWith('dequeue')) expect(await dump()).toEqual(before)
      await step(whole).catch(() => undefined)
    }
    expect(refused).toBeGreaterThan(0)
  })

  test('the refusal names the right', async () => {
    await world.redis.raw.acl('SETUSER', 'app', 'reset', ...rights, '-pexpireat')
    const store = world.client('hash', asApp()).forWorkspace('w1')
    await expect(store.create('j1', {}, { ttlMs: 1000 })).rejects.toThrow(/PEXPIREAT on ai:job:j1/)
    await expect(store.create('j1', {})).resolves.toBeUndefined()
  })

  test.each(['~ai:job:*', '~ai:queue', `~${TEMPLATES.controlPrefix}*`])(
    'without the keys %s nothing is half done',
    async (pattern) => {
      await world.redis.raw.acl('SETUSER', 'app', 'reset', ...rights)
      const client = world.client('hash', asApp())
      await client.ready()
      await world.redis.raw.acl(
        'SETUSER',
        'app',
        'resetkeys',
        ...rights.filter((w) => w.startsWith('~') && w !== pattern),
      )
      const before = await dump()
      await expect(client.forWorkspace('w1').enqueue('j1', {}, { queue: 'ai:queue' })).rejects.toMatchObject({
        redisCode: 'NOPERM',
      })
      expect(await dump()).toEqual(before)
    },
  )
})

test('D4 over maxmemory nothing is written, while reads and deletes go on', async () => {
  const store = world.client('hash', { deadlineMs: 500 }).forWorkspace('w1')
  await store.create('j1', { a: '1' })
  const before = await dump()
  try {
    await world.redis.raw.config('SET', 'maxmemory', '1')
    for (const act of [
      () => store.enqueue('j2', { a: '1' }, { queue: 'ai:queue', ttlMs: 1000 }),
      () => store.update('j1', { a: '2' }),
      () => store.mutate('j1', [['HINCRBY', 'a', 1]]),
    ])
      await expect(act()).rejects.toMatchObject({ name: 'Refused', redisCode: 'OOM' })
    expect(await dump()).toEqual(before)
    expect((await store.get('j1'))?.value).toMatchObject({ a: '1' })
    expect(await store.delete('j1')).toBe(true)
  } finally {
    await world.redis.raw.config('SET', 'maxmemory', '0')
  }
})

test('D4 with too few replicas nothing is written', async () => {
  const store = world.client('hash', { deadlineMs: 500 }).forWorkspace('w1')
  await store.create('j1', { a: '1' })
  const before = await dump()
  try {
    await world.redis.raw.config('SET', 'min-replicas-to-write', '3')
    for (const act of [() => store.create('j2', {}, { ttlMs: 1000 }), () => store.delete('j1')])
      await expect(act()).rejects.toMatchObject({ name: 'Refused', redisCode: 'NOREPLICAS' })
    expect(await dump()).toEqual(before)
  } finally {
    await world.redis.raw.config('SET', 'min-replicas-to-write', '0')
  }
})

const CODES: readonly Trouble['code'][] = ['OOM', 'NOREPLICAS', 'READONLY', 'MISCONF', 'LOADING', 'BUSY']
test.each(CODES)(
  'D4 while Redis refuses with %s nothing is written, the error is typed, and it passes by itself',
  async (code) => {
    const trouble = troublesOf(world.redis.raw).find((one) => one.code === code) as Trouble
    const client = world.client('hash', { deadlineMs: 300 })
    const store = client.forWorkspace('w1')
    await store.create('j1', { a: '1' }, { ttlMs: 600_000, deadlineMs: 10_000 })
    const filler = world.redis.raw.pipeline()
    // Loading answers others each kilobyte: no value may be so small that this takes longer than a call.
    for (let i = 0; i < 400; i += 1) filler.set(`filler${i}`, randomBytes(200).toString('hex'))
    await filler.exec()
    const before = await dump()
    const ended: unknown[] = []
    await trouble.begin()
    try {
      for (const act of [
        () => store.create('j2', { a: '1' }, { ttlMs: 1000, operationId: 'o2' }),
        () => store.enqueue('j3', { a: '1' }, { queue: 'ai:queue', ttlMs: 1000 }),
        () => store.update('j1', { a: '2' }),
        () => store.mutate('j1', [['HINCRBY', 'a', 1]]),
      ])
        await act().catch((error: unknown) => ended.push(error))
      expect(ended).toHaveLength(4)
      for (const error of ended) {
        // Once it has let go of a replica the client sends nothing.
        if (error instanceof NotReady) expect(error.message).toMatch(/READONLY|is a slave/)
        else expect(error).toMatchObject({ name: 'Refused', redisCode: code })
      }
      // What passes soon is waited for; of the others the caller decides.
      if (code === 'READONLY' || code === 'LOADING' || code === 'BUSY') {
        const waiting = store.update('j1', { a: '3' }, { deadlineMs: 20_000 })
        await trouble.end()
        expect(await waiting).toBe(true)
      }
    } finally {
      await trouble.end().catch(() => undefined)
    }
    if (code === 'OOM' || code === 'NOREPLICAS' || code === 'MISCONF') {
      expect(await dump()).toEqual(before)
      expect(await store.update('j1', { a: '3' }, { deadlineMs: 10_000 })).toBe(true)
    }
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(legacy).toMatchObject({ value: { a: '3' } })
    expect(target).toEqual(legacy)
    expect(await world.redis.raw.exists('ai:job:j2', 'ai:job:w1:j2', 'ai:job:j3', 'ai:job:w1:j3', 'ai:queue')).toBe(0)
  },
)

describe('the fence', () => {
  test('refuses every operation of an older epoch and changes nothing, until the newer document is there', async () => {
    const client = world.client('hash', { deadlineMs: 200 })
    const store = client.forWorkspace('w1')
    await store.create('j1', { a: '1' })
    await world.redis.raw.set(KEYS.fence, '6')
    const before = await dump()
    for (const act of [
      () => store.get('j1'),
      () => store.create('j2', {}),
      () => store.update('j1', { a: '2' }),
      () => store.mutate('j1', [['HDEL', 'a']]),
      () => store.delete('j1'),
      () => store.expire('j1', { ttlMs: 1 }),
      () => store.push('j1', { queue: 'ai:queue' }),
      () => store.list().next(),
      () => client.queue('ai:queue').dequeue(),
    ]) {
      const error = await act().then(
        () => undefined,
        (e: unknown) => e,
      )
      expect(error).toBeInstanceOf(StaleEpoch)
      expect(error).toMatchObject({ epoch: 5, fence: 6 })
    }
    expect(await dump()).toEqual(before)
    const waiting = store.get('j1', { deadlineMs: 10_000 })
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    expect((await waiting)?.value).toMatchObject({ a: '1' })
  })

  test('absent, is fine for epochs 0 and 1 and closed to later ones', async () => {
    await world.redis.raw.flushall()
    const store = world.client('hash', { deadlineMs: 200 }).forWorkspace('w1')
    await expect(store.create('j1', {})).rejects.toThrow(/no fence for epoch 5/)
    expect(await world.redis.raw.exists('ai:job:j1')).toBe(0)
    await world.redis.raw.set(KEYS.fence, '5')
    await store.create('j1', {}, { deadlineMs: 5000 })
    await world.closeClients()
    await world.redis.raw.flushall()
    world.dir.publish(documentOf(1, 'Legacy'))
    await world.client('hash').forWorkspace('w1').create('j1', {})
  })

  test('raised in the middle of traffic refuses no write that a later epoch would have made otherwise', async () => {
    const store = world.client('hash').forWorkspace('w1')
    await store.create('n', { count: '0' })
    const bump = async (): Promise<void> => {
      for (let i = 0; i < 50; i += 1) await store.mutate('n', [['HINCRBY', 'count', 1]])
    }
    const traffic = Promise.all([bump(), bump(), bump()])
    for (let epoch = 6; epoch < 12; epoch += 1)
      await world.settle(documentOf(epoch, epoch % 2 ? 'BackfillVerify' : 'ReadRouting'))
    await traffic
    const { legacy, target } = await world.pair('w1', 'n')
    expect(legacy).toMatchObject({ value: { count: '150' } })
    expect(target).toEqual(legacy)
  })
})
