import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { KeyshiftError } from '../../../src/client/index.ts'
import type { LeaseRecord } from '../../../src/protocol/control-keys.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import { until } from '../redis/support/redis.ts'
import { ClientProcess } from './support/process.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { noUnhandledRejections } from './support/unhandled.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
noUnhandledRejections()
let world: World
let proxy: Proxy
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(5, 'BackfillVerify'))
  proxy = await startProxy(world.redis.port)
})
afterEach(async () => {
  await world.closeClients()
  await proxy.close()
})
const proxied = () => world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` } })

const HARMS: [string, (proxy: Proxy) => void][] = [
  ['nothing is wrong', () => undefined],
  ['Redis reads nothing', (p) => p.holdRequests()],
  ['Redis answers nothing', (p) => p.holdReplies()],
  ['the peer is gone without a word', (p) => p.vanish()],
  ['connections are refused', (p) => (p.refuse(true), p.cut())],
]

/** Fails where something has not ended that has a limit far below `ms`. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`it has not ended within ${ms} ms`)), ms).unref()
  })
  return Promise.race([work, late])
}

describe('close', () => {
  test.each(HARMS)('ends while %s, again and again, and every call with it', async (_, harm) => {
    const client = proxied()
    const store = client.forWorkspace('w1')
    await store.create('j1', {})
    harm(proxy)
    const calls = [
      store.get('j1', { deadlineMs: 30_000 }),
      store.update('j1', { a: '1' }, { deadlineMs: 30_000 }),
      client.queue('ai:queue').dequeue({ waitMs: 30_000, deadlineMs: 30_000 }),
    ].map((call) =>
      call.then(
        () => 'done',
        (error: unknown) => error,
      ),
    )
    // A renewal is under way as well.
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    await until('the document was read', () => client.state().epoch === 6)
    // It takes 5 s at most; the renewal alone would take 9 s, and the calls 30 s.
    await within(8000, Promise.all([client.close(), client.close()]))
    for (const outcome of await within(3000, Promise.all(calls)))
      if (outcome !== 'done') expect(outcome).toBeInstanceOf(KeyshiftError)
    expect(client.state()).toMatchObject({ ready: false, reason: 'CLOSED' })
    await client.close()
    await expect(store.get('j1')).rejects.toMatchObject({ message: expect.stringMatching(/CLOSED/), retry: 'never' })
  })

  test('ends at once where nothing was connected yet', async () => {
    proxy.refuse(true)
    const client = proxied()
    await within(3000, client.close())
    expect(client.state()).toMatchObject({ ready: false, reason: 'CLOSED' })
  })
})

describe('readiness', () => {
  test('follows Redis: not ready without it, while it hangs, and ready again afterwards', async () => {
    proxy.refuse(true)
    const client = proxied()
    await expect(client.ready({ deadlineMs: 100 })).rejects.toThrow(/CONNECTING|no connection/)
    expect(client.state()).toMatchObject({ ready: false, reason: 'CONNECTING' })
    expect(client.state().message).toMatch(/closed|reset/i)
    proxy.refuse(false)
    await client.ready()
    expect(client.state()).toMatchObject({ ready: true, reason: undefined, message: '' })
    proxy.holdReplies()
    const read = client.forWorkspace('w1').get('j1', { deadlineMs: 20_000 })
    await until('it is noticed', () => !client.state().ready)
    expect(client.state()).toMatchObject({
      reason: 'CONNECTING',
      message: expect.stringContaining('no reply from Redis'),
    })
    proxy.release()
    await read
    await until('it is ready', () => client.state().ready)
  })

  test('is lost by an idle process too: its own renewal meets the silence', async () => {
    const client = proxied()
    await client.ready()
    // Answered after all that was sent before: from here on it is idle.
    await client.forWorkspace('w1').get('j1')
    proxy.vanish()
    await until('it is noticed', () => !client.state().ready, 15_000)
    await until('it is ready on another socket', () => client.state().ready, 15_000)
  })
})

test.each<[string, () => unknown]>([
  [
    'throws',
    () => {
      throw new Error('the disk of the logs is full')
    },
  ],
  ['returns a promise that is rejected', () => Promise.reject(new Error('the collector is away'))],
])('a log function that %s ends neither the process nor the lease, and routing goes on', async (_, fail) => {
  const said = new Set<string>()
  const log = (level: string, message: string) => (said.add(message), fail()) as undefined
  const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0` }, log })
  await client.ready()
  proxy.refuse(true)
  proxy.cut()
  world.dir.publish(documentOf(6, 'BackfillVerify'))
  await until('a renewal failed', () => said.has('the lease was not renewed'))
  await until('the document was read', () => client.state().epoch === 6)
  proxy.refuse(false)
  await until('the lease is renewed', async () => {
    const lease = await world.redis.raw.get(KEYS.lease(client.state().memberId))
    return (JSON.parse(lease ?? '{}') as Partial<LeaseRecord>).epoch === 6
  })
})

describe('a process ends by itself after close, with nothing on stderr', () => {
  let silent: { readonly port: number; close(): void }
  beforeAll(async () => {
    // Takes connections and never answers.
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    silent = {
      port: (server.address() as AddressInfo).port,
      close: () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    }
  })
  afterAll(() => silent.close())

  test.each<[string, () => string, (client: ClientProcess) => Promise<unknown>]>([
    ['Redis is well', () => world.redis.address, (c) => until('it is ready', () => c.state?.ready)],
    [
      'nobody listens',
      () => 'redis://127.0.0.1:1/0',
      (c) => until('it tried', () => c.state?.message.includes('ECONNREFUSED')),
    ],
    [
      'nobody answers',
      () => `redis://127.0.0.1:${silent.port}/0`,
      (c) => until('it tried', () => c.state !== undefined),
    ],
    [
      'Redis falls silent',
      () => `redis://127.0.0.1:${proxy.port}/0`,
      async (c) => {
        await until('it is ready', () => c.state?.ready)
        proxy.holdReplies()
        c.tell('get')
        await until('it is noticed', () => c.state?.ready === false)
      },
    ],
  ])('where %s', async (_, address, before) => {
    const client = new ClientProcess({ redis: address(), dir: world.dir.path })
    try {
      await before(client)
      client.tell('get')
      client.tell('close')
      const limit = new Promise((resolve) => setTimeout(resolve, 15_000, 'still there').unref())
      expect(await Promise.race([client.ended, limit])).toBe(0)
      expect(client.state).toMatchObject({ ready: false, reason: 'CLOSED' })
      expect(client.stderr).toBe('')
    } finally {
      await client.kill()
    }
  })
})
