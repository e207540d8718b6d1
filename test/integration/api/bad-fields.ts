type Json = Record<string, unknown>

const LONG = 'x'.repeat(5000)
const many = (value: unknown, n = 101): unknown[] => Array.from({ length: n }, () => value)

const text = /should be at least 1 chars long/
const tooLong = (max: number) => new RegExp(`may not be more than ${max} (bytes|characters)`, 'i')
const choice = (...values: string[]) => new RegExp(`supported values: ${values.map((v) => `"${v}"`).join(', ')}`)
const from = (min: number) => new RegExp(`should be greater than or equal to ${min}`)
const upTo = (max: number) => new RegExp(`should be less than or equal to ${max}`)
const type = (name: string) => new RegExp(`must be of type ${name}`)
const atMost = (n: number) => new RegExp(`must have at most ${n} items`)
const atLeast = (n: number) => new RegExp(`should have at least ${n} items`)
const pattern = /should match '/
const required = /Required value/
const duration: readonly Bad[] = [
  ['30 days', pattern],
  ['-5m', pattern],
  ['', pattern],
  ['1h'.repeat(20), tooLong(32)],
  [30, type('string')],
]
const name: readonly Bad[] = [
  ['Not_a_Name', pattern],
  ['a/b', pattern],
  ['', text],
  ['a\n', pattern],
]
const secret: readonly Bad[] = [[{}, required]]
const yesNo: readonly Bad[] = [['yes', type('boolean')]]
const steps: readonly Bad[] = [
  [[], atLeast(1)],
  [many({ percent: 1, soak: '1h' }, 21), atMost(20)],
  [[10, 50], type('object')],
  [
    [
      { percent: 50, soak: '1h' },
      { percent: 10, soak: '1h' },
    ],
    /steps must rise: put the smaller percent first/,
  ],
  [
    [
      { percent: 10, soak: '1h' },
      { percent: 10, soak: '2h' },
    ],
    /two steps have the same percent: remove one/,
  ],
]
const percent: readonly Bad[] = [
  [0, from(1)],
  [101, upTo(100)],
  [10.5, type('integer')],
]

/** A value that is refused, and what the API server says to it. */
export type Bad = readonly [value: unknown, says: RegExp]

/** For each field of the spec what it must not be. A field that is not here fails the test: say what it refuses. */
export const BAD_FIELDS: Readonly<Record<string, readonly Bad[]>> = {
  spec: [[{}, required]],
  'spec.targetPhase': [
    ['Sideways', choice('Legacy', 'DualWrite', 'ReadRouting', 'BackfillVerify')],
    [1, type('string')],
  ],
  'spec.canaryPercentage': [
    [-1, from(0)],
    [101, upTo(100)],
    [10.5, type('integer')],
    ['10', type('integer')],
  ],
  'spec.paused': yesNo,
  'spec.canary': [['Job', type('object')]],
  'spec.canary.by': [['User', choice('Job', 'Workspace')]],
  'spec.keys': [
    [{ legacy: 'ai:job:{job_id}' }, required],
    [{ legacy: 'a:{job_id}{ws}', target: 'a:{job_id}{ws}' }, /are equal: there is nothing to migrate/],
  ],
  'spec.keys.legacy': [
    ['ai:job', /keys.legacy must contain \{job_id\}, for example ai:job:\{job_id\}/],
    [LONG, tooLong(256)],
    ['', text],
  ],
  'spec.keys.target': [
    ['ai:{job_id}', /keys.target must contain \{job_id\} and one other placeholder, for example/],
    [LONG, tooLong(256)],
    ['', text],
  ],
  'spec.keys.workspaceField': [
    ['', text],
    [LONG, tooLong(128)],
    [7, type('string')],
  ],
  'spec.keys.onMalformed': [['Guess', choice('Block', 'Quarantine')]],
  'spec.keys.ignore': [
    ['ai:*', type('array')],
    [many('x'), atMost(100)],
  ],
  'spec.keys.ignore[]': [
    ['', text],
    [LONG, tooLong(512)],
  ],
  'spec.keys.allowEmpty': yesNo,
  'spec.keys.idWindow': duration,
  'spec.keys.queues': [[many({ key: 'q' }, 21), atMost(20)]],
  'spec.keys.queues[]': [
    ['ai:queue', type('object')],
    [{}, required],
  ],
  'spec.keys.queues[].key': [
    ['', text],
    [LONG, tooLong(256)],
  ],
  'spec.redis': [[{}, /give either redis.address, or redis.sentinel where Sentinels say which server is the primary/]],
  'spec.redis.address': [
    ['redis://:password@redis:6379/0', pattern],
    ['redis://redis:6379', pattern],
    ['redis:6379/0', pattern],
    ['http://redis:6379/0', pattern],
    ['', text],
  ],
  'spec.redis.sentinel': [[{ masterName: 'm', addresses: ['s'] }, required]],
  'spec.redis.sentinel.masterName': [
    ['a b', pattern],
    ['', text],
    [LONG, tooLong(128)],
  ],
  'spec.redis.sentinel.addresses': [
    [[], atLeast(1)],
    [many('s', 11), atMost(10)],
  ],
  'spec.redis.sentinel.addresses[]': [
    ['redis://s:26379', pattern],
    ['user@s', pattern],
    ['s:port', pattern],
    ['', text],
  ],
  'spec.redis.sentinel.db': [
    [-1, from(0)],
    [100_000, upTo(99_999)],
    ['0', type('integer')],
  ],
  'spec.redis.sentinel.credentialsSecretRef': secret,
  'spec.redis.sentinel.credentialsSecretRef.name': name,
  'spec.redis.tls': [[true, type('object')]],
  'spec.redis.tls.caSecretRef': secret,
  'spec.redis.tls.caSecretRef.name': name,
  'spec.redis.tls.caSecretRef.key': [
    ['', text],
    [LONG, tooLong(253)],
  ],
  'spec.redis.tls.clientCertSecretRef': secret,
  'spec.redis.tls.clientCertSecretRef.name': name,
  'spec.redis.tls.serverName': [
    ['', text],
    [LONG, tooLong(253)],
  ],
  'spec.redis.credentialsSecretRef': secret,
  'spec.redis.credentialsSecretRef.name': name,
  'spec.redis.observers': [[many('x', 51), atMost(50)]],
  'spec.redis.observers[]': [
    ['', text],
    [LONG, tooLong(128)],
  ],
  'spec.redis.assume': [['noeviction', type('object')]],
  'spec.redis.assume.maxmemory': [
    ['1gb', type('integer')],
    [0, from(1)],
  ],
  'spec.redis.assume.maxmemoryPolicy': [
    ['', text],
    [LONG, tooLong(64)],
  ],
  'spec.app': [[{}, required]],
  'spec.app.configMapName': [
    ['Not_a_Name', pattern],
    ['', pattern],
    [LONG, tooLong(253)],
  ],
  'spec.app.workloads': [
    [[], atLeast(1)],
    [many({ kind: 'Job', name: 'x' }, 21), atMost(20)],
  ],
  'spec.app.workloads[]': [
    ['api', type('object')],
    [{ name: 'api' }, required],
  ],
  'spec.app.workloads[].kind': [['Pod', choice('Deployment', 'StatefulSet', 'DaemonSet', 'CronJob', 'Job')]],
  'spec.app.workloads[].name': name,
  'spec.app.joinTimeout': duration,
  'spec.phases': [[[], type('object')]],
  'spec.phases.dualWrite': [[[], type('object')]],
  'spec.phases.dualWrite.steps': steps,
  'spec.phases.dualWrite.steps[]': [[{ percent: 10 }, required]],
  'spec.phases.dualWrite.steps[].percent': percent,
  'spec.phases.dualWrite.steps[].soak': duration,
  'spec.phases.readRouting': [[[], type('object')]],
  'spec.phases.readRouting.steps': steps,
  'spec.phases.readRouting.steps[]': [[{ soak: '1h' }, required]],
  'spec.phases.readRouting.steps[].percent': percent,
  'spec.phases.readRouting.steps[].soak': duration,
  'spec.phases.backfillVerify': [['720h', type('object')]],
  'spec.phases.backfillVerify.soak': duration,
  'spec.slo': [[{}, /give slo.prometheus.address, or write slo: \{ disabled: true \} to go without checks/]],
  'spec.slo.disabled': yesNo,
  'spec.slo.prometheus': [[{}, required]],
  'spec.slo.prometheus.address': [
    ['prometheus:9090', pattern],
    ['http://user:password@prometheus:9090', pattern],
    ['', text],
  ],
  'spec.slo.prometheus.bearerTokenSecretRef': secret,
  'spec.slo.prometheus.bearerTokenSecretRef.name': name,
  'spec.slo.prometheus.bearerTokenSecretRef.key': [
    ['', text],
    [LONG, tooLong(253)],
  ],
  'spec.slo.checks': [
    [[], atLeast(1)],
    [many({ name: 'x', query: 'up', max: 1 }, 51), atMost(50)],
    [[{ name: 'x', query: 'up' }], /each check needs max or min/],
    [many({ name: 'x', query: 'up', max: 1 }, 2), /two checks have the same name/],
  ],
  'spec.slo.checks[]': [
    ['up', type('object')],
    [{ name: 'x', max: 1 }, required],
  ],
  'spec.slo.checks[].name': name,
  'spec.slo.checks[].query': [
    ['', text],
    [LONG, tooLong(4096)],
  ],
  'spec.slo.checks[].max': [['1%', type('number')]],
  'spec.slo.checks[].min': [['1%', type('number')]],
  'spec.slo.checks[].interval': duration,
  'spec.slo.checks[].failureLimit': [
    [-1, from(0)],
    [1001, upTo(1000)],
    [1.5, type('integer')],
  ],
  'spec.slo.checks[].onNoData': [['Ignore', choice('Inconclusive', 'Pass', 'Fail')]],
  'spec.slo.onFailure': [['Retry', choice('Rollback', 'Pause')]],
  'spec.worker': [[1, type('object')]],
  'spec.worker.maxKeysPerSecond': [
    [0, from(1)],
    [10_000_001, upTo(10_000_000)],
    ['fast', type('integer')],
  ],
  'spec.worker.maxRedisLatency': duration,
  'spec.worker.resources': [['large', type('object')]],
  'spec.worker.resources.limits': [
    [{ cpu: 1 }, type('string')],
    [{ cpu: LONG }, tooLong(253)],
  ],
  'spec.worker.resources.requests': [
    [{ cpu: 1 }, type('string')],
    [{ cpu: LONG }, tooLong(253)],
  ],
}

/** A spec in which every field is given. */
const WHOLE = {
  targetPhase: 'DualWrite',
  canary: { by: 'Job' },
  keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', ignore: ['x'], queues: [{ key: 'q' }] },
  redis: {
    address: 'redis://redis:6379/0',
    tls: { caSecretRef: { name: 'ca' }, clientCertSecretRef: { name: 'cert' } },
    credentialsSecretRef: { name: 'auth' },
    observers: ['exporter'],
    assume: {},
  },
  app: { workloads: [{ kind: 'Deployment', name: 'ai-api' }] },
  phases: {
    dualWrite: { steps: [{ percent: 10, soak: '1h' }] },
    readRouting: { steps: [{ percent: 50, soak: '1h' }] },
    backfillVerify: { soak: '1h' },
  },
  slo: {
    prometheus: { address: 'http://prometheus:9090', bearerTokenSecretRef: { name: 'token', key: 'token' } },
    checks: [{ name: 'x', query: 'up', max: 1 }],
  },
  worker: { resources: {} },
}
const SENTINEL = { masterName: 'm', addresses: ['s:26379'], db: 0, credentialsSecretRef: { name: 'auth' } }

/** A good spec but for the value at `path`, such as `spec.keys.queues[].key`. */
export function specWith(path: string, value: unknown): unknown {
  const resource: Json = { spec: structuredClone(WHOLE) }
  if (path.startsWith('spec.redis.sentinel'))
    (resource['spec'] as Json)['redis'] = { sentinel: structuredClone(SENTINEL) }
  const steps = path.replaceAll('[]', '.0').split('.')
  const last = steps.pop() ?? ''
  const parent = steps.reduce<Json>((at, step) => at[step] as Json, resource)
  parent[last] = value
  return resource['spec']
}

/** Path of each field in a schema of the CRD. */
export function pathsOf(schema: Json, path = 'spec'): string[] {
  const fields = Object.entries((schema['properties'] ?? {}) as Record<string, Json>)
  const items = schema['items'] as Json | undefined
  return [
    path,
    ...fields.flatMap(([field, child]) => pathsOf(child, `${path}.${field}`)),
    ...(items === undefined ? [] : pathsOf(items, `${path}[]`)),
  ]
}
