import { z } from 'zod'
import { PHASES } from '../protocol/phases.ts'

/**
 * The resource, in one place: the CRD (`crds/`), the TypeScript types, the defaults and the reference pages are all
 * made from these schemas. `description` is what `kubectl explain` prints; `cel` holds rules that the API server
 * enforces, each with a message that says what to do.
 */
export interface CelRule {
  readonly rule: string
  readonly message: string
}

interface FieldMeta {
  description?: string
  cel?: readonly CelRule[]
}

/** Attaches a description and CEL rules to a schema. */
function doc<T extends z.ZodType>(schema: T, description: string, ...cel: CelRule[]): T {
  const meta: FieldMeta = cel.length > 0 ? { description, cel } : { description }
  return schema.meta(meta as Record<string, unknown>)
}

const DURATION = /^([0-9]{1,7}(\.[0-9]{1,3})?(ms|s|m|h))+$/
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const duration = (description: string) =>
  doc(z.string().max(32).regex(DURATION), `${description} A duration such as 30s, 5m or 48h.`)
const percent = (description: string) => doc(z.int().min(0).max(100), description)
const objectName = (description: string) => doc(z.string().min(1).max(253).regex(NAME), description)

const Step = z.object({
  percent: doc(z.int().min(1).max(100), 'Share in percent at this step.'),
  soak: duration('How long the step must stay healthy before the next one.'),
})

const Steps = (what: string) =>
  doc(
    z.array(Step).min(1).max(20),
    `Steps of the ramp, as shares of ${what}, rising. A last step of 100 is implied and takes the soak of the last one listed.`,
    {
      rule: 'self.all(i, self.filter(j, j.percent == i.percent).size() == 1)',
      message: 'two steps have the same percent: remove one',
    },
    {
      rule: 'self.map(i, i.percent).isSorted()',
      message: 'steps must rise: put the smaller percent first',
    },
  )

export const DEFAULT_STEPS = {
  dualWrite: [
    { percent: 10, soak: '48h' },
    { percent: 50, soak: '4h' },
    { percent: 100, soak: '4h' },
  ],
  readRouting: [{ percent: 50, soak: '24h' }],
}

const Keys = z.object({
  legacy: doc(
    z.string().min(1).max(256),
    'Template of the keys as they are, with {job_id} once, for example ai:job:{job_id}.',
    {
      rule: "self.contains('{job_id}')",
      message: 'keys.legacy must contain {job_id}, for example ai:job:{job_id}',
    },
  ),
  target: doc(
    z.string().min(1).max(256),
    'Template of the keys as they shall be, with {job_id} and one other placeholder, for example ai:job:{workspace_id}:{job_id}.',
    {
      rule: "self.contains('{job_id}') && self.matches('\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}.*\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}')",
      message:
        'keys.target must contain {job_id} and one other placeholder, for example ai:job:{workspace_id}:{job_id}',
    },
  ),
  workspaceField: doc(
    z.string().min(1).max(128).optional(),
    'Hash field, or top-level JSON field of a string value, that holds the workspace. Default: the placeholder that only the target has.',
  ),
  onMalformed: doc(
    z.enum(['Block', 'Quarantine']).default('Block'),
    'What to do with jobs whose workspace cannot be told: Block holds in phase Legacy and lists them; Quarantine leaves them in Redis, out of reach of clients from DualWrite on, and never deletes them.',
  ),
  ignore: doc(
    z.array(z.string().min(1).max(512)).max(100).default([]),
    'Keys, or patterns with *, that look like jobs and are none, for example ai:job:*:progress.',
  ),
  allowEmpty: doc(
    z.boolean().default(false),
    'Go on although there is not one legacy key. Without it an empty keyspace is taken for a wrong address or template.',
  ),
  idWindow: duration(
    'For how long no client may have seen an id that the target schema cannot hold, before phase Legacy is left.',
  ).default('1h'),
  queues: doc(
    z
      .array(z.object({ key: doc(z.string().min(1).max(256), 'Key of the list.') }))
      .max(20)
      .default([]),
    'Lists that hold job ids for consumers.',
  ),
})

const Sentinel = z.object({
  masterName: doc(
    z
      .string()
      .min(1)
      .max(128)
      .regex(/^[A-Za-z0-9._-]+$/),
    'Name under which the Sentinels watch the primary, for example mymaster.',
  ),
  addresses: doc(
    z
      .array(
        z
          .string()
          .min(1)
          .max(262)
          .regex(/^(\[[0-9A-Fa-f:.]+\]|[^/:@?#,\s[\]]+)(:[0-9]{1,5})?$/),
      )
      .min(1)
      .max(10),
    'host:port of the Sentinels, better all of them than one. Without a port it is 26379. A host without a dot is a Service in the namespace of the resource.',
  ),
  db: doc(z.int().min(0).max(99_999), 'The db of Redis that holds the jobs.'),
  credentialsSecretRef: doc(
    z.object({ name: objectName('Name of the Secret, in the namespace of the resource.') }).optional(),
    'Secret with the key password, and username where there is one, of the Sentinels themselves. Those of Redis stand in redis.credentialsSecretRef.',
  ),
})

const Tls = z.object({
  caSecretRef: doc(
    z
      .object({
        name: objectName('Name of the Secret, in the namespace of the resource.'),
        key: doc(z.string().min(1).max(253).default('ca.crt'), 'Key in the Secret.'),
      })
      .optional(),
    'Secret key that holds the CA to trust, in PEM. Without it those that Node trusts. Read again when it changes.',
  ),
  clientCertSecretRef: doc(
    z.object({ name: objectName('Name of the Secret, in the namespace of the resource.') }).optional(),
    'Secret of type kubernetes.io/tls with the certificate to show, where Redis asks for one (tls-auth-clients).',
  ),
  serverName: doc(
    z.string().min(1).max(253).optional(),
    'Name that the certificates of the servers hold, where it is not the host they are reached by.',
  ),
})

const Redis = z.object({
  address: doc(
    z
      .string()
      .min(1)
      .max(512)
      .regex(/^rediss?:\/\/[^@/]+\/[0-9]+$/)
      .optional(),
    'redis://host:port/db of the primary, the db always written; rediss:// means the same as tls: {}. A host without a dot is a Service in the namespace of the resource. Credentials never stand here: see credentialsSecretRef.',
  ),
  sentinel: doc(
    Sentinel.optional(),
    'In place of address: the Sentinels that say where the primary is. They are asked at every connect, and while connected.',
  ),
  tls: doc(Tls.optional(), 'Speak TLS with Redis, and with its Sentinels.'),
  credentialsSecretRef: doc(
    z.object({ name: objectName('Name of the Secret, in the namespace of the resource.') }).optional(),
    'Secret with the keys password and, for an ACL user, username.',
  ),
  observers: doc(
    z.array(z.string().min(1).max(128)).max(50).default([]),
    'ACL users or client names that are known not to write jobs, such as an exporter. "*" vouches for every connection, also where Redis does not list them.',
  ),
  assume: doc(
    z
      .object({
        maxmemory: doc(z.int().min(1).optional(), 'Bytes that Redis may use.'),
        maxmemoryPolicy: doc(z.string().min(1).max(64).optional(), 'Eviction policy.'),
      })
      .default({}),
    'Facts that a managed Redis does not tell; used only where the server refuses to say.',
  ),
})

const Workload = z.object({
  kind: doc(z.enum(['Deployment', 'StatefulSet', 'DaemonSet', 'CronJob', 'Job']), 'Kind of the workload.'),
  name: objectName('Name of the workload.'),
})

const App = z.object({
  configMapName: doc(
    z.string().max(253).regex(NAME).optional(),
    'ConfigMap that the application mounts as a directory. Made if it is absent. Default: <name>-routing.',
  ),
  workloads: doc(
    z.array(Workload).min(1).max(20),
    'Every workload that reads or writes the jobs. No step is taken while a pod of one of them is not accounted for.',
  ),
  joinTimeout: duration('How long a new pod may take until its client registers.').default('2m'),
})

const Phases = z.object({
  dualWrite: doc(
    z.object({ steps: Steps('new jobs').default(DEFAULT_STEPS.dualWrite) }).default({ steps: DEFAULT_STEPS.dualWrite }),
    'Phase DualWrite.',
  ),
  readRouting: doc(
    z
      .object({ steps: Steps('reads').default(DEFAULT_STEPS.readRouting) })
      .default({ steps: DEFAULT_STEPS.readRouting }),
    'Phase ReadRouting.',
  ),
  backfillVerify: doc(
    z
      .object({ soak: duration('How long the phase must stay healthy, with no fallback read.').default('720h') })
      .default({ soak: '720h' }),
    'Phase BackfillVerify.',
  ),
})

const Check = z.object({
  name: objectName('Name of the check, unique in the list.'),
  query: doc(
    z.string().min(1).max(4096),
    'PromQL. Its answer is a scalar or a vector; in a vector the worst element decides. An element with workspace_id="other", which stands for many workspaces, passes at 0 alone. See docs/checks.md.',
  ),
  max: doc(z.number().optional(), 'The check passes while the value is at most this.'),
  min: doc(z.number().optional(), 'The check passes while the value is at least this.'),
  interval: duration('Time between two measurements.').default('30s'),
  failureLimit: doc(
    z.int().min(0).max(1000).default(3),
    'Failed measurements allowed in one step; one more fails the step.',
  ),
  onNoData: doc(
    z.enum(['Inconclusive', 'Pass', 'Fail']).default('Inconclusive'),
    'What an answer without a usable value means. Inconclusive holds, with one exception: from BackfillVerify on an empty vector passes as a quiet hour while Prometheus has keyshift_client_epoch of this migration, now and 5 minutes before.',
  ),
})

const Slo = z.object({
  disabled: doc(z.boolean().default(false), 'Run without Prometheus. Steps then wait for their soak alone.'),
  prometheus: doc(
    z
      .object({
        address: doc(
          z
            .string()
            .min(1)
            .max(512)
            .regex(/^https?:\/\/[^@]+$/),
          'Base URL, for example http://prometheus.monitoring.svc:9090.',
        ),
        bearerTokenSecretRef: doc(
          z
            .object({
              name: objectName('Name of the Secret.'),
              key: doc(z.string().min(1).max(253), 'Key in the Secret.'),
            })
            .optional(),
          'Secret key that holds a bearer token.',
        ),
      })
      .optional(),
    'Where the checks are asked.',
  ),
  checks: doc(
    z.array(Check).min(1).max(50).optional(),
    'Checks that must hold while a step soaks. Default: the presets error-rate, isolation and stale-epoch over the metrics of the Keyshift client.',
    { rule: 'self.all(c, has(c.max) || has(c.min))', message: 'each check needs max or min' },
    { rule: 'self.all(c, self.filter(d, d.name == c.name).size() == 1)', message: 'two checks have the same name' },
  ),
  onFailure: doc(
    z.enum(['Rollback', 'Pause']).default('Rollback'),
    'What a failed check does: walk back to the last safe phase, or hold where it is.',
  ),
})

const Worker = z.object({
  maxKeysPerSecond: doc(
    z.int().min(1).max(10_000_000).default(20_000),
    'Upper bound on the keys that a worker looks at in a second.',
  ),
  maxRedisLatency: duration('Batches shrink while one takes Redis longer than this.').default('5ms'),
  resources: doc(
    z
      .object({
        limits: doc(z.record(z.string(), z.string()).optional(), 'As in a container.'),
        requests: doc(z.record(z.string(), z.string()).optional(), 'As in a container.'),
      })
      .default({}),
    'Resources of the worker container.',
  ),
})

export const SpecSchema = doc(
  z.object({
    targetPhase: doc(z.enum(PHASES), 'The phase to walk to, one routing state at a time, forward or back.'),
    canaryPercentage: percent(
      'Cap of the ramp of the target phase: share of new jobs in DualWrite, of reads in ReadRouting. Ignored elsewhere.',
    ).default(100),
    paused: doc(z.boolean().default(false), 'Take no step in either direction. Checks still run.'),
    canary: doc(
      z
        .object({
          by: doc(
            z.enum(['Job', 'Workspace']).default('Job'),
            'What falls into the canary as a whole: a job, or all jobs of a workspace.',
          ),
        })
        .default({ by: 'Job' }),
      'How the canary is drawn.',
    ),
    keys: doc(Keys, 'The two key schemas.', {
      rule: 'self.legacy != self.target',
      message: 'keys.legacy and keys.target are equal: there is nothing to migrate',
    }),
    redis: doc(Redis, 'The Redis that holds the jobs.', {
      rule: 'has(self.address) != has(self.sentinel)',
      message: 'give either redis.address, or redis.sentinel where Sentinels say which server is the primary',
    }),
    app: doc(App, 'The application that owns the jobs.'),
    phases: doc(Phases.prefault({}), 'Steps and soaks of the phases.'),
    slo: doc(Slo, 'Service level objectives that a step must hold.', {
      rule: '(has(self.disabled) && self.disabled) || has(self.prometheus)',
      message: 'give slo.prometheus.address, or write slo: { disabled: true } to go without checks',
    }),
    worker: doc(Worker.prefault({}), 'Limits of the worker Jobs.'),
  }),
  'What the migration shall be.',
)

export type Spec = z.output<typeof SpecSchema>
export type SpecInput = z.input<typeof SpecSchema>
export type CheckSpec = z.output<typeof Check>
export type WorkloadRef = z.output<typeof Workload>

const SAME_REDIS =
  '((has(self.spec.redis.address) ? self.spec.redis.address : "") == (has(oldSelf.spec.redis.address) ? oldSelf.spec.redis.address : "") && has(self.spec.redis.sentinel) == has(oldSelf.spec.redis.sentinel) && (!has(self.spec.redis.sentinel) || (self.spec.redis.sentinel.masterName == oldSelf.spec.redis.sentinel.masterName && self.spec.redis.sentinel.db == oldSelf.spec.redis.sentinel.db && self.spec.redis.sentinel.addresses == oldSelf.spec.redis.sentinel.addresses)))'

/** Rules that look at spec and status together. */
export const RESOURCE_RULES: readonly CelRule[] = [
  {
    rule: "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Legacy' || (self.spec.keys.legacy == oldSelf.spec.keys.legacy && self.spec.keys.target == oldSelf.spec.keys.target && (has(self.spec.keys.workspaceField) ? self.spec.keys.workspaceField : '') == (has(oldSelf.spec.keys.workspaceField) ? oldSelf.spec.keys.workspaceField : ''))",
    message:
      'keys.legacy, keys.target and keys.workspaceField cannot change once the migration has left Legacy: set targetPhase to Legacy and wait for it first',
  },
  {
    rule: "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Legacy' || self.spec.canary.by == oldSelf.spec.canary.by",
    message:
      'canary.by cannot change once the migration has left Legacy: set targetPhase to Legacy and wait for it first',
  },
  {
    rule: `!has(oldSelf.status) || !has(oldSelf.status.phase) || ${SAME_REDIS} || (oldSelf.spec.paused && self.spec.paused)`,
    message: 'redis.address and redis.sentinel can change only while paused: set paused: true first',
  },
  {
    rule: 'self.metadata.name.size() <= 40',
    message: 'the name may have at most 40 characters, because names of Jobs are made from it',
  },
]
