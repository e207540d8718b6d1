import { isNotFound } from '../../kube/errors.ts'
import { JOBS } from '../../kube/resources.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { OwnerReference, Pod, ResourceType } from '../../kube/types.ts'
import { REPLICA_SETS } from '../resources.ts'
import { controllerOf, type OwnerChain } from './pods.ts'

/** Kinds between a pod and its workload; their own owner never changes, so that it is asked for once. */
const BETWEEN: Readonly<Record<string, ResourceType>> = { ReplicaSet: REPLICA_SETS, Job: JOBS }
const MAX_REMEMBERED = 10_000

/** Finds the controllers above pods. */
export class Owners {
  readonly #client: Pick<KubeClient, 'get'>
  /** uid of a ReplicaSet or Job -> its controller, undefined when it has none. */
  readonly #known = new Map<string, OwnerReference | undefined>()

  constructor(client: Pick<KubeClient, 'get'>) {
    this.#client = client
  }

  /** Controllers of the pod, nearest first; empty when nothing controls it. @throws KubeError */
  async above(pod: Pod, signal: AbortSignal): Promise<OwnerChain> {
    const first = controllerOf(pod.metadata.ownerReferences)
    if (first === undefined) return []
    const type = BETWEEN[first.kind]
    if (type === undefined) return [first]
    const second = await this.#controllerOf(type, pod.metadata.namespace ?? '', first, signal)
    return second === undefined ? [first] : [first, second]
  }

  async #controllerOf(
    type: ResourceType,
    namespace: string,
    reference: OwnerReference,
    signal: AbortSignal,
  ): Promise<Pick<OwnerReference, 'kind' | 'name'> | undefined> {
    if (this.#known.has(reference.uid)) return this.#known.get(reference.uid)
    try {
      const object = await this.#client.get(type, { namespace, name: reference.name }, { signal })
      const owner = controllerOf(object.metadata.ownerReferences)
      // A namesake made later has another owner, perhaps.
      if (object.metadata.uid === reference.uid) this.#remember(reference.uid, owner)
      return owner
    } catch (error) {
      if (!isNotFound(error)) throw error
      return undefined
    }
  }

  #remember(uid: string, owner: OwnerReference | undefined): void {
    this.#known.set(uid, owner)
    if (this.#known.size > MAX_REMEMBERED) this.#known.delete(this.#known.keys().next().value ?? '')
  }
}
