import { configMapName, type JobKeyMigration } from '../../api/resource.ts'
import { jobName } from '../../decision/accounts.ts'
import type {
  JobObservation,
  Known,
  Observations,
  PodObservation,
  RedisObservation,
  WorkObservation,
} from '../../decision/types.ts'
import type { KubeClient } from '../../kube/client.ts'
import { KubeError } from '../../kube/errors.ts'
import { NAMESPACES, PODS } from '../../kube/resources.ts'
import type { KubeObject, Pod } from '../../kube/types.ts'
import { WORK_KINDS } from '../../protocol/work.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { NamespaceCaches } from '../namespace-cache.ts'
import type { Connection } from '../../redis/connection.ts'
import { usable, type RedisPool } from '../redis-pool.ts'
import type { WatchHealth } from '../watch-health.ts'
import type { Checks } from './checks.ts'
import { observeConfigMap } from './config-map.ts'
import { observeJobs } from './jobs.ts'
import type { Owners } from './owners.ts'
import { observePod } from './pods.ts'
import { explainTrouble, observeRedis, observeWork } from './redis.ts'
import type { Rivals } from './rivals.ts'
import type { Workloads } from './workloads.ts'
import type { WritersWatch } from './writers-watch.ts'

export interface GatherDeps {
  readonly client: KubeClient
  readonly clock: Clock
  readonly caches: NamespaceCaches
  readonly health: WatchHealth
  readonly pool: RedisPool
  readonly owners: Owners
  readonly rivals: Rivals
  readonly workloads: Workloads
  readonly checks: Checks
  readonly writers: WritersWatch
}

const CONNECT_LIMIT_MS = 6000
const SYNC_LIMIT_MS = 10_000
const NOT_LISTED = 'its watch has not answered'

/** Builds what the decision sees. Only reads. */
export class Gatherer {
  readonly #deps: GatherDeps
  #cluster: string | undefined

  constructor(deps: GatherDeps) {
    this.#deps = deps
  }

  /** `live`: pods are listed anew and writers looked for anew, as a forward step demands. @throws KubeError */
  async gather(resource: JobKeyMigration, live: boolean, signal: AbortSignal): Promise<Observations> {
    const { caches, checks, rivals, workloads } = this.#deps
    const { namespace } = resource.metadata
    const key = `${namespace}/${resource.metadata.name}`
    caches.use(key, configMapName(resource))
    await caches.synced(namespace, SYNC_LIMIT_MS)
    const jobs = this.#jobs(resource)
    const names = workNames(resource, jobs.known ? jobs.value : [])
    const [cluster, missingWorkloads, pods, fromRedis] = await Promise.all([
      this.#clusterUid(signal),
      workloads.missing(namespace, resource.spec.app.workloads, live, signal),
      this.#pods(resource, live, signal),
      this.#redis(key, resource, names, live),
    ])
    return {
      cluster,
      redis: fromRedis.redis,
      configMap: this.#configMap(resource),
      rivals: rivals.of(resource),
      pods,
      live: live && pods.known,
      missingWorkloads,
      jobs,
      work: fromRedis.work,
      ...checks.observe(resource),
    }
  }

  /** The resource is gone. */
  forget(key: string): void {
    this.#deps.writers.forget(key)
    this.#deps.caches.forget(key)
    this.#deps.pool.forget(key)
    this.#deps.checks.forget(key)
  }

  #jobs({ metadata }: JobKeyMigration): Observations['jobs'] {
    const { namespace, uid } = metadata
    const { caches, health, clock } = this.#deps
    const jobs = caches.jobs(namespace)
    const pods = caches.pods(namespace) ?? []
    if (jobs !== undefined) return { known: true, value: observeJobs(jobs, pods, uid, clock.now()) }
    return {
      known: false,
      reason: 'JobsUnknown',
      message: `Jobs of namespace ${namespace}: ${health.trouble(`jobs ${namespace}`) ?? NOT_LISTED}`,
    }
  }

  async #clusterUid(signal: AbortSignal): Promise<string> {
    this.#cluster ??= (
      await this.#deps.client.get<KubeObject>(NAMESPACES, { name: 'kube-system' }, { signal })
    ).metadata.uid
    return this.#cluster ?? ''
  }

  async #pods(
    resource: JobKeyMigration,
    live: boolean,
    signal: AbortSignal,
  ): Promise<Known<readonly PodObservation[]>> {
    const { namespace } = resource.metadata
    const { client, caches, owners, health } = this.#deps
    try {
      const pods = live ? (await client.list<Pod>(PODS, { namespace }, { signal })).items : caches.pods(namespace)
      if (pods === undefined) {
        const message = health.trouble(`pods ${namespace}`) ?? NOT_LISTED
        return { known: false, reason: 'PodsUnknown', message: `pods of namespace ${namespace}: ${message}` }
      }
      const observed: PodObservation[] = []
      for (const pod of pods) {
        const one = observePod(
          pod,
          await owners.above(pod, resource.spec.app.workloads, signal),
          resource.spec.app.workloads,
        )
        if (one !== undefined) observed.push(one)
      }
      return { known: true, value: observed }
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      return { known: false, reason: 'PodsUnknown', message: error.message }
    }
  }

  #configMap(resource: JobKeyMigration): Observations['configMap'] {
    const { namespace } = resource.metadata
    const name = configMapName(resource)
    const found = this.#deps.caches.configMap(namespace, name)
    if (found.known) return { known: true, value: observeConfigMap(found.value) }
    const message = this.#deps.health.trouble(`configmap ${namespace}/${name}`) ?? NOT_LISTED
    return { known: false, reason: 'ConfigMapUnknown', message: `ConfigMap ${name}: ${message}` }
  }

  async #redis(
    key: string,
    resource: JobKeyMigration,
    jobs: readonly string[],
    live: boolean,
  ): Promise<{ readonly redis: Known<RedisObservation>; readonly work: readonly WorkObservation[] }> {
    let connection: Connection | undefined
    try {
      const { pool, writers } = this.#deps
      connection = await pool.connectionFor(key, resource.metadata.namespace, resource.spec.redis)
      const up = connection
      await usable(up, CONNECT_LIMIT_MS)
      const { observers } = resource.spec.redis
      const value = await observeRedis(up, resource, (ask) => writers.look(key, up, live, observers, ask))
      return { redis: { known: true, value }, work: await observeWork(connection, resource, jobs) }
    } catch (error) {
      return { redis: await explainTrouble(error, connection, resource), work: [] }
    }
  }
}

/** Worker Jobs whose hash may say something: those there are, and each attempt in hand, whose Job may be gone unread. */
function workNames({ metadata, status }: JobKeyMigration, jobs: readonly JobObservation[]): readonly string[] {
  const inHand = WORK_KINDS.flatMap((kind) => {
    const account = status?.work?.[kind]
    return account === undefined ? [] : [jobName(metadata.name, kind, account.attempt)]
  })
  return [...new Set([...jobs.map(({ name }) => name), ...inHand])]
}
