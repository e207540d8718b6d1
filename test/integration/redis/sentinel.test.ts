import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { parseRedisPlace, type SentinelGroup } from '../../../src/redis/address.ts'
import { Connection, type ConnectionOptions } from '../../../src/redis/connection.ts'
import { raiseFence } from '../../../src/redis/control.ts'
import { NotPrimary, SentinelFailed, WrongPassword } from '../../../src/redis/errors.ts'
import { KEYS } from '../client/support/routing.ts'
import { startProxy, type Proxy } from './support/proxy.ts'
import { MAJORS, until } from './support/redis.ts'
import { startTestSentinels, type TestSentinels } from './support/sentinels.ts'

jest.setTimeout(90_000)
const LONG = { deadlineMs: 20_000 }
const FAST = { minMs: 5, maxMs: 50 }
const PASSWORD = 'a+b/c=%40@#:é'
let sentinelPassword = 's+/=%25@#:ü'

let group: TestSentinels
beforeAll(async () => {
  group = await startTestSentinels({ password: PASSWORD, sentinelPassword })
})
afterAll(() => group.stop())

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

const place = (more: Partial<SentinelGroup> = {}): SentinelGroup => ({
  ...(parseRedisPlace(`redis-sentinel://${group.addresses.join(',')}/0#${group.masterName}`) as SentinelGroup),
  ...more,
})
const connect = (more: Partial<ConnectionOptions> = {}): Connection => {
  const c = new Connection({
    address: place(),
    name: 'test',
    credentials: async () => ({ password: PASSWORD }),
    sentinelCredentials: async () => ({ password: sentinelPassword }),
    backoff: FAST,
    ...more,
  })
  open.push(c)
  return c
}
const portOf = async (c: Connection): Promise<number> =>
  Number(((await c.call(['CONFIG', 'GET', 'port'], { ...LONG, read: true })) as string[])[1])
/** Answers as a Sentinel of epoch 0 that still names the server on `port`. */
async function startStaleSentinel(port: number): Promise<{ port: number; asked(): number; close(): Promise<void> }> {
  let asked = 0
  const array = (...texts: string[]): string =>
    `*${texts.length}\r\n${texts.map((text) => `$${text.length}\r\n${text}\r\n`).join('')}`
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      for (const [, name = ''] of String(data).matchAll(/\r\n(auth|client|master|get-master-addr-by-name)\r\n/gi)) {
        if (/^(auth|client)$/i.test(name)) socket.write('+OK\r\n')
        else if (/^master$/i.test(name)) socket.write(array('name', 'mymaster', 'config-epoch', '0'))
        else {
          asked += 1
          socket.write(array('127.0.0.1', String(port)))
        }
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  return { port: (server.address() as AddressInfo).port, asked: () => asked, close }
}
/** Waits until it is connected to this server. A call in flight there may end with the old socket. */
const onto = (c: Connection, port: number): Promise<boolean> =>
  until(`it is connected to ${port}`, () =>
    portOf(c).then(
      (on) => on === port,
      () => false,
    ),
  )
/** Why the first attempt failed. */
const whyNot = (c: Connection): Promise<Error> => {
  c.connect()
  return until('an attempt has ended', () => (c.state === 'ready' ? new Error('connected') : c.lastError))
}
/** The Sentinels behind proxies, which can hold what they say. */
const proxied = async (): Promise<{ address: SentinelGroup; proxies: readonly Proxy[] }> => {
  const proxies = await Promise.all(group.sentinels.map(({ port }) => startProxy(port)))
  open.push(...proxies)
  return { proxies, address: place({ sentinels: proxies.map(({ port }) => ({ host: '127.0.0.1', port })) }) }
}

describe.each(MAJORS)('a connection by Sentinel over $major', ({ Redis }) => {
  test('[K5] logs in to Sentinels and to Redis, with a password for each and whatever is in it', async () => {
    expect(await portOf(connect({ Redis }))).toBe(await group.primary())
  })

  test('[K8, O16] leaves a primary that lost its place, though that runs on, takes writes and cuts nobody', async () => {
    const before = await group.primary()
    const c = connect({ Redis })
    expect(await portOf(c)).toBe(before)
    await group.keepPrimary(before)
    const now = await group.failover()
    await onto(c, now)
    expect(await group.raw(before).set('still', 'writable')).toBe('OK')
    await group.letGo(before)
  })

  test('[K8, O16] a fence raised on a primary that lost its place counts for nothing, also before that is noticed', async () => {
    const before = await group.primary()
    const { address, proxies } = await proxied()
    const c = connect({ Redis, address })
    await raiseFence(c, KEYS, 7, LONG)
    await group.keepPrimary(before)
    for (const proxy of proxies) proxy.holdReplies()
    const now = await group.failover()
    const raised = raiseFence(c, KEYS, 8, LONG).catch((error: unknown) => error)
    await until('it is raised there', async () => (await group.raw(before).get(KEYS.fence)) === '8')
    for (const proxy of proxies) proxy.release()
    expect(await raised).toBeInstanceOf(NotPrimary)
    expect(await group.raw(now).get(KEYS.fence)).toBe('7')
    expect(await raiseFence(c, KEYS, 8, LONG)).toMatchObject({ fence: 8, confirmed: true })
    expect(await group.raw(now).get(KEYS.fence)).toBe('8')
    await group.letGo(before)
    await group.raw(now).del(KEYS.fence)
  })
})

describe('a connection by Sentinel', () => {
  test('[K8] a replica that a Sentinel names is refused at connect, and the message says who named it', async () => {
    const primary = await group.primary()
    const replica = group.servers.find(({ port }) => port !== primary)?.port ?? 0
    const [sentinel] = group.sentinels
    const raw = group.raw(sentinel?.port ?? 0)
    await raw.call('SENTINEL', 'MONITOR', 'readers', '127.0.0.1', replica, 1)
    const sentinels = place().sentinels.slice(0, 1)
    await raw.call('SENTINEL', 'SET', 'readers', 'auth-pass', PASSWORD)
    const cause = await whyNot(connect({ address: place({ sentinels, masterName: 'readers' }) }))
    expect(cause).toBeInstanceOf(NotPrimary)
    expect(cause.message).toBe(
      `the Sentinels name 127.0.0.1:${replica} as the primary "readers"; it is a slave, not a primary: a failover may be under way`,
    )
    await raw.call('SENTINEL', 'REMOVE', 'readers')
  })

  test('[K8] of different answers the one of the newest failover counts: a Sentinel that was cut off names the old primary', async () => {
    const primary = await group.failover()
    const old = group.servers.find(({ port }) => port !== primary)?.port ?? 0
    const stale = await startStaleSentinel(old)
    open.push(stale)
    const sentinels = [{ host: '127.0.0.1', port: stale.port }, ...place().sentinels.slice(0, 1)]
    expect(await portOf(connect({ address: place({ sentinels }) }))).toBe(primary)
    expect(stale.asked()).toBeGreaterThan(0)
  })

  test('selects the db that is written', async () => {
    const c = connect({ address: place({ db: 3 }) })
    await c.call(['SET', 'in-db-3', '1'], LONG)
    const raw = group.raw(await group.primary())
    expect(await raw.exists('in-db-3')).toBe(0)
    await c.call(['DEL', 'in-db-3'], LONG)
  })

  test.each<[string, () => Partial<ConnectionOptions>, RegExp]>([
    [
      'a wrong password of the Sentinels',
      () => ({ sentinelCredentials: async () => ({ password: 'wrong' }) }),
      /no Sentinel says where .*127\.0\.0\.1:\d+: it refused the password of the default user \(its credentials are not those of Redis\)/,
    ],
    [
      'no password of the Sentinels',
      () => ({ sentinelCredentials: undefined }),
      /it asks for a password and none was given/,
    ],
    [
      'a name they do not know',
      () => ({ address: place({ masterName: 'other' }) }),
      /it watches no primary named "other" \(it watches mymaster\): correct masterName/,
    ],
    [
      'servers that are no Sentinels',
      () => ({
        address: place({ sentinels: group.servers.map(({ port }) => ({ host: '127.0.0.1', port })) }),
        sentinelCredentials: async () => ({ password: PASSWORD }),
      }),
      /it is no Sentinel: give the addresses of the Sentinels/,
    ],
  ])('says what to correct: %s', async (_, more, message) => {
    const cause = await whyNot(connect(more()))
    expect(cause).toBeInstanceOf(SentinelFailed)
    expect(cause.message).toMatch(message)
    expect(cause.message).not.toContain(PASSWORD)
  })

  test('[K5] a wrong password of Redis is told apart from one of its Sentinels', async () => {
    const cause = await whyNot(connect({ credentials: async () => ({ password: 'wrong' }) }))
    expect(cause).toBeInstanceOf(WrongPassword)
  })

  test('one Sentinel of three leads to the primary, but proves nothing: no fence is raised by it', async () => {
    const { address, proxies } = await proxied()
    for (const proxy of proxies.slice(1)) proxy.refuse(true)
    const c = connect({ address })
    expect(await portOf(c)).toBe(await group.primary())
    const error: unknown = await raiseFence(c, KEYS, 9, LONG).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(SentinelFailed)
    expect((error as Error).message).toMatch(/only 1 of 3 Sentinels say/)
    for (const proxy of proxies) proxy.refuse(false)
    expect(await raiseFence(c, KEYS, 9, LONG)).toMatchObject({ confirmed: true })
  })

  test('stays on its primary while no Sentinel can be reached', async () => {
    const { address, proxies } = await proxied()
    const c = connect({ address })
    await c.ready(LONG)
    const { generation } = c
    const asked = proxies.map((proxy) => proxy.connections())
    for (const proxy of proxies) {
      proxy.refuse(true)
      proxy.cut()
    }
    await until('no Sentinel answers', () =>
      c.confirmPrimary(LONG).then(
        () => false,
        () => true,
      ),
    )
    for (const proxy of proxies) proxy.refuse(false)
    await until('they are asked again', () => proxies.every((proxy, i) => proxy.connections() > (asked[i] ?? 0)))
    expect(await portOf(c)).toBe(await group.primary())
    expect(c.generation).toBe(generation)
  })

  test('[K5] a rotated password of the Sentinels is picked up without a restart', async () => {
    const c = connect()
    const primary = await group.primary()
    expect(await portOf(c)).toBe(primary)
    const rotated = 'r+/=%25@#:é'
    await group.rotate(rotated, /^test$/)
    sentinelPassword = rotated
    await until('they are asked with it', () =>
      c.confirmPrimary(LONG).then(
        () => true,
        () => false,
      ),
    )
    const now = await group.failover()
    await onto(c, now)
  })
})
