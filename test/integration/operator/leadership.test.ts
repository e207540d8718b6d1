import { jest } from '@jest/globals'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import {
  killOperatorProcesses,
  kubeconfigThrough,
  probe,
  startOperatorProcess,
  type OperatorProcess,
} from './operator-process.ts'
import { App, passesIn, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(180_000)

let world: World
const proxies: Proxy[] = []
const scenarios: { readonly name: string; readonly run: () => Promise<void>; running: Promise<void> }[] = []

/** They wait for leases to end, in real time: all at once. */
function scenario(name: string, run: () => Promise<void>): void {
  const one = { name, run, running: Promise.resolve() }
  scenarios.push(one)
  it(name, () => one.running)
}

beforeAll(async () => {
  world = await startWorld()
  for (const one of scenarios) {
    one.running = one.run()
    one.running.catch(() => undefined)
  }
}, START_LIMIT_MS)
afterAll(async () => {
  killOperatorProcesses()
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await world.stop()
})

interface Replica {
  readonly proxy: Proxy
  process: OperatorProcess
  /** As the kubelet does: a process that has ended is started again. */
  restart(): Promise<void>
}

async function startReplica(namespace: string): Promise<Replica> {
  const proxy = await startProxy(Number(new URL(world.cluster.server).port))
  proxies.push(proxy)
  const env = {
    KUBECONFIG: kubeconfigThrough(world, proxy.port),
    KEYSHIFT_NAMESPACES: namespace,
    KEYSHIFT_LEASE: namespace,
  }
  const replica: Replica = {
    proxy,
    process: await startOperatorProcess(world, env),
    restart: async () => void (replica.process = await startOperatorProcess(world, env)),
  }
  return replica
}

const leads = ({ process }: Replica): boolean => process.lines().some(({ message }) => message === 'leading')

/** An application whose epoch 1 is out, the leader that published it, and another replica that is ready to follow it. */
async function startPair(namespace: string): Promise<{ app: App; first: Replica; second: Replica }> {
  const app = await App.create(world, namespace)
  const first = await startReplica(namespace)
  await until(() => leads(first))
  await app.apply(app.spec())
  await until(async () => (await app.document())?.epoch === 1)
  const second = await startReplica(namespace)
  await until(async () => (await probe(`${second.process.url}/readyz`)) === 200)
  return { app, first, second }
}

/** The way to the API server is shut: what is open is cut, what is new refused. */
function block({ proxy }: Replica, on: boolean): void {
  proxy.refuse(on)
  if (on) proxy.cut()
}

/** Until the leader has looked at the resource and left it as it was. */
async function atRest(app: App, { process }: Replica): Promise<void> {
  const passes = async (): Promise<number> => passesIn(await (await fetch(`${process.url}/metrics`)).text())
  const ref = { namespace: app.namespace, name: 'jobs' }
  for (let look = 0; ; look += 1) {
    const before = await passes()
    const edited = await app.client.mergePatch(MIGRATIONS, ref, { metadata: { labels: { look: String(look) } } })
    await until(async () => (await passes()) > before)
    const { resourceVersion } = (await app.resource()).metadata
    if (resourceVersion === edited.metadata.resourceVersion) return
  }
}

scenario('O3: a leader cut off from the API server ends, the other one leads and goes on with the canary', async () => {
  const { app, first, second } = await startPair('cut-off')
  expect(leads(second)).toBe(false)

  block(first, true)
  expect(await first.process.exit).toBe(1)
  expect(first.process.lastWord()).toMatch(/^lease lost: not renewed for \d+ ms$/)
  expect(await probe(`${second.process.url}/healthz`)).toBe(200)
  await until(() => leads(second))

  const pod = await app.startPod()
  await app.join(pod)
  await app.apply(app.spec({ paused: true }))
  await until(async () => (await app.condition('Paused'))?.status === 'True')
  block(first, false)
  await first.restart()
  await until(async () => (await probe(`${first.process.url}/readyz`)) === 200)
  expect(leads(first)).toBe(false)
})

scenario('O3: both cut off, both go on by themselves once the way is open; the one that led has ended', async () => {
  const { app, first, second } = await startPair('both')
  for (const replica of [first, second]) block(replica, true)
  expect(await first.process.exit).toBe(1)
  // It competes in vain, which no new process would do better.
  expect(second.process.code()).toBeUndefined()
  expect(await probe(`${second.process.url}/healthz`)).toBe(200)
  for (const replica of [first, second]) block(replica, false)
  await first.restart()
  await until(() => leads(first) || leads(second))
  await app.apply(app.spec({ paused: true }))
  await until(async () => (await app.condition('Paused'))?.status === 'True')
  expect(leads(first) && leads(second)).toBe(false)
})

scenario('a leader that was stopped while another took over writes nothing when it wakes, and ends', async () => {
  const { app, first, second } = await startPair('frozen')
  first.process.child.kill('SIGSTOP')
  // Work for the one that sleeps, done by the other before it wakes.
  await app.apply(app.spec({ paused: true }))
  await until(() => leads(second))
  await until(async () => (await app.condition('Paused'))?.status === 'True')
  await atRest(app, second)
  // With the leader stopped too, whatever is written is written by the one that wakes.
  second.process.child.kill('SIGSTOP')
  const { resourceVersion } = (await app.resource()).metadata
  first.process.child.kill('SIGCONT')
  expect(await first.process.exit).toBe(1)
  expect(first.process.lastWord()).toMatch(/^lease lost/)
  expect((await app.resource()).metadata.resourceVersion).toBe(resourceVersion)
  second.process.child.kill('SIGCONT')
})
