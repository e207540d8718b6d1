import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { type ControlPlane, startControlPlane } from '../../../hack/local/control-plane.ts'
import { CommandError } from '../../../hack/system/run.ts'
import { createKubeClient } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { installCrd } from '../kube/control-plane.ts'
import { BAD_FIELDS, pathsOf, specWith } from './bad-fields.ts'

type Json = Record<string, unknown>
const CRD = join(import.meta.dirname, '../../../crds/keyshift.dev_jobkeymigrations.yaml')

const dir = mkdtempSync(join(tmpdir(), 'keyshift-crd-'))
let plane: ControlPlane

beforeAll(async () => {
  plane = await startControlPlane({ dir })
  await installCrd(plane, readFileSync(CRD, 'utf8'))
}, 120_000)

afterAll(async () => {
  await plane.stop()
  rmSync(dir, { recursive: true, force: true })
})

const smallest = (): Json => ({
  targetPhase: 'DualWrite',
  canaryPercentage: 10,
  keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' },
  redis: { address: 'redis://redis:6379/0' },
  app: { workloads: [{ kind: 'Deployment', name: 'ai-api' }] },
  slo: { prometheus: { address: 'http://prometheus.monitoring.svc:9090' } },
})

async function apply(spec: Json, name = 'ai-jobs'): Promise<Json> {
  const resource = {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name, namespace: 'default' },
    spec,
  }
  const text = await plane.kubectl(['apply', '-f', '-', '-o', 'json'], { input: stringify(resource) })
  return JSON.parse(text) as Json
}

/** What the API server says to a spec that it refuses. */
async function refusal(spec: Json, name = 'refused'): Promise<string> {
  try {
    await apply(spec, name)
  } catch (error) {
    if (error instanceof CommandError) return error.result.stderr
    throw error
  }
  return '(accepted)'
}

test('the smallest spec is accepted and gets its defaults', async () => {
  const { spec } = (await apply(smallest())) as { spec: Json }
  expect(spec).toMatchObject({
    paused: false,
    canary: { by: 'Job' },
    keys: { onMalformed: 'Block', idWindow: '1h' },
    app: { joinTimeout: '2m' },
    phases: {
      dualWrite: {
        steps: [
          { percent: 10, soak: '48h' },
          { percent: 50, soak: '4h' },
          { percent: 100, soak: '4h' },
        ],
      },
      readRouting: { steps: [{ percent: 50, soak: '24h' }] },
      backfillVerify: { soak: '720h' },
    },
    slo: { disabled: false, onFailure: 'Rollback' },
    worker: { maxKeysPerSecond: 20000, maxRedisLatency: '5ms' },
  })
})

test.each(['minimal', 'full', 'sentinel'])('examples/%s.yaml applies as it is, with no field unknown', async (name) => {
  const file = join(import.meta.dirname, `../../../examples/${name}.yaml`)
  const said = await plane.kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', file])
  expect(said).toContain('(server dry run)')
})

test('the CRD fits into the last-applied annotation of a client-side apply', () => {
  expect(readFileSync(CRD, 'utf8').length).toBeLessThan(200_000)
})

test('kubectl explain reads like documentation', async () => {
  const text = await plane.kubectl(['explain', 'jkm.spec.slo.checks'])
  expect(text).toContain('PromQL')
  expect(text).toContain('Failed measurements allowed in one step')
  const spec = await plane.kubectl(['explain', 'jkm.spec', '--recursive'])
  expect(spec).toContain('canaryPercentage')
})

test('every field of the spec has a description', () => {
  const crd = parse(readFileSync(CRD, 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: Json } } }[] }
  }
  const bare: string[] = []
  const walk = (node: Json, path: string): void => {
    if (typeof node['description'] !== 'string') bare.push(path)
    for (const [name, child] of Object.entries((node['properties'] ?? {}) as Record<string, Json>))
      walk(child, `${path}.${name}`)
    const items = node['items'] as Json | undefined
    for (const [name, child] of Object.entries((items?.['properties'] ?? {}) as Record<string, Json>))
      walk(child, `${path}[].${name}`)
  }
  walk(crd.spec.versions[0]?.schema.openAPIV3Schema.properties['spec'] as Json, 'spec')
  expect(bare).toEqual([])
})

const bad: [string, (spec: Json) => Json, RegExp][] = [
  [
    'an unknown phase',
    (s) => ({ ...s, targetPhase: 'Sideways' }),
    /Unsupported value: "Sideways": supported values: "Legacy", "DualWrite"/,
  ],
  ['a percentage of -1', (s) => ({ ...s, canaryPercentage: -1 }), /canaryPercentage.*greater than or equal to 0/],
  ['a percentage of 101', (s) => ({ ...s, canaryPercentage: 101 }), /canaryPercentage.*less than or equal to 100/],
  ['a percentage of 10.5', (s) => ({ ...s, canaryPercentage: 10.5 }), /canaryPercentage.*integer/],
  [
    'a legacy template without {job_id}',
    (s) => ({ ...s, keys: { legacy: 'ai:job', target: 'ai:{workspace_id}:{job_id}' } }),
    /keys.legacy must contain \{job_id\}, for example/,
  ],
  [
    'a target template without a workspace',
    (s) => ({ ...s, keys: { legacy: 'ai:job:{job_id}', target: 'ai2:job:{job_id}' } }),
    /one other placeholder, for example/,
  ],
  [
    'equal templates',
    (s) => ({ ...s, keys: { legacy: 'a:{job_id}', target: 'a:{job_id}' } }),
    /equal: there is nothing to migrate/,
  ],
  ['an address with a password', (s) => ({ ...s, redis: { address: 'redis://:pw@redis:6379/0' } }), /redis.address/],
  ['an address without a db', (s) => ({ ...s, redis: { address: 'redis://redis:6379' } }), /redis.address/],
  [
    'neither an address nor Sentinels',
    (s) => ({ ...s, redis: {} }),
    /give either redis.address, or redis.sentinel where Sentinels say/,
  ],
  [
    'an address beside Sentinels',
    (s) => ({ ...s, redis: { address: 'redis://r:6379/0', sentinel: { masterName: 'm', addresses: ['s'], db: 0 } } }),
    /give either redis.address, or redis.sentinel where Sentinels say/,
  ],
  [
    'Sentinels without a db',
    (s) => ({ ...s, redis: { sentinel: { masterName: 'm', addresses: ['s'] } } }),
    /redis.sentinel.db: Required/,
  ],
  [
    'a Sentinel given as a URL',
    (s) => ({ ...s, redis: { sentinel: { masterName: 'm', addresses: ['redis://s:1'], db: 0 } } }),
    /redis.sentinel.addresses/,
  ],
  ['no workloads', (s) => ({ ...s, app: { workloads: [] } }), /workloads.*at least 1/],
  [
    'neither Prometheus nor disabled',
    (s) => ({ ...s, slo: {} }),
    /give slo.prometheus.address, or write slo: \{ disabled: true \}/,
  ],
  [
    'a check without a bound',
    (s) => ({ ...s, slo: { disabled: true, checks: [{ name: 'x', query: 'up' }] } }),
    /each check needs max or min/,
  ],
  [
    'falling steps',
    (s) => ({
      ...s,
      phases: {
        dualWrite: {
          steps: [
            { percent: 50, soak: '1h' },
            { percent: 10, soak: '1h' },
          ],
        },
      },
    }),
    /steps must rise/,
  ],
  ['a soak that is no duration', (s) => ({ ...s, phases: { backfillVerify: { soak: '30 days' } } }), /soak/],
]
test.each(bad)('%s is refused with what to do', async (_, change, message) => {
  expect(await refusal(change(smallest()))).toMatch(message)
})

describe('each field of the spec', () => {
  const crd = parse(readFileSync(CRD, 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: Json } } } }[] }
  }
  const paths = pathsOf(crd.spec.versions[0]?.schema.openAPIV3Schema.properties.spec ?? {})
  const connection = () => connect({ from: 'file', path: plane.kubeconfigPath }, 'keyshift-integration')

  test('says what it refuses, in the table of bad fields', () => {
    expect(Object.keys(BAD_FIELDS).sort()).toEqual([...paths].sort())
  })

  test.each(paths)('%s is refused with its name and what it may be', async (path) => {
    const server = connection()
    const client = createKubeClient(server)
    const put = async (spec: unknown): Promise<unknown> => {
      const resource = { metadata: { name: 'refused', namespace: 'default' }, spec } as KubeObject
      return client.create(MIGRATIONS, resource).catch((error: unknown) => error)
    }
    try {
      for (const [value, says] of BAD_FIELDS[path] ?? []) {
        const error = await put(specWith(path, value))
        expect(error).toMatchObject({ name: 'KubeError', status: 422 })
        const { message } = error as Error
        expect(message).toMatch(says)
        expect(message).toContain(path.replaceAll('[]', '[0]'))
        expect(message.length).toBeLessThanOrEqual(2000)
      }
      expect(BAD_FIELDS[path]?.length).toBeGreaterThan(0)
    } finally {
      server.close()
    }
  })
})

describe('once the walk has left Legacy', () => {
  const status =
    (paused = false) =>
    async () => {
      await apply({ ...smallest(), paused }, 'walking')
      await plane.kubectl([
        'patch',
        'jkm',
        'walking',
        '--subresource=status',
        '--type=merge',
        '-p',
        '{"status":{"phase":"DualWrite"}}',
      ])
    }
  beforeAll(status())

  test('templates cannot change', async () => {
    const spec = { ...smallest(), keys: { legacy: 'ai:job:{job_id}', target: 'ai:other:{workspace_id}:{job_id}' } }
    expect(await refusal(spec, 'walking')).toMatch(/cannot change once the migration has left Legacy/)
  })
  test('canary.by cannot change', async () => {
    expect(await refusal({ ...smallest(), canary: { by: 'Workspace' } }, 'walking')).toMatch(/canary.by cannot change/)
  })
  test('the place of Redis can change only while paused', async () => {
    const sentinel = { masterName: 'm', addresses: ['s:1'], db: 0 }
    const places = [
      { address: 'redis://other:6379/0' },
      { sentinel },
      { sentinel: { ...sentinel, db: 1 } },
      { sentinel: { ...sentinel, masterName: 'other' } },
      { sentinel: { ...sentinel, addresses: ['s:2'] } },
    ]
    let before = smallest()
    for (const redis of places) {
      const moved = { ...before, redis }
      expect(await refusal(moved, 'walking')).toMatch(/only while paused/)
      for (const spec of [{ ...before, paused: true }, { ...moved, paused: true }, moved]) await apply(spec, 'walking')
      before = moved
    }
  })
})

test('the largest lists that the schema allows stay within the cost budget', async () => {
  const spec = {
    ...smallest(),
    app: { workloads: Array.from({ length: 20 }, (_, i) => ({ kind: 'Deployment', name: `w${i}` })) },
    slo: {
      disabled: true,
      checks: Array.from({ length: 50 }, (_, i) => ({ name: `c${i}`, query: 'x'.repeat(4096), max: 1 })),
    },
  }
  await expect(apply(spec, 'large')).resolves.toMatchObject({ spec: { slo: { disabled: true } } })
})
