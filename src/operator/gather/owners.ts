import type { WorkloadRef } from '../../api/schema.ts'
import { isNotFound } from '../../kube/errors.ts'
import { JOBS } from '../../kube/resources.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { OwnerReference, Pod, ResourceType } from '../../kube/types.ts'
import type { Clock } from '../../runtime/clock.ts'
import { REPLICA_SETS } from '../resources.ts'
import { controllerOf, type OwnerChain } from './pods.ts'

/** Kinds between a pod and its workload. */
const BETWEEN: Readonly<Record<string, { readonly type: ResourceType; readonly below: WorkloadRef['kind'] }>> = {
  ReplicaSet: { type: REPLICA_SETS, below: 'Deployment' },
  Job: { type: JOBS, below: 'CronJob' },
}
const MAX_REMEMBERED = 10_000
/** An owner never changes, but what has none may be adopted: it is asked for again after this, ms. */
const UNOWNED_FRESH_MS = 30_000

type Owner = Pick<OwnerReference, 'kind' | 'name'>

/** Finds the controllers above pods. */
export class Owners {
  readonly #client: Pick<KubeClient, 'get'>
  readonly #clock: Clock
  /** uid of a ReplicaSet or Job -> its controller, undefined when it has none; `at`: monotonic ms. */
  readonly #known = new Map<string, { readonly owner: Owner | undefined; readonly at: number }>()

  constructor(client: Pick<KubeClient, 'get'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /**
   * Controllers of the pod, nearest first; empty when nothing controls it. Only what may lie below one of `workloads` is asked
   * for. @throws KubeError
   */
  async above(pod: Pod, workloads: readonly WorkloadRef[], signal: AbortSignal): Promise<OwnerChain> {
    const first = controllerOf(pod.metadata.ownerReferences)
    if (first === undefined) return []
    const between = BETWEEN[first.kind]
    if (between === undefined || !workloads.some(({ kind }) => kind === between.below)) return [first]
    const second = await this.#ownerOf(between.type, pod, first, signal)
    return second === undefined ? [first] : [first, second]
  }

  async #ownerOf(
    type: ResourceType,
    pod: Pod,
    reference: OwnerReference,
    signal: AbortSignal,
  ): Promise<Owner | undefined> {
    const now = this.#clock.monotonic()
    const known = this.#known.get(reference.uid)
    if (known !== undefined && (known.owner !== undefined || now - known.at < UNOWNED_FRESH_MS)) return known.owner
    const namespace = pod.metadata.namespace ?? ''
    try {
      const object = await this.#client.get(type, { namespace, name: reference.name }, { signal })
      // A namesake made later has another owner, perhaps.
      if (object.metadata.uid !== reference.uid) return ownerByName(pod, reference)
      const { ownerReferences } = object.metadata
      // `kubectl create job --from=cronjob/x` names its CronJob without making it the controller.
      const owner = controllerOf(ownerReferences) ?? ownerReferences?.find(({ kind }) => kind === 'CronJob')
      this.#remember(reference.uid, owner, now)
      return owner
    } catch (error) {
      if (!isNotFound(error)) throw error
      return ownerByName(pod, reference)
    }
  }

  #remember(uid: string, owner: Owner | undefined, at: number): void {
    this.#known.set(uid, { owner, at })
    if (this.#known.size > MAX_REMEMBERED) this.#known.delete(this.#known.keys().next().value ?? '')
  }
}

/** A pod that is stuck outlives its ReplicaSet or Job, whose name still tells whose it was. */
function ownerByName(pod: Pod, { kind, name }: OwnerReference): Owner | undefined {
  if (kind === 'ReplicaSet') {
    const end = `-${pod.metadata.labels?.['pod-template-hash'] ?? ''}`
    return end.length > 1 && name.endsWith(end) ? { kind: 'Deployment', name: name.slice(0, -end.length) } : undefined
  }
  const scheduled = /^(.+)-\d{8,}$/.exec(name)?.[1]
  return scheduled === undefined ? undefined : { kind: 'CronJob', name: scheduled }
}
