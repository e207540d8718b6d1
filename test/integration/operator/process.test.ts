import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { freePort } from '../../../hack/system/ports.ts'
import { App, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(60_000)

const MAIN = join(import.meta.dirname, '../../../src/operator/main.ts')
let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

interface Started {
  readonly child: ChildProcess
  readonly url: string
  readonly lines: () => Record<string, unknown>[]
  readonly exit: Promise<number | null>
}
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

async function start(env: Record<string, string>): Promise<Started> {
  const port = await freePort()
  let out = ''
  const child = spawn(process.execPath, [MAIN], {
    env: {
      KUBECONFIG: world.cluster.kubeconfigPath,
      KEYSHIFT_IMAGE: 'keyshift:test',
      KEYSHIFT_PORT: String(port),
      POD_NAMESPACE: 'default',
      POD_NAME: 'operator-0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const lines = () =>
    out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    lines,
    exit: once(child, 'exit').then(([code]) => code as number | null),
  }
}
const status = (url: string) =>
  fetch(url).then(
    ({ status: code }) => code,
    () => 0,
  )

it('serves probes and metrics, logs JSON that carries the resource, and gives the lease back on SIGTERM', async () => {
  const app = await App.create(world, 'process')
  const started = await start({ KEYSHIFT_NAMESPACES: 'process' })
  await until(async () => (await status(`${started.url}/readyz`)) === 200)
  expect(await status(`${started.url}/healthz`)).toBe(200)
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

it('says which settings are wrong and ends with 1', async () => {
  const started = await start({ KEYSHIFT_IMAGE: '', KEYSHIFT_WORKERS: 'many' })
  expect(await started.exit).toBe(1)
  expect(
    started
      .lines()
      .map(({ message }) => message)
      .join(),
  ).toMatch(/KEYSHIFT_IMAGE is not set; KEYSHIFT_WORKERS: must be/)
})

it('ends when the lease is taken from it (O3)', async () => {
  const started = await start({ KEYSHIFT_NAMESPACES: 'process', KEYSHIFT_LEASE: 'taken' })
  await until(() => started.lines().some(({ message }) => message === 'leading'))
  const patch = JSON.stringify({
    spec: { holderIdentity: 'another', renewTime: new Date().toISOString().replace('Z', '000Z') },
  })
  await world.cluster.kubectl(['patch', 'lease', 'taken', '--type=merge', '-p', patch])
  expect(await started.exit).toBe(1)
  expect(started.lines()).toContainEqual(expect.objectContaining({ message: 'lease lost' }))
})
