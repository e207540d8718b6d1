import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { Connection, parseRedisAddress, type ConnectionOptions } from '../../../src/redis/connection.ts'
import { NotReady, Refused, UnknownOutcome, WrongPassword } from '../../../src/redis/errors.ts'
import { startProxy, type Proxy } from './support/proxy.ts'
import { MAJORS, startTestRedis, until, type TestRedis } from './support/redis.ts'

jest.setTimeout(30_000)
const SECOND = { deadlineMs: 1000 }
const LONG = { deadlineMs: 10_000 }
const FAST = { minMs: 5, maxMs: 20 }

let redis: TestRedis
let replica: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
  replica = await startTestRedis(['--replicaof', '127.0.0.1', String(redis.port)])
  await until('the replica is up', async () => (await replica.raw.info('replication')).includes('link_status:up'))
})
afterAll(async () => {
  await replica.stop()
  await redis.stop()
})

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  await redis.raw.flushall()
})

describe.each(MAJORS)('a connection over $major', ({ Redis }) => {
  const connect = (port: number, more: Partial<ConnectionOptions> = {}): Connection => {
    const c = new Connection({
      address: { host: '127.0.0.1', port, db: 0 },
      name: 'test',
      Redis,
      backoff: FAST,
      ...more,
    })
    open.push(c)
    return c
  }
  const proxied = async (): Promise<Proxy> => {
    const proxy = await startProxy(redis.port)
    open.push(proxy)
    return proxy
  }

  test('gives replies as text, or as bytes where asked', async () => {
    const c = connect(redis.port)
    await c.call(['SET', 'k', Buffer.from([0xff, 0])], LONG)
    expect(await c.call(['GET', 'k'], { ...LONG, buffers: true })).toEqual(Buffer.from([0xff, 0]))
    expect(await c.call(['EXISTS', 'k'], LONG)).toBe(1)
  })

  test('names itself and selects its db', async () => {
    const c = connect(redis.port, { address: parseRedisAddress(`redis://127.0.0.1:${redis.port}/3`), name: 'who:1' })
    await c.ready(LONG)
    const list = String(await redis.raw.client('LIST'))
    expect(list).toMatch(/name=who:1 .*db=3 /)
  })

  test('a db that does not exist is refused, not replaced by db 0', async () => {
    const c = connect(redis.port, { address: { host: '127.0.0.1', port: redis.port, db: 999 } })
    await expect(c.call(['SET', 'k', 'v'], { deadlineMs: 200 })).rejects.toThrow(/DB index/)
    expect(await redis.raw.exists('k')).toBe(0)
  })

  test('a script unknown to the server runs all the same, once', async () => {
    await redis.raw.script('FLUSH')
    const c = connect(redis.port)
    expect(await c.runScript('control-raise-fence', ['f'], ['3'], LONG)).toBe('3')
    await redis.raw.script('FLUSH')
    expect(await c.runScript('control-raise-fence', ['f'], ['2'], LONG)).toBe('3')
  })

  test('a call without a server fails as not ready, within its deadline, and says why', async () => {
    const proxy = await proxied()
    proxy.refuse(true)
    const c = connect(proxy.port)
    const failed = await c.call(['SET', 'k', 'v'], { deadlineMs: 100 }).catch((e: unknown) => e)
    expect(failed).toBeInstanceOf(NotReady)
    proxy.refuse(false)
    expect(await c.call(['GET', 'k'], LONG)).toBeNull()
  })

  test('a call waits for a connection that comes within its deadline', async () => {
    const proxy = await proxied()
    proxy.refuse(true)
    const c = connect(proxy.port)
    const call = c.call(['SET', 'k', 'v'], LONG)
    await until('an attempt failed', () => c.lastError)
    proxy.refuse(false)
    expect(await call).toBe('OK')
  })

  test('K1 a command cut before its reply settles with an unknown outcome and ran at most once, 100 times', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    for (let i = 1; i <= 100; i += 1) {
      await c.ready(LONG)
      proxy.holdReplies()
      const call = c.call(['INCR', 'n'], LONG)
      await until('it ran', async () => (await redis.raw.get('n')) === String(i))
      proxy.cut()
      proxy.release()
      await expect(call).rejects.toBeInstanceOf(UnknownOutcome)
    }
    expect(await c.call(['GET', 'n'], LONG)).toBe('100')
  })

  test('K2 what a deadline gave up on is never written after it', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.holdRequests()
    await expect(c.call(['SET', 'j1', 'A'], { deadlineMs: 50 })).rejects.toBeInstanceOf(UnknownOutcome)
    await redis.raw.set('j1', 'B')
    await c.ready(LONG)
    proxy.release()
    // By the time a third connection answers, what the first one left behind has been passed on.
    const third = connect(proxy.port)
    await third.ready(LONG)
    expect(await c.call(['GET', 'j1'], LONG)).toBe('B')
    expect(await third.call(['GET', 'j1'], LONG)).toBe('B')
  })

  test('K2 a call made while the server is away is never sent once it is back', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.refuse(true)
    proxy.cut()
    await until('the connection is lost', () => c.state !== 'ready')
    await expect(c.call(['SET', 'j1', 'A'], { deadlineMs: 50 })).rejects.toBeInstanceOf(NotReady)
    proxy.refuse(false)
    await c.ready(LONG)
    expect(await c.call(['GET', 'j1'], LONG)).toBeNull()
  })

  test("a write's deadline ends every call on its socket, and the next one works", async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.holdReplies()
    const [short, long] = [c.call(['SET', 'a', '1'], { deadlineMs: 30 }), c.call(['GET', 'b'], LONG)]
    await expect(short).rejects.toBeInstanceOf(UnknownOutcome)
    await expect(long).rejects.toBeInstanceOf(UnknownOutcome)
    proxy.release()
    expect(await c.call(['PING'], LONG)).toBe('PONG')
  })

  test("a read's deadline ends no other call", async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.holdReplies()
    const [short, write] = [c.call(['GET', 'b'], { deadlineMs: 30, read: true }), c.call(['INCR', 'n'], LONG)]
    await expect(short).rejects.toBeInstanceOf(UnknownOutcome)
    proxy.release()
    expect(await write).toBe(1)
    expect(proxy.connections()).toBe(1)
  })

  test('on a silent socket calls keep their deadlines, later writes wait and share no fate with them', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port, { silentMs: 100 })
    await c.ready(LONG)
    proxy.holdReplies()
    const early = c.call(['INCR', 'n'], { deadlineMs: 500 }).catch((e: unknown) => e)
    await new Promise((resolve) => setTimeout(resolve, 150))
    // Another socket, behind the same silence: nothing is sent before its handshake is answered.
    const late = c.call(['INCR', 'm'], LONG)
    expect(await early).toBeInstanceOf(UnknownOutcome)
    expect(await redis.raw.mget('n', 'm')).toEqual(['1', null])
    proxy.release()
    expect(await late).toBe(1)
    expect(proxy.connections()).toBe(2)
  })

  test('a socket that was silent while Redis was slow loses nothing, and goes on once it answers', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port, { silentMs: 100 })
    await c.ready(LONG)
    proxy.holdReplies()
    const early = [c.call(['INCR', 'n'], LONG), c.call(['GET', 'b'], { ...LONG, read: true })]
    await new Promise((resolve) => setTimeout(resolve, 150))
    const late = [c.call(['INCR', 'n'], LONG), c.call(['GET', 'b'], { ...LONG, read: true })]
    await until('a second socket', () => proxy.connections() === 2)
    expect(c.state).toBe('connecting')
    proxy.release()
    expect(await Promise.all([...early, ...late])).toEqual([1, null, 2, null])
    await until(
      'one socket is left',
      async () => (String(await redis.raw.client('LIST')).match(/name=test/g) ?? []).length === 1,
    )
    expect(c.state).toBe('ready')
    expect(await c.call(['INCR', 'n'], LONG)).toBe(3)
  })

  test('a silent socket beside which no other can be had gets no reads for ever', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port, { silentMs: 100, connectTimeoutMs: 100 })
    await c.ready(LONG)
    proxy.vanish()
    proxy.holdReplies()
    const write = c.call(['INCR', 'n'], { deadlineMs: 2000 }).catch((e: unknown) => e)
    await new Promise((resolve) => setTimeout(resolve, 150))
    const read = c.call(['GET', 'b'], { deadlineMs: 1000, read: true }).catch((e: unknown) => e)
    await until('an attempt failed', () => c.state === 'waiting')
    expect(await c.call(['GET', 'b'], { deadlineMs: 100, read: true }).catch((e: unknown) => e)).toBeInstanceOf(
      NotReady,
    )
    expect(await read).toBeInstanceOf(UnknownOutcome)
    expect(await write).toBeInstanceOf(UnknownOutcome)
  })

  test('half-open: reads are asked again on another socket, writes end by their own deadlines', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port, { silentMs: 100 })
    await c.ready(LONG)
    proxy.vanish()
    const write = c.call(['INCR', 'n'], { deadlineMs: 1000 }).catch((e: unknown) => e)
    const read = c.call(['GET', 'b'], { ...LONG, read: true }).catch((e: unknown) => e)
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(await c.call(['INCR', 'm'], LONG)).toBe(1)
    // Long before its own deadline.
    expect(await read).toBeInstanceOf(UnknownOutcome)
    expect(await write).toBeInstanceOf(UnknownOutcome)
    expect(await redis.raw.exists('n')).toBe(0)
  })

  test('K7 a reply that nobody asked for ends the connection', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.damageNext((chunk) => Buffer.concat([chunk, Buffer.from('+EXTRA\r\n')]))
    await c.call(['PING'], LONG).catch((e: unknown) => expect(e).toBeInstanceOf(UnknownOutcome))
    await until('a new connection', () => proxy.connections() > 1)
    expect(await c.call(['ECHO', 'mine'], LONG)).toBe('mine')
  })

  test('K8 a replica is refused at connect', async () => {
    const c = connect(replica.port)
    await expect(c.call(['GET', 'k'], { deadlineMs: 300 })).rejects.toThrow(/is a slave, not a primary/)
  })

  test('K8 a primary that becomes a replica is left, and the new one is found', async () => {
    const proxy = await proxied()
    proxy.redirect(replica.port)
    await replica.raw.replicaof('NO', 'ONE')
    const c = connect(proxy.port)
    await c.ready(LONG)
    await replica.raw.replicaof('127.0.0.1', String(redis.port))
    const refused = await c.runScript('control-raise-fence', ['f'], ['1'], LONG).catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(Refused)
    expect(refused).toMatchObject({ redisCode: 'READONLY' })
    await expect(c.call(['GET', 'f'], { deadlineMs: 200 })).rejects.toThrow(/not a primary/)
    proxy.redirect(redis.port)
    expect(await c.runScript('control-raise-fence', ['f'], ['1'], LONG)).toBe('1')
    await until('the replica is up', async () => (await replica.raw.info('replication')).includes('link_status:up'))
  })

  test('the reason of a lost connection holds nothing of what was sent', async () => {
    const c = connect(redis.port)
    await c.ready(LONG)
    await redis.raw.call('REPLICAOF', '127.0.0.1', '1')
    try {
      await expect(c.call(['SET', 'k', 'the-value'], LONG)).rejects.toMatchObject({ redisCode: 'READONLY' })
      expect(c.lastError?.message).toMatch(/READONLY/)
      expect(inspect(c.lastError, { depth: 10 })).not.toContain('the-value')
    } finally {
      await redis.raw.call('REPLICAOF', 'NO', 'ONE')
    }
  })

  test('K5 a password with signs that URLs change logs in, and a rotated one without a restart', async () => {
    const proxy = await proxied()
    let password = 'a+b/c=%40@#:é'
    await redis.raw.acl('SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '+@all')
    const c = connect(proxy.port, { credentials: async () => ({ username: 'app', password }) })
    expect(await c.call(['ACL', 'WHOAMI'], LONG)).toBe('app')
    await redis.raw.acl('SETUSER', 'app', 'resetpass', '>second/+=')
    proxy.cut()
    await until('the old password was refused', () => c.lastError instanceof WrongPassword)
    expect(c.lastError?.message).not.toContain('a+b')
    password = 'second/+='
    expect(await c.call(['ACL', 'WHOAMI'], LONG)).toBe('app')
  })

  test('K5 a password that ends with a newline is named', async () => {
    await redis.raw.acl('SETUSER', 'app', 'reset', 'on', '>secret', '~*', '+@all')
    const c = connect(redis.port, { credentials: async () => ({ username: 'app', password: 'secret\n' }) })
    await expect(c.call(['PING'], { deadlineMs: 200 })).rejects.toThrow(/ends with a newline/)
    expect(c.lastError).toBeInstanceOf(WrongPassword)
    expect(JSON.stringify(c.lastError, Object.getOwnPropertyNames(c.lastError))).not.toContain('secret')
  })

  test('a user without the right to a command gets Refused NOPERM, and the connection stays', async () => {
    await redis.raw.acl('SETUSER', 'app', 'reset', 'on', '>x', '~*', '+@all', '-set')
    const proxy = await proxied()
    const c = connect(proxy.port, { credentials: async () => ({ username: 'app', password: 'x' }) })
    await expect(c.call(['SET', 'k', 'v'], LONG)).rejects.toMatchObject({ name: 'Refused', redisCode: 'NOPERM' })
    expect(await c.call(['GET', 'k'], LONG)).toBeNull()
    expect(proxy.connections()).toBe(1)
  })

  test('a user that may neither INFO nor ROLE is told so; one that may ROLE connects', async () => {
    await redis.raw.acl('SETUSER', 'app', 'reset', 'on', '>x', '~*', '+@all', '-info')
    const credentials = async () => ({ username: 'app', password: 'x' })
    await connect(redis.port, { credentials }).ready(LONG)
    await redis.raw.acl('SETUSER', 'app', '-role')
    await expect(connect(redis.port, { credentials }).ready({ deadlineMs: 200 })).rejects.toThrow(/role/)
  })

  test('a server that refuses names is used without', async () => {
    await redis.raw.acl('SETUSER', 'app', 'reset', 'on', '>x', '~*', '+@all', '-client')
    const c = connect(redis.port, { credentials: async () => ({ username: 'app', password: 'x' }) })
    expect(await c.call(['PING'], SECOND)).toBe('PONG')
  })

  test('close settles what is in flight, refuses what comes later, and may be called twice', async () => {
    const proxy = await proxied()
    const c = connect(proxy.port)
    await c.ready(LONG)
    proxy.holdReplies()
    const call = c.call(['INCR', 'n'], LONG)
    await until('it ran', () => redis.raw.exists('n'))
    await c.close()
    await c.close()
    await expect(call).rejects.toBeInstanceOf(UnknownOutcome)
    await expect(c.call(['GET', 'a'], LONG)).rejects.toBeInstanceOf(NotReady)
  })
})
