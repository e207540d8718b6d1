import { createHash } from 'node:crypto'
import type { WorkloadRef } from '../../api/schema.ts'
import type { PodObservation } from '../../decision/types.ts'
import type { Container, ContainerStatus, OwnerReference, Pod } from '../../kube/types.ts'
import { canonicalJson } from '../../protocol/document.ts'
import { podTrouble } from './pod-trouble.ts'

/** Controllers above a pod, nearest first, for example ReplicaSet then Deployment. */
export type OwnerChain = readonly Pick<OwnerReference, 'kind' | 'name'>[]

/** `Kind/name`, as observations name a workload. */
export function workloadName({ kind, name }: Pick<OwnerReference, 'kind' | 'name'>): string {
  return `${kind}/${name}`
}

/** The pod as the decision sees it, or undefined when none of `workloads` owns it. */
export function observePod(
  pod: Pod,
  owners: OwnerChain,
  workloads: readonly WorkloadRef[],
): PodObservation | undefined {
  const wanted = new Set(workloads.map(workloadName))
  const owner = owners.map(workloadName).find((name) => wanted.has(name))
  if (owner === undefined) return undefined
  const { startedAt, endedAt } = times(pod)
  const trouble = podTrouble(pod)
  return {
    name: pod.metadata.name ?? '',
    uid: pod.metadata.uid ?? '',
    workload: owner,
    template: templateOf(pod),
    image: (pod.spec?.containers ?? [])
      .map(({ image }) => image ?? '')
      .join(', ')
      .slice(0, 200),
    phase: pod.status?.phase ?? 'Pending',
    deleting: pod.metadata.deletionTimestamp !== undefined,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(trouble === undefined ? {} : { trouble: trouble.slice(0, 300) }),
  }
}

/** The controller of a pod, a ReplicaSet or a Job. */
export function controllerOf(references: readonly OwnerReference[] | undefined): OwnerReference | undefined {
  return references?.find(({ controller }) => controller === true)
}

function templateOf(pod: Pod): string {
  const labels = pod.metadata.labels ?? {}
  return labels['pod-template-hash'] ?? labels['controller-revision-hash'] ?? specHash(pod)
}

/** Pods of Jobs carry no hash of their template: what an author writes in a pod spec is hashed, not what admission adds. */
function specHash(pod: Pod): string {
  const own = (container: Container): Record<string, unknown> => ({
    name: container.name,
    image: container.image,
    command: container['command'],
    args: container['args'],
    env: container['env'],
    envFrom: container['envFrom'],
  })
  const spec = {
    containers: (pod.spec?.containers ?? []).map(own),
    initContainers: (pod.spec?.initContainers ?? []).map(own),
    serviceAccountName: pod.spec?.['serviceAccountName'],
  }
  return createHash('sha256').update(canonicalJson(spec), 'utf8').digest('hex').slice(0, 16)
}

function times(pod: Pod): { startedAt: number | undefined; endedAt: number | undefined } {
  const statuses = pod.status?.containerStatuses ?? []
  // After a second restart the first start is no longer told; the pod's own start is the nearest that is.
  const forgotten = statuses.some(({ restartCount }) => restartCount > 1) ? [pod.status?.startTime] : []
  const starts = numbers([...statuses.flatMap(startsOf), ...forgotten])
  const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
  const ends = ended ? numbers(statuses.map(({ state }) => state?.terminated?.finishedAt)) : []
  return {
    startedAt: starts.length === 0 ? undefined : Math.min(...starts),
    endedAt: ends.length === 0 ? undefined : Math.max(...ends),
  }
}

function startsOf(status: ContainerStatus): (string | undefined)[] {
  const { state, lastState } = status
  const terminated = [state?.terminated, lastState?.terminated] as ({ startedAt?: string } | undefined)[]
  return [state?.running?.startedAt, ...terminated.map((end) => end?.startedAt)]
}

function numbers(times: readonly (string | undefined)[]): number[] {
  return times.map((time) => Date.parse(time ?? '')).filter((time) => time > 0)
}
