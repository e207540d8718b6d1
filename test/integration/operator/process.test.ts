import { jest } from '@jest/globals'
import { killOperatorProcesses, probe, startOperatorProcess } from './operator-process.ts'
import { App, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(60_000)

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
