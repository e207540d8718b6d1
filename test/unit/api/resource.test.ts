import { configMapName, durationMs, keysOf } from '../../../src/api/resource.ts'
import { DEFAULT_STEPS, SpecSchema, type SpecInput } from '../../../src/api/schema.ts'
import { StatusSchema } from '../../../src/api/status.ts'
import { resourceOf, specOf } from '../decision/builders.ts'

const MINIMAL: SpecInput = {
  targetPhase: 'DualWrite',
  canaryPercentage: 10,
  keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' },
  redis: { address: 'redis://redis:6379/0' },
  app: { workloads: [{ kind: 'Deployment', name: 'ai-api' }] },
  slo: { prometheus: { address: 'http://prometheus.monitoring.svc:9090' } },
}

describe('durations', () => {
  test.each([
    ['5ms', 5],
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['0.0005s', 1],
    ['720h', 2_592_000_000],
  ])('%s is %d ms', (text, ms) => {
    expect(durationMs(text)).toBe(ms)
  })

  test.each(['', '5', 'h', '5 m', '5d', '-5s', 'x5s', '5sx'])('%j is none', (text) => {
    expect(() => durationMs(text)).toThrow(/no duration/)
  })
})

describe('the smallest spec that works', () => {
  const spec = SpecSchema.parse(MINIMAL)

  test('gets the defaults of the design', () => {
    expect(spec).toMatchObject({
      paused: false,
      canary: { by: 'Job' },
      keys: { onMalformed: 'Block', ignore: [], allowEmpty: false, idWindow: '1h', queues: [] },
      redis: { observers: [], assume: {} },
      app: { joinTimeout: '2m' },
      phases: {
        dualWrite: { steps: DEFAULT_STEPS.dualWrite },
        readRouting: { steps: DEFAULT_STEPS.readRouting },
        backfillVerify: { soak: '720h' },
      },
      slo: { disabled: false, onFailure: 'Rollback' },
      worker: { maxKeysPerSecond: 20_000, maxRedisLatency: '5ms' },
    })
  })

  test('takes the workspace field from the target, the ConfigMap from the name, unless it names them', () => {
    expect(keysOf(spec).workspaceField).toBe('workspace_id')
    expect(keysOf(specOf({ keys: { ...MINIMAL.keys, workspaceField: 'ws' } })).workspaceField).toBe('ws')
    expect(configMapName(resourceOf(spec))).toBe('ai-jobs-routing')
    expect(configMapName(resourceOf(specOf({ app: { ...MINIMAL.app, configMapName: 'mine' } })))).toBe('mine')
  })
})

describe('a spec is refused', () => {
  const step = (percent: number): SpecInput['phases'] => ({ dualWrite: { steps: [{ percent, soak: '1s' }] } })

  test.each<[string, unknown]>([
    ['with an unknown phase', { targetPhase: 'Sideways' }],
    ['with a percentage of -1', { canaryPercentage: -1 }],
    ['with a percentage of 101', { canaryPercentage: 101 }],
    ['with a percentage of 10.5', { canaryPercentage: 10.5 }],
    ['with a step of 0', { phases: step(0) }],
    ['with a step of 101', { phases: step(101) }],
    ['without workloads', { app: { workloads: [] } }],
    ['with credentials in the address', { redis: { address: 'redis://u:p@redis:6379/0' } }],
    ['without the db in the address', { redis: { address: 'redis://redis:6379' } }],
    ['with a soak of two days', { phases: { backfillVerify: { soak: '2d' } } }],
    ['with credentials in the address of Prometheus', { slo: { prometheus: { address: 'http://u:p@prom' } } }],
  ])('%s', (_, over) => {
    expect(SpecSchema.safeParse({ ...MINIMAL, ...(over as object) }).success).toBe(false)
  })
})

test('a status of nothing is one, of too much text is none', () => {
  expect(StatusSchema.safeParse({}).success).toBe(true)
  expect(StatusSchema.safeParse({ awaits: 'x'.repeat(1537) }).success).toBe(false)
})
