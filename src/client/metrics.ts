import { Counter, Gauge, Histogram } from 'prom-client'
import { CLIENT_EPOCH, OTHER_WORKSPACES as OTHER } from '../protocol/metrics.ts'
import { MAX_ID_BYTES } from '../protocol/templates.ts'
import { InvalidArgument } from './errors.ts'
import type { MetricName, MetricsOptions } from './types.ts'

/** Values of the label `status` of ai_jobs_total. */
export const JOB_STATUSES = ['created', 'completed', 'failed', 'returned'] as const
export type JobStatus = (typeof JOB_STATUSES)[number]
export const SERVED = ['target', 'fallback', 'legacy', 'none'] as const
export type Served = (typeof SERVED)[number]

const MAX_WORKSPACES = 1000

/** What the client counts. Without a registry nothing is kept. */
export interface Metrics {
  /** Makes the series of a workspace, at 0. */
  workspace(id: string): void
  job(workspaceId: string, status: JobStatus): void
  latency(workspaceId: string, seconds: number): void
  decision(workspaceId: string, result: 'allow' | 'deny'): void
  created(migration: string, onTarget: boolean): void
  read(migration: string, served: Served): void
  /** A value served in epochs 0 and 1 although it names no usable workspace. */
  unscoped(migration: string): void
  staleEpoch(migration: string): void
  operation(migration: string, operation: string): void
  /** An operation whose job or workspace has an id that the templates cannot hold. */
  invalidId(migration: string, operation: string): void
  removed(migration: string, reason: 'gone' | 'malformed'): void
  routing(migration: string, epoch: number): void
  /** Whether the newest routing file is one that cannot be followed. */
  routingProblem(migration: string, on: boolean): void
}

/**
 * Registers the client's metrics in the app's registry. A metric of that name that is there already is used as it is.
 * `depth` is asked at each scrape for jobs waiting or in processing by workspace.
 */
export function makeMetrics(
  options: MetricsOptions | undefined,
  depth: () => Promise<ReadonlyMap<string, number>>,
): Metrics {
  const labels = new Labels()
  const make = makeIn(options)
  const jobs = make(
    'ai_jobs_total',
    (c) => new Counter({ ...c, labelNames: ['workspace_id', 'status'] }),
    'Jobs by what became of them',
  )
  const seconds = make(
    'ai_job_latency_seconds',
    (c) => new Histogram({ ...c, labelNames: ['workspace_id'], buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5] }),
    'Duration of an operation on a job, retries included',
  )
  const decisions = make(
    'security_decisions_total',
    (c) => new Counter({ ...c, labelNames: ['workspace_id', 'result'] }),
    'Operations allowed, and denied because the stored workspace is another one',
  )
  const ratio = make(
    'ai_jobs_dual_write_ratio',
    (c) => new Gauge({ ...c, labelNames: ['migration'] }),
    'Share of the jobs created since the current epoch began that are on the new schema',
  )
  const reads = make(
    'keyshift_client_reads_total',
    (c) => new Counter({ ...c, labelNames: ['migration', 'served'] }),
    'Reads by the schema that answered: target, fallback (legacy after a target miss), legacy, none',
  )
  const unscoped = make(
    'keyshift_client_unscoped_total',
    (c) => new Counter({ ...c, labelNames: ['migration'] }),
    'Values without a usable workspace that were served by job id, in epochs 0 and 1',
  )
  const stale = make(
    'keyshift_client_stale_epoch_total',
    (c) => new Counter({ ...c, labelNames: ['migration'] }),
    'Tries refused by the fence',
  )
  const operations = make(
    'keyshift_client_operations_total',
    (c) => new Counter({ ...c, labelNames: ['migration', 'operation'] }),
    'Tries of operations',
  )
  const invalidIds = make(
    'keyshift_client_invalid_ids_total',
    (c) => new Counter({ ...c, labelNames: ['migration', 'operation'] }),
    'Operations refused because their id cannot stand in a key',
  )
  const removed = make(
    'keyshift_client_queue_removed_total',
    (c) => new Counter({ ...c, labelNames: ['migration', 'reason'] }),
    'Queue entries removed because their job is gone or they are malformed',
  )
  const epochGauge = make(
    CLIENT_EPOCH,
    (c) => new Gauge({ ...c, labelNames: ['migration'] }),
    'Epoch of the routing in force, 0 while unmanaged',
  )
  const problemGauge = make(
    'keyshift_client_routing_problem',
    (c) => new Gauge({ ...c, labelNames: ['migration'] }),
    '1 while the newest routing file cannot be followed, so that an older one stays in force',
  )
  make(
    'ai_queue_depth',
    (c) =>
      new Gauge({
        ...c,
        labelNames: ['workspace_id'],
        async collect() {
          const sums = new Map<string, number>(labels.given().map((label) => [label, 0]))
          for (const [id, n] of await depth()) {
            const label = labels.of(id)
            sums.set(label, (sums.get(label) ?? 0) + n)
          }
          for (const [label, n] of sums) this.set({ workspace_id: label }, n)
        },
      }),
    'Jobs waiting or in processing',
  )

  let creates = { all: 0, onTarget: 0 }
  const workspace = (id: string): string => {
    const label = labels.of(id, (fresh) => {
      // At 0 before their first count: rate() sees no increase in a series that begins above 0.
      for (const status of JOB_STATUSES) jobs?.inc({ workspace_id: fresh, status }, 0)
      for (const result of ['allow', 'deny']) decisions?.inc({ workspace_id: fresh, result }, 0)
    })
    return label
  }
  return {
    workspace: (id) => void workspace(id),
    job: (id, status) => jobs?.inc({ workspace_id: workspace(id), status }),
    latency: (id, value) => seconds?.observe({ workspace_id: workspace(id) }, value),
    decision: (id, result) => decisions?.inc({ workspace_id: workspace(id), result }),
    created: (migration, onTarget) => {
      creates = { all: creates.all + 1, onTarget: creates.onTarget + (onTarget ? 1 : 0) }
      ratio?.set({ migration }, creates.onTarget / creates.all)
    },
    read: (migration, served) => reads?.inc({ migration, served }),
    unscoped: (migration) => unscoped?.inc({ migration }),
    staleEpoch: (migration) => stale?.inc({ migration }),
    operation: (migration, operation) => operations?.inc({ migration, operation }),
    invalidId: (migration, operation) => invalidIds?.inc({ migration, operation }),
    removed: (migration, reason) => removed?.inc({ migration, reason }),
    routing: (migration, epoch) => {
      creates = { all: 0, onTarget: 0 }
      for (const served of SERVED) reads?.inc({ migration, served }, 0)
      for (const reason of ['gone', 'malformed']) removed?.inc({ migration, reason }, 0)
      stale?.inc({ migration }, 0)
      // The one that loses a job.
      invalidIds?.inc({ migration, operation: 'create' }, 0)
      unscoped?.inc({ migration }, 0)
      ratio?.set({ migration }, 0)
      if (migration !== '') for (const gauge of [epochGauge, problemGauge]) gauge?.remove({ migration: '' })
      epochGauge?.set({ migration }, epoch)
      problemGauge?.set({ migration }, 0)
    },
    routingProblem: (migration, on) => problemGauge?.set({ migration }, on ? 1 : 0),
  }
}

// By what is used of a metric, as it may come from another copy of prom-client.
function alike(there: unknown, own: unknown): boolean {
  const [a, b] = [there, own].map((metric) => {
    const { inc, set, observe, labelNames = [] } = metric as Record<string, unknown> & { labelNames?: string[] }
    return [...[inc, set, observe].map((method) => typeof method), ...[...labelNames].sort()].join()
  })
  return a === b
}

// An empty label is none to Prometheus, a page cannot hold half a character, and on one of prom-client 14 a backslash before
// an n reads as the end of a line.
// One that no key of a target can hold may be of any length.
const isLabel = (id: unknown): boolean =>
  typeof id === 'string' && id !== '' && id.length <= MAX_ID_BYTES && id.isWellFormed() && !/\n|\\n/.test(id)

interface Config {
  readonly name: string
  readonly help: string
  readonly registers: never[]
}

function makeIn(options: MetricsOptions | undefined) {
  return <M>(name: MetricName, create: (config: Config) => M, help: string): M | undefined => {
    const renamed = options?.rename?.[name]
    if (options === undefined || renamed === false) return undefined
    const full = `${options.prefix ?? ''}${renamed ?? name}`
    const there = options.registry.getSingleMetric(full)
    if (there !== undefined) {
      // Told at once: a metric that throws would make a call fail whose write is done.
      if (!alike(there, create({ name: full, help, registers: [] })))
        throw new InvalidArgument(
          `the registry holds another metric named ${full}, of other labels or kind: give this one another name in metrics.rename`,
        )
      return there as M
    }
    return create({ name: full, help, registers: [options.registry as never] })
  }
}

/** Labels of workspaces: the first 1,000 keep one of their own for the life of the process, the rest share `other`. */
class Labels {
  readonly #given = new Set<string>()

  of(id: string, onFresh?: (label: string) => void): string {
    const own = id !== OTHER && isLabel(id) && (this.#given.has(id) || this.#given.size < MAX_WORKSPACES)
    const label = own ? id : OTHER
    if (!this.#known(label)) {
      if (own) this.#given.add(id)
      else this.#other = true
      this.#fresh.add(label)
    }
    if (onFresh !== undefined && this.#fresh.delete(label)) onFresh(label)
    return label
  }

  given(): string[] {
    return this.#other ? [...this.#given, OTHER] : [...this.#given]
  }

  #other = false
  // Given by the depth gauge, with no counters yet.
  readonly #fresh = new Set<string>()

  #known(label: string): boolean {
    return label === OTHER ? this.#other : this.#given.has(label)
  }
}
