import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { startProxy } from '../redis/support/proxy.ts'
import { TROUBLE_ARGS, troublesOf } from '../redis/support/troubles.ts'
import { killOperatorProcesses, kubeconfigThrough, probe, startOperatorProcess } from './operator-process.ts'
import { App, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(120_000)

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterEach(killOperatorProcesses)
afterAll(() => world.stop())

it('serves probes and metrics, logs JSON that carries the resource, and gives the lease back on SIGTERM', async () => {
  const app = await App.create(world, 'process')
  const started = await startOperatorProcess(world, { KEYSHIFT_NAMESPACES: 'process' })
  await until(async () => (await probe(`${started.url}/readyz`)) === 200)
  expect(await probe(`${started.url}/healthz`)).toBe(200)
  await app.apply(app.spec())
  await until(async () => (await app.document())?.epoch === 1)
  await until(async () =>
    (await (await fetch(`${started.url}/metrics`)).text()).includes('keyshift_epoch{resource="process/jobs"} 1'),
  )
  const metrics = await (await fetch(`${started.url}/metrics`)).text()
  expect(metrics).toMatch(/^keyshift_leader 1$/m)
  expect(metrics).toMatch(/^keyshift_kube_requests_total\{method="GET",resource="leases",status="\d+"\} \d+$/m)
  expect(started.lines()).toContainEqual(
    expect.objectContaining({
      level: 'info',
      message: 'action done',
      resource: 'process/jobs',
      action: 'ApplyConfigMap',
    }),
  )
  started.child.kill('SIGTERM')
  expect(await started.exit).toBe(0)
  expect(started.lines().map(({ message }) => message)).toContain('shutting down')
  const lease = await world.cluster.kubectl([
    'get',
    'lease',
    'keyshift-operator',
    '-o',
    'jsonpath={.spec.holderIdentity}',
  ])
  expect(lease).toBe('')
})

it('is alive and ready while Redis and Prometheus are away: that is for status to say', async () => {
  const app = await App.create(world, 'alone')
  const started = await startOperatorProcess(world, { KEYSHIFT_NAMESPACES: 'alone', KEYSHIFT_LEASE: 'alone' })
  const away = { address: 'redis://127.0.0.1:1/0' }
  await app.apply(app.spec({ redis: away, slo: { disabled: false, prometheus: { address: 'http://127.0.0.1:1' } } }))
  await until(async () => (await app.resource()).status?.awaits?.startsWith('RedisUnreachable') === true)
  expect(await probe(`${started.url}/readyz`)).toBe(200)
  expect(await probe(`${started.url}/healthz`)).toBe(200)
})

describe('a Redis that takes connections and does not answer as it should is for status to say', () => {
  let server: LocalRedis
  let admin: Redis
  const silent = createServer((socket) => void sockets.push(socket.on('error', () => undefined)))
  const sockets: Socket[] = []
  beforeAll(async () => {
    server = await startRedis({ dir: join(world.dir, 'own'), args: TROUBLE_ARGS })
    admin = new Redis(server.port)
    // Loading them takes as long as it is to.
    const keys = admin.pipeline()
    for (let i = 0; i < 6000; i += 1) keys.set(`key${i}`, 'x')
    await keys.exec()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  })
  afterAll(async () => {
    for (const socket of sockets) socket.destroy()
    silent.close()
    admin.disconnect()
    await server.stop('KILL')
  })
  const none = { begin: () => Promise.resolve(), end: () => Promise.resolve() }
  const trouble = (code: string) => troublesOf(admin).find((one) => one.code === code) ?? none

  it.each([
    ['hangs', () => (silent.address() as AddressInfo).port, /^RedisUnreachable: /],
    ['LOADING', () => server.port, /^RedisLoading: /],
    ['BUSY', () => server.port, /^RedisBusy: /],
  ] as const)('%s: alive and ready', async (code, port, said) => {
    const namespace = `redis-${code.toLowerCase()}`
    const app = await App.create(world, namespace)
    const started = await startOperatorProcess(world, { KEYSHIFT_NAMESPACES: namespace, KEYSHIFT_LEASE: namespace })
    await until(() => started.lines().some(({ message }) => message === 'leading'))
    const { begin, end } = trouble(code)
    await begin()
    try {
      await app.apply(app.spec({ redis: { address: `redis://127.0.0.1:${port()}/0` } }))
      await until(async () => said.test((await app.resource()).status?.awaits ?? ''))
      for (const path of ['readyz', 'healthz']) expect(await probe(`${started.url}/${path}`)).toBe(200)
      // A pass that waits for Redis holds up none that does not.
      await app.client.mergePatch(
        MIGRATIONS,
        { namespace, name: 'jobs' },
        { spec: { redis: { address: `redis://127.0.0.1:${world.redisServer.port}/0` } } },
      )
      await until(async () => (await app.document())?.epoch === 1)
      expect(started.code()).toBeUndefined()
    } finally {
      await end()
    }
  })
})

it('is alive and ready to compete while the API server is away, and leads by itself once it is there', async () => {
  const proxy = await startProxy(Number(new URL(world.cluster.server).port))
  proxy.refuse(true)
  const KUBECONFIG = kubeconfigThrough(world, proxy.port)
  const started = await startOperatorProcess(world, { KUBECONFIG, KEYSHIFT_NAMESPACES: 'away', KEYSHIFT_LEASE: 'away' })
  await until(() => started.lines().some(({ message }) => message === 'lease'))
  for (const path of ['readyz', 'healthz']) expect(await probe(`${started.url}/${path}`)).toBe(200)
  expect((await (await fetch(`${started.url}/metrics`)).text()).includes('keyshift_leader 0')).toBe(true)
  proxy.refuse(false)
  await until(() => started.lines().some(({ message }) => message === 'leading'))
  await until(async () => (await probe(`${started.url}/readyz`)) === 200)
  // Cut off it is alive until its lease is over, and ends then.
  proxy.refuse(true)
  proxy.cut()
  await until(() => started.lines().some(({ message }) => message === 'watch failed'))
  expect(await probe(`${started.url}/healthz`)).toBe(200)
  expect(await started.exit).toBe(1)
  expect(started.lastWord()).toMatch(/^lease lost: not renewed/)
  await proxy.close()
})

it('says which settings are wrong and ends with 1', async () => {
  const started = await startOperatorProcess(world, { KEYSHIFT_IMAGE: '', KEYSHIFT_WORKERS: 'many' })
  expect(await started.exit).toBe(1)
  expect(
    started
      .lines()
      .map(({ message }) => message)
      .join(),
  ).toMatch(/KEYSHIFT_IMAGE is not set; KEYSHIFT_WORKERS: must be/)
})

it('ends when the lease is taken from it (O3)', async () => {
  const started = await startOperatorProcess(world, { KEYSHIFT_NAMESPACES: 'process', KEYSHIFT_LEASE: 'taken' })
  await until(() => started.lines().some(({ message }) => message === 'leading'))
  const patch = JSON.stringify({
    spec: { holderIdentity: 'another', renewTime: new Date().toISOString().replace('Z', '000Z') },
  })
  await world.cluster.kubectl(['patch', 'lease', 'taken', '--type=merge', '-p', patch])
  expect(await started.exit).toBe(1)
  expect(started.lines()).toContainEqual(expect.objectContaining({ message: 'lease lost' }))
  expect(started.lastWord()).toBe('lease lost: taken over by "another"')
})

it('ends with a reason, in the log and in its termination message, where a rejection is not handled', async () => {
  const boom = 'data:text/javascript,setTimeout(() => Promise.reject(new Error("nobody catches this")), 1500)'
  const started = await startOperatorProcess(world, { KEYSHIFT_NAMESPACES: 'process' }, ['--import', boom])
  expect(await started.exit).toBe(1)
  expect(started.lines().at(-1)).toMatchObject({ level: 'error', message: 'unhandled rejection' })
  expect(started.lastWord()).toBe('unhandled rejection: nobody catches this')
})
