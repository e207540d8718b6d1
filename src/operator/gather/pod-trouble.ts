import type { ContainerStatus, Pod } from '../../kube/types.ts'

/**
 * Why a pod may not get to work, or does not go away, and what to do, in words that stay the same from one restart to the next;
 * undefined where nothing is wrong with it.
 */
export function podTrouble(pod: Pod): string | undefined {
  const { metadata, status } = pod
  const told = (type: string, is: string) => status?.conditions?.find((one) => one.type === type && one.status === is)
  // Evicted, a node that is gone, a deadline: the pod's own words come before those of its containers.
  if (status?.phase === 'Failed' && (status.reason ?? '') !== '') return `failed: ${inWords(status)}`
  // What to do about one that does not go comes before why it goes.
  if (metadata.deletionTimestamp !== undefined) return deletionTrouble(pod)
  const disrupted = told('DisruptionTarget', 'True')
  if (disrupted !== undefined) return `being taken away: ${inWords(disrupted)}`
  if (status?.phase === 'Unknown' || status?.reason === 'NodeLost') return NODE_LOST
  const unscheduled = told('PodScheduled', 'False')
  if (unscheduled !== undefined)
    return `not scheduled: ${unscheduled.message ?? unscheduled.reason ?? 'no reason given'}`
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  return containers.map(containerTrouble).find((trouble) => trouble !== undefined)
}

/** `Reason: message`, as far as either is told. */
export function inWords({
  reason,
  message,
}: {
  readonly reason?: string | undefined
  readonly message?: string | undefined
}): string {
  return [reason, message].filter(Boolean).join(': ')
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

function containerTrouble({ name, restartCount, state, lastState }: ContainerStatus): string | undefined {
  const { reason, message } = state?.waiting ?? {}
  if (reason !== undefined && PULLING.has(reason))
    return `the image of container ${name} cannot be pulled: correct the image or its pull secret, or take the release back`
  if (reason !== undefined && !HARMLESS.has(reason))
    return `container ${name} cannot start: ${inWords({ reason, message })}`
  const last = lastState?.terminated
  const ended = state?.terminated ?? last
  if (ended === undefined || (last === undefined && ended.exitCode === 0)) return undefined
  const how = `exit code ${ended.exitCode}${ended.reason === undefined ? '' : `, ${ended.reason}`}`
  if (restartCount > 0 || last !== undefined) return `container ${name} keeps ending (${how}): see its logs`
  return `container ${name} ended (${how}): ${ended.message?.trim() ?? 'see its logs'}`
}
