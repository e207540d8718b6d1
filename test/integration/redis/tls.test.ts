import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { createServer, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { createAuthority, type Authority, type KeyPair } from '../../../hack/system/certs.ts'
import { parseRedisPlace } from '../../../src/redis/address.ts'
import { Connection, type ConnectionOptions } from '../../../src/redis/connection.ts'
import { NotReady, TlsFailed } from '../../../src/redis/errors.ts'
import type { TlsOptions } from '../../../src/redis/tls.ts'
import { startProxy } from './support/proxy.ts'
import { MAJORS, startTestRedis, until } from './support/redis.ts'
import { startTestSentinels } from './support/sentinels.ts'

jest.setTimeout(60_000)
const LONG = { deadlineMs: 20_000 }
const FAST = { minMs: 5, maxMs: 50 }
const PASSWORD = 'hunter2+/='

let dir: string
let authority: Authority
let other: Authority
let pair: KeyPair
let redis: LocalRedis
const pem = (path: string): string => readFileSync(path, 'utf8')
const makeAuthority = (name: string): Promise<Authority> => {
  mkdirSync(join(dir, name))
  return createAuthority(join(dir, name))
}
const start = (name: string, { cert, key }: KeyPair, args: readonly string[] = []): Promise<LocalRedis> =>
  startRedis({ dir: join(dir, name), args, tls: { cert, key, ca: authority.pair.cert } })

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keyshift-tls-'))
  ;[authority, other] = [await makeAuthority('ca'), await makeAuthority('other')]
  const subject = { name: 'redis', commonName: 'redis', addresses: ['127.0.0.1'], hostNames: ['redis.prod.svc'] }
  pair = await authority.issue(subject)
  redis = await start('redis', pair, ['--requirepass', PASSWORD])
})
afterAll(async () => {
  await redis.stop('KILL')
  rmSync(dir, { recursive: true, force: true })
})

const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
const connect = (port: number, tls: TlsOptions | undefined, more: Partial<ConnectionOptions> = {}): Connection => {
  const c = new Connection({
    address: { host: '127.0.0.1', port, db: 0 },
    name: 'test',
    credentials: async () => ({ password: PASSWORD }),
    tls: tls && (async () => tls),
    backoff: FAST,
    connectTimeoutMs: 1500,
    ...more,
  })
  open.push(() => c.close())
  return c
}
/** Why the first attempt failed. */
const whyNot = (c: Connection): Promise<Error> => {
  c.connect()
  return until('an attempt has ended', () => (c.state === 'ready' ? new Error('connected') : c.lastError))
}

describe.each(MAJORS)('TLS over $major', ({ Redis }) => {
  test('with a CA of its own carries calls, large ones too', async () => {
    const c = connect(redis.port, { ca: pem(authority.pair.cert) }, { Redis })
    const value = 'é'.repeat(1_000_000)
    expect(await c.call(['SET', 'k', value], LONG)).toBe('OK')
    expect(await c.call(['GET', 'k'], LONG)).toBe(value)
  })

  test('K1 a cut connection settles what is in flight, and another one is made', async () => {
    const proxy = await startProxy(redis.port)
    open.push(() => proxy.close())
    const c = connect(proxy.port, { ca: pem(authority.pair.cert) }, { Redis })
    await c.ready(LONG)
    proxy.holdReplies()
    const call = c.call(['SET', 'k', 'v'], LONG).catch((error: unknown) => error)
    await until('the call is on its way', () => new Promise((resolve) => setTimeout(() => resolve(true), 50)))
    proxy.cut()
    proxy.release()
    expect(await call).toMatchObject({ code: 'UNKNOWN_OUTCOME' })
    expect(await c.call(['GET', 'k'], LONG)).toBe('v')
  })

  test('with Sentinels that speak it, and through a failover', async () => {
    const tls = { ...pair, ca: authority.pair.cert }
    const group = await startTestSentinels({ tls, password: PASSWORD })
    open.push(() => group.stop())
    const address = parseRedisPlace(`redis-sentinel://${group.addresses.join(',')}/0#${group.masterName}`)
    const c = connect(0, { ca: pem(authority.pair.cert) }, { Redis, address })
    const port = async () => Number(((await c.call(['CONFIG', 'GET', 'tls-port'], LONG)) as string[])[1])
    expect(await port()).toBe(await group.primary())
    const now = await group.failover()
    await until('it is on the new primary', () =>
      port().then(
        (on) => on === now,
        () => false,
      ),
    )
  })
})

describe('TLS', () => {
  test.each<[string, () => TlsOptions, RegExp]>([
    [
      'another CA',
      () => ({ ca: pem(other.pair.cert), caFrom: 'key ca.crt of Secret redis-ca' }),
      /is not signed by the CA in key ca\.crt of Secret redis-ca \(\w+\): put the right CA there/,
    ],
    ['no CA', () => ({}), /signed by no CA that this system trusts \(\w+\): give its CA in redis\.tls/],
    [
      'another name',
      () => ({ ca: pem(authority.pair.cert), serverName: 'elsewhere' }),
      /its certificate is for other names \(IP Address:127\.0\.0\.1, DNS:redis\.prod\.svc\): give another redis\.tls\.serverName/,
    ],
    [
      'a CA that is no PEM',
      () => ({ ca: 'nonsense' }),
      /redis\.tls\.ca holds no certificate in PEM \(\w+\): put the CA there/,
    ],
  ])('with %s is refused, and says what to correct', async (_, tls, message) => {
    const cause = await whyNot(connect(redis.port, tls()))
    expect(cause).toBeInstanceOf(TlsFailed)
    expect(cause.message).toMatch(message)
  })

  test('with a CA that is empty trusts nobody, also not whom Node trusts', async () => {
    const ours = getCACertificates('default')
    setDefaultCACertificates([...ours, pem(authority.pair.cert)])
    try {
      await connect(redis.port, {}).ready({ deadlineMs: 5000 })
      const cause = await whyNot(connect(redis.port, { ca: '' }))
      expect(cause.message).toMatch(/redis\.tls\.ca holds no certificate in PEM \(\w+\): put the CA there/)
    } finally {
      setDefaultCACertificates(ours)
    }
  })

  test('tells nothing to a server that is not proven: the password least of all', async () => {
    const { cert, key } = await other.issue({ name: 'redis', commonName: 'redis', addresses: ['127.0.0.1'] })
    const heard: string[] = []
    let came = 0
    const server = createServer({ cert: pem(cert), key: pem(key) }, (socket) =>
      socket.on('data', (data) => heard.push(String(data))),
    )
    server.on('tlsClientError', () => (came += 1))
    server.on('secureConnection', () => (came += 1))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push(() => new Promise((resolve) => server.close(() => resolve())))
    const c = connect((server.address() as AddressInfo).port, { ca: pem(authority.pair.cert) })
    expect(await whyNot(c)).toBeInstanceOf(TlsFailed)
    await until('it came a few times', () => came > 2)
    await c.close()
    expect(heard).toEqual([])
  })

  test('takes the name that serverName gives for the host', async () => {
    const c = connect(redis.port, { ca: pem(authority.pair.cert), serverName: 'redis.prod.svc' })
    expect(await c.call(['PING'], LONG)).toBe('PONG')
  })

  test('that the server does not speak is told, and so is a TLS port without it', async () => {
    const plain = await startTestRedis()
    open.push(() => plain.stop())
    const [secure, bare] = await Promise.all([whyNot(connect(plain.port, {})), whyNot(connect(redis.port, undefined))])
    expect(secure).toBeInstanceOf(TlsFailed)
    expect(secure.message).toMatch(/it does not answer in TLS: give its TLS port, or leave redis\.tls .* out/)
    expect(bare).toBeInstanceOf(NotReady)
    expect(bare.message).toMatch(/if that is its TLS port, give redis\.tls/)
  })

  test('with a client certificate is taken by a server that asks for one; without it says so', async () => {
    const strict = await start('strict', pair, ['--requirepass', PASSWORD])
    open.push(() => strict.stop('KILL'))
    const ca = pem(authority.pair.cert)
    await connect(strict.port, { ca }).call(['CONFIG', 'SET', 'tls-auth-clients', 'yes'], LONG)
    const own = await authority.issue({ name: 'client', commonName: 'client' })
    const without = await whyNot(connect(strict.port, { ca }))
    expect(without).toBeInstanceOf(TlsFailed)
    expect(without.message).toMatch(/it wants a client certificate that its CA signed/)
    const c = connect(strict.port, { ca, cert: pem(own.cert), key: pem(own.key) })
    expect(await c.call(['PING'], LONG)).toBe('PONG')
  })

  test('takes a rotated CA without a restart', async () => {
    const proxy = await startProxy(redis.port)
    open.push(() => proxy.close())
    let ca = pem(authority.pair.cert)
    const c = connect(proxy.port, undefined, { tls: async () => ({ ca }) })
    await c.ready(LONG)
    const rotated = await start(
      'rotated',
      await other.issue({ name: 'redis', commonName: 'redis', addresses: ['127.0.0.1'] }),
      ['--requirepass', PASSWORD],
    )
    open.push(() => rotated.stop('KILL'))
    proxy.redirect(rotated.port)
    proxy.cut()
    await until('the new certificate is refused', () => c.lastError instanceof TlsFailed)
    ca = pem(other.pair.cert)
    expect(await c.call(['PING'], LONG)).toBe('PONG')
  })
})
