import { rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { startPrometheus, type LocalPrometheus } from '../../../hack/local/prometheus.ts'
import type { Status } from '../../../src/api/status.ts'
import { JobRunner } from './job-runner.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(90_000)

const NAMESPACE = 'soak'
const SOAK_MS = 9000

let world: World
let app: App
let running: RunningOperator
let prometheus: LocalPrometheus | undefined
/** What the application shows on /metrics: the check wants at most 2. */
let load = 1
const metrics = http.createServer((_, response) => response.end(`load ${load}\n`))
/** Address of Prometheus that stays while Prometheus comes and goes. */
const front = http.createServer((request, response) => {
  const { method = 'GET', url = '/', headers } = request
  const onward = http.request(`${prometheus?.url ?? 'http://127.0.0.1:1'}${url}`, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.destroy())
  request.pipe(onward)
})
const listen = async (server: http.Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
const stop = new AbortController()
const helpers: Promise<void>[] = []
let target = ''
let address = ''
let operators = 0

beforeAll(async () => {
  world = await startWorld()
  target = await listen(metrics)
  address = `http://${await listen(front)}`
  await startMetrics()
  app = await App.create(world, NAMESPACE)
  await world.redis.hset(`${NAMESPACE}:job:j1`, { workspace_id: 'w1' })
  startOperator()
  helpers.push(new JobRunner(app.client, NAMESPACE).run(stop.signal))
  await app.apply(spec(10))
  await until(async () => (await app.document())?.epoch === 1)
  const member = await app.join(await app.startPod())
  helpers.push(member.follow(stop.signal))
}, START_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await Promise.all(helpers)
  await prometheus?.stop()
  for (const server of [metrics, front]) {
    server.closeAllConnections()
    server.close()
  }
  await world.stop()
})

async function startMetrics(): Promise<void> {
  const scrape = {
    job_name: 'app',
    scrape_interval: '200ms',
    scrape_timeout: '200ms',
    static_configs: [{ targets: [target] }],
  }
  const dir = join(world.dir, 'prometheus')
  prometheus = await startPrometheus({ dir, configYaml: JSON.stringify({ scrape_configs: [scrape] }) })
}

async function stopMetrics(): Promise<void> {
  const stopped = prometheus
  prometheus = undefined
  await stopped?.stop()
}

function startOperator(): void {
  operators += 1
  running = runOperator(world, NAMESPACE, { lease: { namespace: NAMESPACE, name: `operator-${operators}` } })
}

const spec = (canaryPercentage: number) =>
  app.spec({
    targetPhase: 'DualWrite',
    canaryPercentage,
    redis: { address: `redis://127.0.0.1:${world.redisServer.port}/0`, assume: { maxmemory: 1_000_000_000 } },
    phases: { dualWrite: { steps: [{ percent: 99, soak: `${SOAK_MS}ms` }] } },
    slo: {
      prometheus: { address },
      checks: [{ name: 'load', query: 'load', max: 2, interval: '1s', failureLimit: 100 }],
    },
  })

const statusNow = async (): Promise<Status> => (await app.resource()).status ?? {}
const ends = async (): Promise<number> => Date.parse((await statusNow()).soakEndsAt ?? '')
/** Waits until the moment is over: what was scraped in between cannot be hurried. */
const past = (moment: number) => until(() => Date.now() >= moment)

/** Begins the soak of the next step and gives when it ends while all is well. */
async function beginSoak(canaryPercentage: number): Promise<number> {
  await app.apply(spec(canaryPercentage))
  await until(async () => (await app.document())?.createTarget === canaryPercentage)
  await until(async () => {
    const { canaryPercentage: at, soakEndsAt } = await statusNow()
    return at === canaryPercentage && soakEndsAt !== undefined
  })
  return ends()
}

/** The status as it is when the step is soaked. */
async function soaked(): Promise<Status> {
  await until(async () => (await app.condition('TargetReached'))?.status === 'True')
  return statusNow()
}

it('a soak that an operator was restarted in ends to the millisecond when it would have ended', async () => {
  const end = await beginSoak(10)
  await past(end - SOAK_MS + 2500)
  await running.stop()
  await past(end - SOAK_MS + 5500)
  startOperator()
  const status = await soaked()
  expect(Date.parse(status.soakEndsAt ?? '')).toBe(end)
  expect(Date.now()).toBeGreaterThanOrEqual(end)
  expect(status.checks).toMatchObject([{ outcome: 'Pass', failures: 0 }])
})

it('what failed while no operator ran is counted from history, and pushes the soak by just that', async () => {
  const end = await beginSoak(20)
  await past(end - SOAK_MS + 2500)
  await running.stop()
  load = 3
  await past(Date.now() + 2500)
  load = 1
  await past(Date.now() + 2000)
  startOperator()
  const { checks, soakEndsAt } = await soaked()
  const failures = checks?.[0]?.failures ?? 0
  expect(failures).toBeGreaterThanOrEqual(2)
  expect(Date.parse(soakEndsAt ?? '')).toBe(end + failures * 1000)
})

it('a Prometheus that restarts with its data in mid-soak holds it, says so, and costs what it was away at most', async () => {
  const end = await beginSoak(30)
  await past(end - SOAK_MS + 2500)
  const wentAt = Date.now()
  await stopMetrics()
  await until(async () => (await app.condition('SLOHealthy'))?.reason === 'CheckError')
  expect((await app.condition('Ready'))?.message).toMatch(/load: http.* cannot be reached/)
  await startMetrics()
  await until(async () => (await app.condition('SLOHealthy'))?.reason === 'ChecksPass')
  const awayMs = Date.now() - wentAt
  const { epoch, failed, soakEndsAt } = await soaked()
  const pushed = Date.parse(soakEndsAt ?? '') - end
  expect(failed).toBeUndefined()
  expect(epoch).toBe((await app.document())?.epoch)
  expect(pushed).toBeGreaterThanOrEqual(1000)
  expect(pushed).toBeLessThanOrEqual(awayMs + 2000)
})

it('windows of which a Prometheus without its data has no history do not count', async () => {
  const end = await beginSoak(40)
  await past(end - SOAK_MS + 3500)
  await running.stop()
  const { soakCountedThrough = '' } = await statusNow()
  await stopMetrics()
  rmSync(join(world.dir, 'prometheus', 'data'), { recursive: true })
  await past(Date.now() + 1000)
  await startMetrics()
  const backAt = Date.now()
  startOperator()
  const { soakEndsAt } = await soaked()
  // All before is lost, also what was earned but not written yet.
  const lost = backAt - Date.parse(soakCountedThrough)
  expect(lost).toBeGreaterThan(3000)
  expect(Date.parse(soakEndsAt ?? '')).toBeGreaterThanOrEqual(end + Math.floor(lost / 1000) * 1000)
})
