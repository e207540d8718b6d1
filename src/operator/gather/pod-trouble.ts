import type { ContainerStatus, Pod } from '../../kube/types.ts'

/**
 * Why a pod may not get to work, or does not go away, and what to do, in words that stay the same from one restart to the next;
 * undefined where nothing is wrong with it.
 */
export function podTrouble(pod: Pod): string | undefined {
  const { metadata, status } = pod
  if (metadata.deletionTimestamp !== undefined) return deletionTrouble(pod)
  if (status?.phase === 'Unknown' || status?.reason === 'NodeLost') return NODE_LOST
  const unscheduled = status?.conditions?.find((one) => one.type === 'PodScheduled' && one.status === 'False')
  if (unscheduled !== undefined)
    return `not scheduled: ${unscheduled.message ?? unscheduled.reason ?? 'no reason given'}`
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  return containers.map(containerTrouble).find((trouble) => trouble !== undefined)
}

const NODE_LOST = 'its node is lost: if it does not come back, delete the node'

function deletionTrouble({ metadata }: Pod): string {
  const { finalizers = [] } = metadata
  if (finalizers.length > 0)
    return `being deleted, held by finalizer ${finalizers.join(', ')}: see to what that waits for`
  return 'being deleted: if it stays, its node is lost; delete the node, or the pod with --force'
}

const PULLING = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'RegistryUnavailable',
])
const HARMLESS = new Set(['ContainerCreating', 'PodInitializing', 'CrashLoopBackOff'])

function containerTrouble({ name, state, lastState }: ContainerStatus): string | undefined {
  const { reason, message } = state?.waiting ?? {}
  if (reason !== undefined && PULLING.has(reason))
    return `the image of container ${name} cannot be pulled: correct the image or its pull secret, or take the release back`
  if (reason !== undefined && !HARMLESS.has(reason))
    return `container ${name} cannot start: ${reason}${message === undefined ? '' : `: ${message}`}`
  const ended = lastState?.terminated
  if (ended === undefined) return undefined
  const why = ended.reason === undefined ? '' : `, ${ended.reason}`
  return `container ${name} keeps ending (exit code ${ended.exitCode}${why}): see its logs`
}
