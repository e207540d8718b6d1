import { KubeError } from '../../../src/kube/errors.ts'
import { RedisPool } from '../../../src/operator/redis-pool.ts'
import { SecretReader } from '../../../src/operator/secrets.ts'
import type { Connection, ConnectionState, Credentials } from '../../../src/redis/connection.ts'
import { FakeClock } from '../runtime/fake-clock.ts'

const fails = (status: number) => () =>
  Promise.reject(new KubeError({ status, reason: 'x', message: `status ${status}` }))
let clock: FakeClock
beforeEach(() => (clock = new FakeClock()))

describe('a Secret (O2)', () => {
  const data = (password: string, version = '1') => ({
    metadata: { uid: 'u', resourceVersion: version },
    data: { password: Buffer.from(password).toString('base64'), username: Buffer.from('app\n').toString('base64') },
  })
  let secret: unknown
  let asked: number
  let told: string[]
  const reader = () =>
    new SecretReader({ get: (() => ((asked += 1), Promise.resolve(secret))) as never }, clock, (value) =>
      told.push(value),
    )
  beforeEach(() => {
    ;[secret, asked, told] = [data('one'), 0, []]
  })

  it('is kept for half a minute, and read anew when it was refused', async () => {
    const secrets = reader()
    for (const _ of [1, 2]) expect((await secrets.read('app', 'auth')).get('password')).toBe('one')
    expect(asked).toBe(1)
    secret = data('two', '2')
    expect((await secrets.read('app', 'auth', true)).get('password')).toBe('two')
    await clock.advance(30_000)
    await secrets.read('app', 'auth')
    expect(asked).toBe(3)
  })

  it('tells what is used of it to the log, the user name not', async () => {
    const values = await reader().read('app', 'auth')
    expect([values.get('username', 'open'), values.get('password')]).toEqual(['app\n', 'one'])
    expect(told).toEqual(['one'])
  })

  it('that is missing or forbidden says what to do', async () => {
    const failing = (status: number) => new SecretReader({ get: fails(status) }, clock, () => undefined)
    await expect(failing(404).read('app', 'auth')).rejects.toThrow('Secret auth does not exist in namespace app')
    await expect(failing(403).read('app', 'auth')).rejects.toThrow(/may not read Secret auth .* Role/)
    await expect(failing(500).read('app', 'auth')).rejects.toThrow('status 500')
  })

  describe('and its connections', () => {
    interface Opened {
      readonly credentials: () => Promise<Credentials | undefined>
      closed: boolean
      state: (state: ConnectionState) => void
    }
    let opened: Opened[]
    let woken: string[]
    let pool: RedisPool
    beforeEach(() => {
      ;[opened, woken] = [[], []]
      const wake = (resource: string): void => void woken.push(resource)
      pool = new RedisPool(reader(), wake, ({ credentials = async () => undefined }) => {
        const entry: Opened = { credentials, closed: false, state: () => undefined }
        opened.push(entry)
        const connection: Pick<Connection, 'close' | 'onState'> = {
          close: async () => void (entry.closed = true),
          onState: (listener) => ((entry.state = listener), () => true),
        }
        return connection as Connection
      })
    })

    it('wake their resources once when they are lost, and once when they are back', async () => {
      for (const name of ['app/a', 'app/b']) await pool.connectionFor(name, 'app', redis)
      for (const state of ['connecting', 'ready'] as const) opened[0]?.state(state)
      expect(woken.splice(0)).toEqual(['app/a', 'app/b'])
      for (const state of ['waiting', 'connecting', 'waiting'] as const) opened[0]?.state(state)
      expect(woken.splice(0)).toEqual(['app/a', 'app/b'])
      pool.forget('app/b')
      for (const state of ['connecting', 'ready', 'closed'] as const) opened[0]?.state(state)
      expect(woken).toEqual(['app/a'])
    })
    const redis = { address: 'redis://redis:6379/0', credentialsSecretRef: { name: 'auth' }, observers: [], assume: {} }

    it('are shared by resources that name the same', async () => {
      const first = await pool.connectionFor('app/a', 'app', redis)
      expect(await pool.connectionFor('app/b', 'app', redis)).toBe(first)
      expect(await pool.connectionFor('other/a', 'other', redis)).not.toBe(first)
      pool.forget('app/a')
      expect(opened[0]?.closed).toBe(false)
      pool.forget('app/b')
      expect(opened[0]?.closed).toBe(true)
    })

    it('log in with what the Secret holds at that moment', async () => {
      await pool.connectionFor('app/a', 'app', redis)
      secret = data('two', '2')
      expect(await opened[0]?.credentials()).toEqual({ username: 'app', password: 'two' })
    })

    it('are made anew when the Secret has changed', async () => {
      const first = await pool.connectionFor('app/a', 'app', redis)
      secret = data('two', '2')
      await clock.advance(30_000)
      expect(await pool.connectionFor('app/a', 'app', redis)).not.toBe(first)
      expect(opened.map(({ closed }) => closed)).toEqual([true, false])
    })

    it('are one after a rotation that two resources see at once: none is left open unseen', async () => {
      const both = () => Promise.all(['a', 'b'].map((name) => pool.connectionFor(`app/${name}`, 'app', redis)))
      await both()
      secret = data('two', '2')
      await clock.advance(30_000)
      const [a, b] = await both()
      expect(a).toBe(b)
      expect(opened.map(({ closed }) => closed)).toEqual([true, false])
      for (const name of ['a', 'b']) pool.forget(`app/${name}`)
      expect(opened.map(({ closed }) => closed)).toEqual([true, true])
    })

    it('of another spec for the same Redis are others: another CA, another name, other Sentinels', async () => {
      const tls = { caSecretRef: { name: 'auth', key: 'password' } }
      const sentinel = { masterName: 'm', addresses: ['s:1'], db: 0 }
      const specs = [
        redis,
        { ...redis, tls: {} },
        { ...redis, tls },
        { ...redis, tls: { ...tls, serverName: 'redis' } },
        { observers: [], assume: {}, sentinel },
        { observers: [], assume: {}, sentinel: { ...sentinel, db: 1 } },
        { observers: [], assume: {}, sentinel: { ...sentinel, credentialsSecretRef: { name: 'auth' } } },
      ]
      const made = await Promise.all(specs.map((spec, i) => pool.connectionFor(`app/${i}`, 'app', spec)))
      expect(new Set(made).size).toBe(specs.length)
    })

    it('that found the new password by themselves are kept', async () => {
      const first = await pool.connectionFor('app/a', 'app', redis)
      secret = data('two', '2')
      await opened[0]?.credentials()
      expect(await pool.connectionFor('app/a', 'app', redis)).toBe(first)
      expect(opened).toHaveLength(1)
    })

    it('are closed when the resource goes elsewhere', async () => {
      await pool.connectionFor('app/a', 'app', redis)
      await pool.connectionFor('app/a', 'app', { ...redis, address: 'redis://other:6379/0' })
      expect(opened.map(({ closed }) => closed)).toEqual([true, false])
    })

    it('need a password in the Secret', async () => {
      secret = { metadata: {}, data: {} }
      await pool.connectionFor('app/a', 'app', redis)
      await expect(opened[0]?.credentials()).rejects.toThrow('Secret auth in namespace app has no key "password"')
    })
  })
})
