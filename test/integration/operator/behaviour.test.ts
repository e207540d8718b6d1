import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { parse, stringify } from 'yaml'
import { crdYaml } from '../../../hack/generate/crd.ts'
import { startRedis } from '../../../hack/local/redis.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { ROUTING_FILE } from '../../../src/protocol/document.ts'
import { startFakePrometheus, vector } from '../../unit/prometheus/fake-prometheus.ts'
import { helm, HELM_LIMIT_MS } from '../chart/helm.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { isWrite } from './recorder.ts'
import {
  App,
  runOperator,
  startWorld,
  START_LIMIT_MS,
  templatesOf,
  until,
  type RunningOperator,
  type World,
} from './world.ts'

jest.setTimeout(60_000)

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS + HELM_LIMIT_MS)
afterAll(() => world.stop())

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})
const run: typeof runOperator = (...args) => {
  const running = runOperator(...args)
  stops.push(() => running.stop())
  return running
}
/** Helpers that end with the test. */
function background(work: (signal: AbortSignal) => Promise<void>): void {
  const stop = new AbortController()
  const done = work(stop.signal)
  stops.push(async () => {
    stop.abort()
    await done
  })
}
const redisOf = (world: World, changes = {}) => ({
  address: `redis://127.0.0.1:${world.redisServer.port}/0`,
  assume: { maxmemory: 1_000_000_000 },
  ...changes,
})
/** Waits for a reason of a condition and gives its message. */
async function reason(app: App, type: string, expected: string): Promise<string> {
  await until(async () => (await app.condition(type))?.reason === expected)
  return (await app.condition(type))?.message ?? ''
}

/** An application in DualWrite 10 %, epoch 2, with a member that follows. */
async function inDualWrite(
  name: string,
): Promise<{ app: App; running: RunningOperator; spec: ReturnType<App['spec']> }> {
  const app = await App.create(world, name)
  await world.redis.hset(`${name}:job:j1`, { workspace_id: 'w1' })
  const running = run(world, name)
  const spec = app.spec({
    targetPhase: 'DualWrite',
    canaryPercentage: 10,
    redis: redisOf(world),
    phases: { dualWrite: { steps: [{ percent: 10, soak: '0s' }] } },
  })
  background((signal) => new JobRunner(app.client, name).run(signal))
  await app.apply(spec)
  await until(async () => (await app.document())?.epoch === 1)
  const member = await app.join(await app.startPod())
  background((signal) => member.follow(signal))
  await until(async () => (await app.document())?.epoch === 2)
  await until(async () => (await app.condition('TargetReached'))?.status === 'True')
  return { app, running, spec }
}

describe('bad input gives a condition and an Event, and changes no data', () => {
  const dead = 'redis://127.0.0.1:1/0'
  const table: readonly (readonly [string, (app: App) => Parameters<App['apply']>[0], string, string, RegExp])[] = [
    [
      'templates that one key could fit both of',
      (app) => app.spec({ keys: { legacy: 'a:{job_id}', target: '{workspace_id}:{job_id}' } }),
      'Stalled',
      'InvalidSpec',
      /must begin with fixed text/,
    ],
    ['Redis down', (app) => app.spec({ redis: { address: dead } }), 'Ready', 'RedisUnreachable', /ECONNREFUSED/],
    [
      'a missing Secret',
      (app) => app.spec({ redis: redisOf(world, { credentialsSecretRef: { name: 'nowhere' } }) }),
      'Ready',
      'SecretMissing',
      /Secret nowhere does not exist in namespace /,
    ],
    [
      'a missing workload',
      (app) => app.spec({ app: { workloads: [{ kind: 'Deployment', name: 'nowhere' }] }, redis: redisOf(world) }),
      'Converged',
      'WorkloadMissing',
      /Deployment\/nowhere .* does not exist/,
    ],
    [
      'Prometheus down',
      (app) => app.spec({ slo: { prometheus: { address: 'http://127.0.0.1:1' } }, redis: redisOf(world) }),
      'SLOHealthy',
      'CheckError',
      /error-rate.*127\.0\.0\.1:1/,
    ],
  ]
  it.each(table)('%s', async (title, specOf, type, expected, message) => {
    const app = await App.create(
      world,
      `bad-${title
        .replace(/[^a-z]+/gi, '-')
        .toLowerCase()
        .slice(0, 30)}`,
    )
    const before = await world.redis.keys(`${app.namespace}:*`)
    run(world, app.namespace)
    await app.apply(specOf(app))
    expect(await reason(app, type, expected)).toMatch(message)
    expect(await world.redis.keys(`${app.namespace}:*`)).toEqual(before)
    if (type !== 'SLOHealthy') {
      const events = type === 'Converged' ? 'Warning WorkloadMissing' : `Warning ${expected}`
      await until(async () => (await app.events()).includes(events))
    }
  })

  it('a wrong password, named with its Secret and its newline, and healed by a rotation (K5)', async () => {
    const app = await App.create(world, 'bad-password')
    const server = await startRedis({ dir: `${world.dir}/locked`, args: ['--requirepass', 'right+/=%@#:é'] })
    stops.push(() => server.stop('KILL'))
    const secret = (password: string) =>
      app.client.apply(
        { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true },
        { metadata: { name: 'redis-auth', namespace: app.namespace }, stringData: { password } } as KubeObject,
        { fieldManager: 'test', force: true },
      )
    await secret('right+/=%@#:é\n')
    const running = run(world, app.namespace)
    await app.apply(
      app.spec({
        redis: { address: `redis://127.0.0.1:${server.port}/0`, credentialsSecretRef: { name: 'redis-auth' } },
      }),
    )
    expect(await reason(app, 'Ready', 'RedisAuthFailed')).toMatch(/the password ends with a newline/)
    expect(await app.configMap()).toBeUndefined()
    await secret('right+/=%@#:é')
    await until(async () => (await app.document())?.epoch === 1)
    expect(running.lines.join('\n')).not.toContain('right+/=')
  })

  it('a query that Prometheus refuses, an empty result and NaN hold the walk and say why', async () => {
    const prometheus = await startFakePrometheus()
    stops.push(() => prometheus.stop())
    let answer: (time: number) => [number, string] = () => [
      400,
      JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'parse error' }),
    ]
    prometheus.answer((asked, response) => {
      const [status, body] = answer(Number(asked.form.get('time')))
      response.writeHead(status)
      response.end(body)
    })
    const app = await App.create(world, 'bad-query')
    run(world, app.namespace)
    const checks = [{ name: 'errors', query: '((', max: 1, interval: '1s' }]
    await app.apply(app.spec({ slo: { prometheus: { address: prometheus.url }, checks }, redis: redisOf(world) }))
    expect(await reason(app, 'SLOHealthy', 'CheckError')).toMatch(/errors.*parse error/)
    answer = (time) => [200, vector([], {}, time)]
    expect(await reason(app, 'SLOHealthy', 'CheckInconclusive')).toMatch(
      /errors.*metric not found: .*given the registry/,
    )
    answer = (time) => [200, vector([[{}, '0']], {}, time)]
    await reason(app, 'SLOHealthy', 'ChecksPass')
    answer = (time) => [200, vector([[{}, 'NaN']], {}, time)]
    expect(await reason(app, 'SLOHealthy', 'CheckInconclusive')).toMatch(/errors.*NaN/)
  })

  it('a pod without the client holds in phase 0 and is named with its image', async () => {
    const app = await App.create(world, 'bad-pod')
    run(world, app.namespace)
    await app.startPod('api:without-client')
    await app.apply(
      app.spec({ app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '1s' }, redis: redisOf(world) }),
    )
    expect(await reason(app, 'Converged', 'UnawarePod')).toMatch(/api-aaa-1.*api:without-client/)
    expect((await app.document())?.epoch).toBe(1)
  })
})

describe('two resources on the same keys (D8)', () => {
  it('the second is Stalled and publishes nothing, also from another namespace', async () => {
    const first = await App.create(world, 'owner')
    const second = await App.create(world, 'intruder', templatesOf('owner'))
    run(world, 'owner')
    run(world, 'intruder')
    await first.apply(first.spec({ redis: redisOf(world) }))
    await until(async () => (await first.document())?.epoch === 1)
    await second.apply(second.spec({ keys: { ...templatesOf('owner') }, redis: redisOf(world) }))
    expect(await reason(second, 'Stalled', 'StateConflict')).toMatch(/owner\/jobs/)
    expect(await second.configMap()).toBeUndefined()
    expect(await world.redis.hget(first.keys.record, 'owner')).toBe('owner/jobs')
  })
})

describe('the ConfigMap (O9)', () => {
  let app: App
  beforeEach(async () => {
    app = await App.create(world, `routing-${stops.length}-${Date.now().toString(36)}`)
    run(world, app.namespace)
    await app.apply(app.spec({ redis: redisOf(world) }))
    await until(async () => (await app.document())?.epoch === 1)
  })
  const ref = () => ({ namespace: app.namespace, name: 'jobs-routing' })

  it('comes back when it is deleted', async () => {
    const before = (await app.configMap())?.data?.[ROUTING_FILE]
    await app.client.delete(CONFIG_MAPS, ref())
    await until(async () => (await app.configMap())?.data?.[ROUTING_FILE] === before)
  })

  it('keeps the keys of others, and gets its own back with an Event that others took', async () => {
    const before = (await app.configMap())?.data
    await app.client.mergePatch(
      CONFIG_MAPS,
      ref(),
      { data: { theirs: '1', [ROUTING_FILE]: '{}' } },
      { fieldManager: 'helm' },
    )
    await until(async () => (await app.configMap())?.data?.[ROUTING_FILE] === before?.[ROUTING_FILE])
    expect((await app.configMap())?.data).toEqual({ ...before, theirs: '1' })
    await until(async () => (await app.events()).includes('Warning ConfigMapReverted'))
  })

  it('H6: a Helm release with the keys in its manifest is warned of, put right after an upgrade, and at last a fight', async () => {
    const other = await App.create(world, 'released')
    const chart = mkdtempSync(join(tmpdir(), 'keyshift-chart-'))
    const data = `{ routing.json: "{}", theirs: "{{ .Values.theirs }}" }`
    mkdirSync(join(chart, 'templates'))
    writeFileSync(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: app\nversion: 1.0.0\n')
    const configMap = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: jobs-routing }\ndata: ${data}\n`
    writeFileSync(join(chart, 'templates', 'routing.yaml'), configMap)
    const release = async (...args: string[]) => {
      const target = ['--kubeconfig', world.cluster.kubeconfigPath, '--namespace', other.namespace]
      expect(await helm(...args, ...target)).toMatchObject({ code: 0 })
    }
    const theirs = async () => (await other.configMap())?.data?.['theirs']
    try {
      await release('install', 'app', chart, '--set-string', 'theirs=1')
      const { lines } = run(world, other.namespace)
      const said = () => lines.filter((line) => line.includes('"ConfigMapReverted"')).join('\n')
      await other.apply(other.spec({ redis: redisOf(world) }))
      await until(async () => (await other.document().catch(() => undefined))?.epoch === 1)
      expect(said()).toMatch(/helm has routing\.json of ConfigMap jobs-routing/)
      const before = (await other.configMap())?.data?.[ROUTING_FILE]
      await release('upgrade', 'app', chart, '--set-string', 'theirs=2', '--server-side=true', '--force-conflicts')
      await until(() => said().includes('helm took back'))
      await until(async () => (await other.configMap())?.data?.[ROUTING_FILE] === before)
      expect(await theirs()).toBe('2')
      await release('rollback', 'app', '1', '--server-side=true', '--force-conflicts')
      expect(await reason(other, 'Stalled', 'ConfigMapContested')).toMatch(/helm keeps taking back/)
      expect(await theirs()).toBe('1')
    } finally {
      rmSync(chart, { recursive: true, force: true })
    }
  })

  it('names the manager that keeps taking them', async () => {
    const take = async () => {
      await app.client.mergePatch(CONFIG_MAPS, ref(), { data: { [ROUTING_FILE]: '{}' } }, { fieldManager: 'flux' })
    }
    const before = (await app.configMap())?.data?.[ROUTING_FILE]
    await take()
    await until(async () => (await app.configMap())?.data?.[ROUTING_FILE] === before)
    await take()
    expect(await reason(app, 'Stalled', 'ConfigMapContested')).toMatch(/flux keeps taking back/)
  })
})

describe('status', () => {
  it('written by another in between is decided anew, not overwritten', async () => {
    const app = await App.create(world, 'conflict')
    const running = run(world, 'conflict')
    let meddled = 0
    running.requests.before = async (right) => {
      if (right !== 'patch jobkeymigrations.keyshift.dev/status' || meddled > 0) return
      meddled += 1
      await app.client.mergePatch(
        MIGRATIONS,
        { namespace: 'conflict', name: 'jobs' },
        { metadata: { labels: { meddled: 'yes' } } },
      )
    }
    await app.apply(app.spec({ redis: redisOf(world) }))
    await until(async () => (await app.document())?.epoch === 1)
    expect(meddled).toBe(1)
    expect((await app.resource()).metadata).toMatchObject({ labels: { meddled: 'yes' } })
    expect(running.lines.filter((line) => line.startsWith('error'))).toEqual([])
    const { status } = await app.resource()
    expect(status?.history).toHaveLength(1)
  })

  it('lost with the resource is read back from the record (O4)', async () => {
    const { app, spec } = await inDualWrite('restored')
    await app.client.delete(MIGRATIONS, { namespace: app.namespace, name: 'jobs' })
    await app.apply(spec)
    await until(async () => (await app.resource()).status?.epoch === 2)
    expect((await app.resource()).status).toMatchObject({ phase: 'DualWrite', canaryPercentage: 10 })
    await until(async () => (await app.events()).includes('Warning Adopted'))
    expect((await app.document())?.epoch).toBe(2)
  })
})

describe('replicas', () => {
  it('the second stays passive until the first has gone, and then leads (O3)', async () => {
    const app = await App.create(world, 'replicas')
    const first = run(world, 'replicas')
    await until(() => first.operator.isLeader)
    const second = run(world, 'replicas')
    await app.apply(app.spec({ redis: redisOf(world) }))
    await until(async () => (await app.document())?.epoch === 1)
    await until(() => second.requests.calls.length > 2)
    expect(second.operator.isLeader).toBe(false)
    expect(new Set(second.requests.calls)).toEqual(new Set(['get leases.coordination.k8s.io']))
    expect([second.operator.healthy(), second.operator.ready()]).toEqual([undefined, undefined])
    await first.stop()
    expect(first.operator.healthy()).toMatch(/neither leading nor competing/)
    await until(() => second.operator.isLeader)
    await app.client.delete(CONFIG_MAPS, { namespace: 'replicas', name: 'jobs-routing' })
    await until(async () => (await app.document())?.epoch === 1)
  })

  it('a leader cut off from the API server loses the lease, says so, and writes no more', async () => {
    await App.create(world, 'cut')
    const running = run(world, 'cut')
    await until(() => running.operator.isLeader)
    running.requests.before = () => {
      throw new KubeError({ status: 0, reason: 'ConnectionFailed', message: 'cut' })
    }
    await until(() => running.lines.some((line) => line.startsWith('fatal lease lost')))
    expect(running.operator.isLeader).toBe(false)
    expect(running.operator.healthy()).toMatch(/neither leading nor competing/)
  })
})

describe('a crash in the middle of a step is taken up again', () => {
  const table: readonly (readonly [string, string])[] = [
    ['before the status is written', 'patch jobkeymigrations.keyshift.dev/status'],
    ['after the record, before the ConfigMap', 'patch configmaps'],
  ]
  it.each(table)('%s', async (title, right) => {
    const { app, running, spec } = await inDualWrite(`crash-${title.split(' ')[0] ?? ''}`)
    let crashed = false
    running.requests.before = (called) => {
      crashed ||= called === right
      // From here on the process is gone: nothing that it asks arrives.
      if (crashed && isWrite(called)) throw new KubeError({ status: 0, reason: 'ConnectionFailed', message: 'crashed' })
    }
    await app.apply({ ...spec, canaryPercentage: 5 })
    await until(() => crashed)
    await running.stop()
    expect((await app.document())?.epoch).toBe(2)
    // Another lease, for the dead one is not given back.
    run(world, app.namespace, { lease: { namespace: app.namespace, name: 'next' } })
    await until(async () => (await app.document())?.epoch === 3)
    expect((await app.document())?.createTarget).toBe(5)
    const { status } = await app.resource()
    expect(status).toMatchObject({ epoch: 3, canaryPercentage: 5 })
    expect(await world.redis.hget(app.keys.record, 'epoch')).toBe('3')
  })
})

describe('the CRD', () => {
  const install = (yaml: string) =>
    world.cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: yaml })
  /** The CRD of an older version, which did not have the field. */
  const without = (...path: string[]): string => {
    const crd = parse(crdYaml()) as object
    const schema = ['spec', 'versions', '0', 'schema', 'openAPIV3Schema', 'properties']
    let at = crd as Record<string, object>
    for (const part of [...schema, ...path.slice(0, -1)]) at = at[part] as Record<string, object>
    expect(at).toHaveProperty(path.at(-1) ?? '')
    delete at[path.at(-1) ?? '']
    return stringify(crd)
  }
  const canary = ['spec', 'properties', 'canaryPercentage']
  const checks = ['spec', 'properties', 'slo', 'properties', 'checks', 'items', 'properties']

  it.each([
    ['status.epoch', ['status', 'properties', 'epoch']],
    ['spec.canaryPercentage', canary],
    ['spec.slo.checks[].failureLimit', [...checks, 'failureLimit']],
  ])('that lacks %s stalls every resource before anything is written (H1)', async (field, path) => {
    const app = await App.create(world, `outdated-${path.at(-1)?.toLowerCase() ?? ''}`)
    await install(without(...path))
    try {
      await app.apply(app.spec({ redis: redisOf(world) }))
      const running = run(world, app.namespace)
      expect(await reason(app, 'Stalled', 'CRDOutdated')).toContain(`lacks ${field}, which the API server drops`)
      expect(await app.configMap()).toBeUndefined()
      expect(await world.redis.exists(app.keys.record)).toBe(0)
      await until(async () => (await app.events()).includes('Warning CRDOutdated'))
      await running.stop()
    } finally {
      await install(crdYaml())
    }
    run(world, app.namespace)
    await until(async () => (await app.document())?.epoch === 1)
  })

  it('that loses a limit under a running operator is noticed before a step that would go past it (H1)', async () => {
    const { app } = await inDualWrite('limitless')
    const ref = { namespace: app.namespace, name: 'jobs' }
    const before = (await app.configMap())?.data
    await install(without(...canary))
    try {
      // The API server drops the 20: what is left asks for 100 %.
      await until(async () => {
        await app.client.mergePatch(MIGRATIONS, ref, { spec: { canaryPercentage: 20 } })
        return (await app.resource()).spec.canaryPercentage === undefined
      })
      expect(await reason(app, 'Stalled', 'CRDOutdated')).toMatch(/lacks spec\.canaryPercentage/)
      expect((await app.configMap())?.data).toEqual(before)
    } finally {
      await install(crdYaml())
    }
  })

  it('that is missing gives one line and a wait (H2)', async () => {
    await App.create(world, 'missing')
    const running = run(world, 'missing')
    running.requests.before = (right) => {
      if (right === 'get customresourcedefinitions.apiextensions.k8s.io')
        throw new KubeError({ status: 404, reason: 'NotFound', message: 'not found' })
    }
    const lines = () => running.lines.filter((line) => line.includes('is not installed'))
    await until(() => lines().length > 0)
    const asked = () => running.requests.calls.filter((right) => right.startsWith('get customresource')).length
    await until(() => asked() >= 2)
    expect(lines()).toHaveLength(1)
    expect(running.operator.ready()).toMatch(/not listed yet/)
    running.requests.before = () => undefined
    await until(() => running.operator.ready() === undefined)
  })
})

it.each([
  ['ahead of', 3_600_000],
  ['behind', -3_600_000],
])('a clock an hour %s that of the API server holds and says so; with the right one it goes on', async (which, off) => {
  const app = await App.create(world, `clock-${which.slice(0, 5)}`)
  const wrong = run(world, app.namespace, { clock: { ...systemClock, now: () => Date.now() + off } })
  await app.apply(app.spec())
  expect(await reason(app, 'Ready', 'ClockSkew')).toMatch(
    new RegExp(`3(600|599|601) s ${which} that of the API server`),
  )
  expect(await app.configMap()).toBeUndefined()
  expect(await world.redis.exists(app.keys.record, app.keys.fence)).toBe(0)
  await wrong.stop()
  run(world, app.namespace)
  await until(async () => (await app.document())?.epoch === 1)
})

it('D11 an id that the target cannot hold, used once in Legacy, holds the first step; after it, its creation fails and is counted', async () => {
  const app = await App.create(world, 'ids')
  run(world, app.namespace)
  background((signal) => new JobRunner(app.client, app.namespace).run(signal))
  await world.redis.hset('ids:job:j1', { workspace_id: 'w1' })
  const spec = (targetPhase: 'Legacy' | 'DualWrite', idWindow: string) =>
    app.spec({ targetPhase, keys: { ...templatesOf('ids'), idWindow }, redis: redisOf(world) })
  await app.apply(spec('Legacy', '1h'))
  const address = `redis://127.0.0.1:${world.redisServer.port}/0`
  const [one, other] = [
    new RealClient(app, await app.startPod(), { address }),
    new RealClient(app, await app.startPod(), { address }),
  ]
  for (const client of [one, other]) background((signal) => client.follow(signal))
  background((signal) => other.work(signal))
  // The job is done and gone by the time anybody looks at the keys.
  const store = one.client.forWorkspace('w1')
  await store.create('report:2026-01-01', {})
  await store.delete('report:2026-01-01')
  await until(async () => (await world.redis.hget(app.keys.illegalIds, 'count')) === '2')
  await app.apply(spec('DualWrite', '1h'))
  expect(await reason(app, 'Ready', 'IllegalIds')).toMatch(
    /2 times, such as "report:2026-01-01" from Deployment\/api \(api-aaa-1\).*none was seen for 1h/,
  )
  expect((await app.document())?.epoch).toBe(1)
  await app.apply(spec('DualWrite', '1s'))
  await until(() => one.client.state().phase === 'DualWrite')
  await expect(store.create('report:2026-01-02', {})).rejects.toMatchObject({ code: 'INVALID_ID' })
  expect(other.refused).toEqual([])
})
