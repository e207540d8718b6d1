import type { KubeClient } from '../../kube/client.ts'
import type { Known } from '../../decision/types.ts'
import { isNotFound, KubeError } from '../../kube/errors.ts'
import { CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, STATEFUL_SETS } from '../../kube/resources.ts'
import type { ResourceType } from '../../kube/types.ts'
import type { WorkloadRef } from '../../api/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import { workloadName } from './pods.ts'

const TYPES: Readonly<Record<WorkloadRef['kind'], ResourceType>> = {
  Deployment: DEPLOYMENTS,
  StatefulSet: STATEFUL_SETS,
  DaemonSet: DAEMON_SETS,
  CronJob: CRON_JOBS,
  Job: JOBS,
}

/** Workloads seldom come and go; between steps half a minute of delay is as good as a watch on five kinds. */
const FRESH_MS = 30_000

/** Tells which workloads of a spec do not exist. */
export class Workloads {
  readonly #client: Pick<KubeClient, 'get'>
  readonly #clock: Clock
  readonly #known = new Map<string, { readonly at: number; readonly exists: boolean }>()

  constructor(client: Pick<KubeClient, 'get'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /** Entries that do not exist, as `Kind/name`. `live`: ask whatever is known. */
  async missing(
    namespace: string,
    workloads: readonly WorkloadRef[],
    live: boolean,
    signal: AbortSignal,
  ): Promise<Known<readonly string[]>> {
    try {
      const exist = await Promise.all(workloads.map((workload) => this.#exists(namespace, workload, live, signal)))
      return { known: true, value: workloads.filter((_, i) => exist[i] === false).map(workloadName) }
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      return { known: false, reason: 'WorkloadsUnknown', message: error.message }
    }
  }

  async #exists(namespace: string, workload: WorkloadRef, live: boolean, signal: AbortSignal): Promise<boolean> {
    const key = `${namespace}/${workloadName(workload)}`
    const known = this.#known.get(key)
    const now = this.#clock.monotonic()
    // What does not exist is waited for: it is asked for each time.
    if (!live && known?.exists === true && now - known.at < FRESH_MS) return true
    const exists = await this.#client.get(TYPES[workload.kind], { namespace, name: workload.name }, { signal }).then(
      () => true,
      (error: unknown) => {
        if (isNotFound(error)) return false
        throw error
      },
    )
    this.#known.set(key, { at: now, exists })
    if (this.#known.size > 10_000) this.#known.clear()
    return exists
  }
}
