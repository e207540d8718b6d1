import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createKeyshiftClient, NotReady, UnknownOutcome } from '../../../src/client/index.ts'
import type { LeaseRecord, MemberRecord } from '../../../src/protocol/control-keys.ts'
import { documentHash, renderDocument } from '../../../src/protocol/document.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import { MAJORS, until } from '../redis/support/redis.ts'
import { documentOf, KEYS, LEGACY, TARGET } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
let world: World
const proxies: Proxy[] = []
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  world.dir.swap(undefined)
})
afterEach(async () => {
  await world.closeClients()
  for (const proxy of proxies.splice(0)) await proxy.close()
})

const lease = async (memberId: string): Promise<LeaseRecord | undefined> => {
  const text = await world.redis.raw.get(KEYS.lease(memberId))
  return text === null ? undefined : (JSON.parse(text) as LeaseRecord)
}

describe('start and end', () => {
  test('without a document and a fence the client is unmanaged, a member of epoch 0', async () => {
    const client = world.client('hash')
    await client.ready()
    expect(client.state()).toMatchObject({ ready: true, unmanaged: true, epoch: 0, phase: 'Legacy' })
    const { memberId } = client.state()
    expect(await lease(memberId)).toEqual({ epoch: 0, hash: '' })
    const record = JSON.parse((await world.redis.raw.hget(KEYS.members, memberId)) ?? '') as MemberRecord
    expect(record).toMatchObject({ podUid: 'pod-1', podName: 'api-1', version: '0.1.0' })
    expect(Math.abs(record.registeredAt - Date.now())).toBeLessThan(60_000)
    expect(await world.redis.raw.pttl(KEYS.lease(memberId))).toBeGreaterThan(10_000)
  })

  test('a fence without a document is NO_ROUTING until the document comes', async () => {
    await world.redis.raw.set(KEYS.fence, '3')
    const client = world.client('hash')
    await expect(client.ready({ deadlineMs: 300 })).rejects.toThrow(/NO_ROUTING/)
    expect(client.state()).toMatchObject({ ready: false, reason: 'NO_ROUTING' })
    await expect(client.forWorkspace('w1').create('j1', {}, { deadlineMs: 50 })).rejects.toBeInstanceOf(NotReady)
    expect(await world.redis.raw.exists('ai:job:j1')).toBe(0)
    world.dir.publish(documentOf(3, 'DualWrite', 100))
    await client.forWorkspace('w1').create('j1', {}, { deadlineMs: 10_000 })
    expect(await world.redis.raw.exists('ai:job:j1', 'ai:job:w1:j1')).toBe(2)
  })

  test('a document with other templates is not followed, and nothing works under it', async () => {
    world.dir.publish(documentOf(1, 'Legacy'))
    const client = world.client('hash', { target: 'ai:jobs:{workspace_id}:{job_id}' })
    await expect(client.ready({ deadlineMs: 300 })).rejects.toThrow(/TEMPLATES/)
    expect(client.state().routingProblem).toMatch(/has target "ai:job:\{workspace_id\}:\{job_id\}"/)
  })

  test('close ends the lease, keeps the record, refuses operations, and may be called twice', async () => {
    const client = world.client('hash')
    await client.ready()
    const { memberId } = client.state()
    await Promise.all([client.close(), client.close()])
    expect(await lease(memberId)).toBeUndefined()
    expect(await world.redis.raw.hexists(KEYS.members, memberId)).toBe(1)
    await expect(client.forWorkspace('w1').get('j1')).rejects.toThrow(/CLOSED/)
    expect(client.state()).toMatchObject({ ready: false, reason: 'CLOSED' })
  })

  test('close waits for what is in flight', async () => {
    const proxy = await startProxy(world.redis.port)
    proxies.push(proxy)
    const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` } })
    await client.ready()
    proxy.holdReplies()
    const made = client.forWorkspace('w1').create('j1', {})
    await until('it was made', () => world.redis.raw.exists('ai:job:j1'))
    const closed = client.close()
    proxy.release()
    await made
    await closed
  })

  test('a pruned member registers again, a lapsed one goes on', async () => {
    const client = world.client('hash')
    await client.ready()
    const { memberId } = client.state()
    await world.redis.raw.del(KEYS.members, KEYS.lease(memberId))
    await client.forWorkspace('w1').create('j1', {})
    world.dir.publish(documentOf(1, 'Legacy'))
    await until('it is back', async () => (await lease(memberId))?.epoch === 1)
    expect(await world.redis.raw.hexists(KEYS.members, memberId)).toBe(1)
  })

  test('options that cannot work are refused at once', () => {
    const redis = { address: 'redis://127.0.0.1:1/0' }
    const make = (more: object) => () =>
      createKeyshiftClient({ legacy: LEGACY, target: TARGET, encoding: 'hash', redis, ...more })
    expect(make({ legacy: 'ai:job:{id}' })).toThrow(/job_id/)
    expect(make({ redis: { address: 'redis://127.0.0.1:1' } })).toThrow(/with the db written/)
    expect(make({ redis: { address: 'redis://:secret@host:1/0' } })).toThrow(/never holds credentials/)
    expect(make({ encoding: 'msgpack' })).toThrow(/hash or json/)
  })
})

describe('K10 the mounted directory', () => {
  const follow = async (epoch: number, client = world.client('hash')) => {
    await until(`epoch ${epoch}`, () => client.state().epoch === epoch, 2000)
    return client
  }

  test('every swap is followed, two within 10 ms as well', async () => {
    world.dir.publish(documentOf(1, 'Legacy'))
    const client = await follow(1)
    for (const epoch of [2, 3, 4]) {
      world.dir.publish(documentOf(epoch, 'DualWrite', 10))
      await follow(epoch, client)
    }
    world.dir.publish(documentOf(5, 'DualWrite', 50))
    world.dir.publish(documentOf(6, 'DualWrite', 100))
    await follow(6, client)
  })

  test('polling alone is enough where no watch can be had', async () => {
    // The directory comes after the client, as with a volume that is late: there was nothing to watch.
    const client = world.client('hash', { routingDir: `${world.dir.path}/late` })
    await client.ready()
    const { mkdirSync, writeFileSync } = await import('node:fs')
    mkdirSync(`${world.dir.path}/late`)
    writeFileSync(`${world.dir.path}/late/routing.json`, renderDocument(documentOf(1, 'Legacy')))
    await follow(1, client)
  })

  test('bad content keeps the old epoch and is reported, a later good one is followed', async () => {
    world.dir.publish(documentOf(4, 'DualWrite', 10))
    const client = await follow(4)
    const five = renderDocument(documentOf(5, 'DualWrite', 50))
    const withTarget = (target: string): string => {
      const body = { ...documentOf(5, 'DualWrite', 50), target }
      return renderDocument({ ...body, hash: documentHash(body) })
    }
    for (const [text, problem] of [
      [five.slice(0, 40), /half-written/],
      [five.replace('"createTarget":50', '"createTarget":90'), /hash does not fit/],
      [five.replace('"DualWrite"', '"Later"'), /unknown phase/],
      [renderDocument(documentOf(3, 'Legacy')), /epoch 3 is lower than 4/],
      [renderDocument(documentOf(4, 'DualWrite', 50)), /epoch 4 came twice/],
      [undefined, /cannot read/],
      [withTarget('ai:job:{job_id}:{workspace_id}:{x}'), /must have {job_id} and one other placeholder/],
      [five.replace('{', `{"later":${'['.repeat(50_000)}${']'.repeat(50_000)},`), /call stack/],
    ] as const) {
      world.dir.swap(text)
      await until(`the report ${String(problem)}`, () => problem.test(client.state().routingProblem ?? ''))
      expect(client.state()).toMatchObject({ ready: true, epoch: 4 })
    }
    world.dir.swap(five)
    await follow(5, client)
    expect(client.state().routingProblem).toBeUndefined()
  })
})

describe.each(MAJORS)('the drain over $major', ({ Redis }) => {
  const proxied = async () => {
    const proxy = await startProxy(world.redis.port)
    proxies.push(proxy)
    const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0`, Redis } })
    await client.ready()
    // The server knows the scripts: what is held below is their replies, not NOSCRIPT.
    const store = client.forWorkspace('w0')
    await store.create('warm', { n: '0' })
    await store.mutate('warm', [['HINCRBY', 'n', 1]])
    await store.update('warm', { n: '2' })
    return { proxy, client, memberId: client.state().memberId }
  }

  test('a member reports an epoch only when nothing begun under an older one is in flight', async () => {
    await world.settle(documentOf(2, 'DualWrite', 100))
    const { proxy, client, memberId } = await proxied()
    await until('epoch 2', async () => (await lease(memberId))?.epoch === 2)
    proxy.holdReplies()
    const slow = client.forWorkspace('w1').create('j1', {}, { deadlineMs: 20_000 })
    await until('it ran', () => world.redis.raw.exists('ai:job:j1'))
    await world.redis.raw.del(KEYS.lease(memberId))
    world.dir.publish(documentOf(3, 'DualWrite', 100))
    await until('the document was read', () => client.state().epoch === 3)
    // The renewal that follows the change is on the wire, behind the held reply: it says 2.
    const first = await until('a renewal', () => lease(memberId))
    expect(first).toEqual({ epoch: 2, hash: documentOf(2, 'DualWrite', 100).hash })
    proxy.release()
    await slow
    await until('epoch 3', async () => (await lease(memberId))?.epoch === 3)
    expect((await lease(memberId))?.hash).toBe(documentOf(3, 'DualWrite', 100).hash)
  })

  test('K2 what failed while Redis was away does not happen afterwards, across an epoch as well', async () => {
    await world.settle(documentOf(2, 'DualWrite', 100))
    const { proxy, client } = await proxied()
    const store = client.forWorkspace('w1')
    await store.create('j1', { v: '0' })
    proxy.holdRequests()
    await expect(store.update('j1', { v: 'A' }, { deadlineMs: 100 })).rejects.toBeInstanceOf(UnknownOutcome)
    await world.settle(documentOf(3, 'ReadRouting', 50))
    const other = world.client('hash')
    expect(await other.forWorkspace('w1').update('j1', { v: 'B' })).toBe(true)
    proxy.release()
    expect((await store.get('j1', { deadlineMs: 10_000 }))?.value).toMatchObject({ v: 'B' })
    const { legacy, target } = await world.pair('w1', 'j1')
    expect(target).toEqual(legacy)
  })

  test('a write with an operation id is repeated after a cut, by the client and by its caller, and done once', async () => {
    await world.settle(documentOf(2, 'DualWrite', 100))
    const { proxy, client } = await proxied()
    const store = client.forWorkspace('w1')
    await store.create('j1', { n: '0' })
    proxy.holdReplies()
    const call = store.mutate('j1', [['HINCRBY', 'n', 1]], { operationId: 'op-1' })
    await until('it ran', async () => (await world.redis.raw.hget('ai:job:j1', 'n')) === '1')
    proxy.cut()
    proxy.release()
    expect(await call).toEqual(['1'])
    expect(await store.mutate('j1', [['HINCRBY', 'n', 1]], { operationId: 'op-1' })).toEqual(['1'])
    await expect(store.delete('j1', { operationId: 'op-1' })).rejects.toMatchObject({ code: 'OPERATION_REUSED' })
    expect((await store.get('j1'))?.value).toMatchObject({ n: '1' })
    expect(await world.redis.raw.pttl(KEYS.operation('op-1'))).toBeGreaterThan(0)
  })
})

test('a list goes on over lost connections and gives every job once', async () => {
  await world.settle(documentOf(5, 'BackfillVerify'))
  const proxy = await startProxy(world.redis.port)
  proxies.push(proxy)
  const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` } })
  const ids = Array.from({ length: 60 }, (_, i) => `j${i}`)
  for (const id of ids) await client.forWorkspace('w1').create(id, {})
  const seen: string[] = []
  for await (const job of client.forWorkspace('w1').list({ pageSize: 10 })) {
    seen.push(job.jobId)
    if (seen.length === 20 || seen.length === 40) proxy.cut()
  }
  expect(seen.sort()).toEqual([...ids].sort())
})

test('K8 a client given a replica is not ready and says so', async () => {
  const { startTestRedis } = await import('../redis/support/redis.ts')
  const replica = await startTestRedis(['--replicaof', '127.0.0.1', String(world.redis.port)])
  try {
    await until('it is up', async () => (await replica.raw.info('replication')).includes('link_status:up'))
    const client = world.client('hash', { redis: { address: replica.address } })
    await expect(client.ready({ deadlineMs: 500 })).rejects.toBeInstanceOf(NotReady)
    expect(client.state().message).toMatch(/is a slave, not a primary/)
    await expect(client.forWorkspace('w1').get('j1', { deadlineMs: 100 })).rejects.toBeInstanceOf(NotReady)
  } finally {
    await replica.stop()
  }
})

test('K5 the client logs in with any password and again after a rotation', async () => {
  let password = 'a+b/c=%40@#:é'
  await world.redis.raw.acl('SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '+@all')
  const proxy = await startProxy(world.redis.port)
  proxies.push(proxy)
  const logged: string[] = []
  const client = world.client('hash', {
    redis: {
      address: `redis://127.0.0.1:${proxy.port}/0`,
      credentials: async () => ({ username: 'app', password }),
    },
    log: (_level, message, detail) => logged.push(message + JSON.stringify(detail)),
  })
  await client.forWorkspace('w1').create('j1', {})
  await world.redis.raw.acl('SETUSER', 'app', 'resetpass', '>next')
  proxy.cut()
  await until('the old one was refused', () => /refused the password/.test(client.state().message))
  password = 'next'
  expect(await client.forWorkspace('w1').get('j1', { deadlineMs: 10_000 })).toBeDefined()
  expect(logged.join()).not.toContain('a+b/c')
})
