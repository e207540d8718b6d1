import { jest } from '@jest/globals'
import type { Connection } from '../../../src/kube/connection.ts'
import { CRON_JOBS, DAEMON_SETS, JOBS, SECRETS, STATEFUL_SETS } from '../../../src/kube/resources.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import type { KubeObject, ResourceType } from '../../../src/kube/types.ts'
import { startFakePrometheus, vector, type FakePrometheus } from '../../unit/prometheus/fake-prometheus.ts'
import { HELM_LIMIT_MS } from '../chart/helm.ts'
import { RIGHTS } from '../chart/rights.ts'
import { JobRunner } from './job-runner.ts'
import { isWrite } from './recorder.ts'
import { connectAsOperator } from './service-account.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type RunningOperator, type World } from './world.ts'

jest.setTimeout(120_000)

const NAMESPACE = 'walk'
let world: World
let connection: Connection
let prometheus: FakePrometheus
let app: App
let running: RunningOperator
let runner: JobRunner
const stop = new AbortController()
const helpers: Promise<void>[] = []
/** Share of failed jobs that Prometheus tells. */
let errorRate = 0

beforeAll(async () => {
  ;[world, prometheus] = await Promise.all([startWorld(), startFakePrometheus()])
  prometheus.answer((asked, response) => {
    const time = Number(asked.form.get('time') ?? 0)
    response.end(
      asked.path.endsWith('/query')
        ? vector([[{ workspace_id: 'w1' }, String(errorRate)]], {}, time)
        : JSON.stringify({ status: 'success', data: { resultType: 'matrix', result: [] } }),
    )
  })
  app = await App.create(world, NAMESPACE)
  connection = await connectAsOperator(world.cluster, NAMESPACE)
  running = runOperator(world, NAMESPACE, {}, connection)
  runner = new JobRunner(app.client, NAMESPACE)
  helpers.push(runner.run(stop.signal))
}, START_LIMIT_MS + HELM_LIMIT_MS)

afterAll(async () => {
  await running.stop()
  stop.abort()
  await Promise.all(helpers)
  connection.close()
  await Promise.all([world.stop(), prometheus.stop()])
})

/** One more workload of each kind, so that each right is used. */
async function otherWorkloads(): Promise<void> {
  const labels = { app: 'other' }
  const pod = { metadata: { labels }, spec: { containers: [{ name: 'x', image: 'x' }] } }
  const job = { template: { spec: { ...pod.spec, restartPolicy: 'Never' } } }
  const make = (type: ResourceType, spec: object) =>
    app.client.create(type, { metadata: { name: 'other', namespace: NAMESPACE }, spec } as KubeObject)
  await make(STATEFUL_SETS, { serviceName: 'x', replicas: 0, selector: { matchLabels: labels }, template: pod })
  await make(DAEMON_SETS, { selector: { matchLabels: labels }, template: pod })
  await make(CRON_JOBS, { schedule: '0 0 * * *', jobTemplate: { spec: job } })
  await make(JOBS, { ...job, suspend: true })
}

const kinds = ['StatefulSet', 'DaemonSet', 'CronJob', 'Job'] as const
const spec = (changes: object = {}) => ({
  ...app.spec(),
  app: {
    workloads: [{ kind: 'Deployment' as const, name: 'api' }, ...kinds.map((kind) => ({ kind, name: 'other' }))],
    joinTimeout: '60s',
  },
  phases: { dualWrite: { steps: [{ percent: 10, soak: '1s' }] } },
  slo: {
    prometheus: { address: prometheus.url },
    checks: [{ name: 'errors', query: 'errors', max: 0.01, interval: '1s', failureLimit: 1 }],
  },
  redis: {
    address: `redis://127.0.0.1:${world.redisServer.port}/0`,
    credentialsSecretRef: { name: 'redis-auth' },
    assume: { maxmemory: 1_000_000_000 },
  },
  ...changes,
})

const at = async (epoch: number, phase: string) => {
  await until(async () => {
    const document = await app.document()
    return document?.epoch === epoch && document.phase === phase
  })
}
const reached = () => until(async () => (await app.condition('TargetReached'))?.status === 'True')

it('begins as epoch 1, Legacy, and says that it waits for clients', async () => {
  await world.redis.hset(`${NAMESPACE}:job:j1`, { workspace_id: 'w1', status: 'new' })
  await otherWorkloads()
  await app.client.create(SECRETS, {
    metadata: { name: 'redis-auth', namespace: NAMESPACE },
    stringData: { password: 'unused' },
  } as KubeObject)
  await app.apply(spec())
  await at(1, 'Legacy')
  await until(async () => (await app.condition('Converged'))?.reason === 'NoMembers')
  const configMap = await app.configMap()
  expect(configMap?.data).toMatchObject({
    PHASE: 'Legacy',
    EPOCH: '1',
    PHASE_1_CANARY_PCT: '0',
    PHASE_2_CANARY_PCT: '0',
  })
  expect(configMap?.metadata.ownerReferences).toBeUndefined()
  expect(await world.redis.hgetall(app.keys.record)).toMatchObject({
    owner: `${NAMESPACE}/jobs`,
    phase: 'Legacy',
    epoch: '1',
  })
})

it('runs preflight as a Job and, with a member, reaches Legacy', async () => {
  const member = await app.join(await app.startPod())
  helpers.push(member.follow(stop.signal))
  await reached()
  const job = await app.job('preflight')
  expect(job?.metadata.ownerReferences).toMatchObject([{ kind: 'JobKeyMigration', name: 'jobs', controller: true }])
  const { status } = await app.resource()
  expect(status).toMatchObject({ phase: 'Legacy', epoch: 1, preflight: { job: 'jobs-preflight-1' } })
  expect(status?.fence).toBeUndefined()
})

it('walks to DualWrite 10 %: fence 1 first, then epoch 2', async () => {
  await app.apply(spec({ targetPhase: 'DualWrite', canaryPercentage: 10 }))
  await at(2, 'DualWrite')
  expect(await world.redis.get(app.keys.fence)).toBe('1')
  expect((await app.document())?.createTarget).toBe(10)
  await reached()
  const { status } = await app.resource()
  expect(status).toMatchObject({ phase: 'DualWrite', canaryPercentage: 10, epoch: 2, fence: 1 })
  expect(status?.checks).toMatchObject([{ name: 'errors', outcome: 'Pass', value: '0' }])
  expect((await app.configMap())?.data).toMatchObject({ PHASE: 'DualWrite', EPOCH: '2', PHASE_1_CANARY_PCT: '10' })
  expect(await app.events()).toContain('Normal StepTaken')
})

it('writes nothing in steady state', async () => {
  const passes = await running.passes()
  const writes = running.requests.calls
    .filter(isWrite)
    .filter((right) => !right.endsWith('leases.coordination.k8s.io')).length
  await until(async () => (await running.passes()) >= passes + 4)
  const after = running.requests.calls.filter(isWrite).filter((right) => !right.endsWith('leases.coordination.k8s.io'))
  expect(after.slice(writes)).toEqual([])
})

it('shows the resource in its metrics, by the label resource', async () => {
  const text = await running.registry.metrics()
  expect(text).toContain('keyshift_phase{resource="walk/jobs"} 1')
  expect(text).toContain('keyshift_epoch{resource="walk/jobs"} 2')
  expect(text).toContain('keyshift_canary_percentage{resource="walk/jobs"} 10')
  expect(text).toContain('keyshift_check_value{resource="walk/jobs",check="errors"} 0')
  expect(text).toContain('keyshift_condition{resource="walk/jobs",type="Ready"} 1')
})

it('goes back to Legacy when a check fails more often than it may, and latches', async () => {
  errorRate = 0.5
  await at(3, 'Legacy')
  await until(async () => (await app.resource()).status?.failed?.reason === 'CheckFailed')
  expect(await app.events()).toContain('Warning CheckFailed')
  const { status } = await app.resource()
  expect(status?.checks).toMatchObject([{ outcome: 'Fail', value: '0.5000', worst: [{ labels: 'workspace_id="w1"' }] }])
  errorRate = 0
})

it('suspends a Job while paused, and removes it once what it would tell is of no use', async () => {
  await until(async () => (await app.resource()).status?.work?.['preflight']?.state === 'Recorded')
  runner.hold = true
  const { attempt = 0 } = (await app.resource()).status?.work?.['preflight'] ?? {}
  await app.apply(spec({ keys: { ...app.spec().keys, onMalformed: 'Quarantine' } }))
  await until(async () => (await app.job('preflight', attempt + 1)) !== undefined)
  await app.apply(spec({ keys: { ...app.spec().keys, onMalformed: 'Quarantine' }, paused: true }))
  await until(async () => (await app.job('preflight', attempt + 1))?.spec?.suspend === true)
  await app.apply(spec({ keys: { ...app.spec().keys, ignore: ['x:*'] } }))
  await until(async () => (await app.job('preflight', attempt + 1)) === undefined)
  runner.hold = false
  await reached()
})

it('used every right that the chart grants, and no other', () => {
  const granted = new Set<string>([...RIGHTS.watched, ...RIGHTS.own, ...RIGHTS.cluster])
  const used = new Set(running.requests.calls)
  expect([...used].filter((right) => !granted.has(right))).toEqual([])
  // An Event is patched when the same one comes again, which a walk need not see.
  expect([...granted].filter((right) => !used.has(right) && right !== 'patch events')).toEqual([])
  expect(running.lines.filter((line) => /Forbidden|403/.test(line))).toEqual([])
})

it('forgets the resource that is deleted and leaves routing and record', async () => {
  const { epoch = 0 } = (await app.resource()).status ?? {}
  await app.client.delete(MIGRATIONS, { namespace: NAMESPACE, name: 'jobs' })
  await until(async () => !(await running.registry.metrics()).includes('resource="walk/jobs"'))
  expect((await app.document())?.epoch).toBe(epoch)
  expect(await world.redis.hget(app.keys.record, 'epoch')).toBe(String(epoch))
})
