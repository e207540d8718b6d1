import type { JobObservation } from '../../decision/types.ts'
import type { Condition, Job, Pod } from '../../kube/types.ts'
import { WORK_KINDS, type WorkKind } from '../../protocol/work.ts'
import { LABELS } from '../resources.ts'

export const WORKER_CONTAINER = 'worker'

/** The worker Jobs that the resource of this uid owns. `pods`: those of the namespace, for why a Job does not start. */
export function observeJobs(jobs: readonly Job[], pods: readonly Pod[], uid: string): readonly JobObservation[] {
  return jobs
    .filter((job) => job.metadata.ownerReferences?.some((owner) => owner.uid === uid))
    .flatMap((job) => observeJob(job, pods) ?? [])
}

function observeJob(job: Job, pods: readonly Pod[]): JobObservation | undefined {
  const labels = job.metadata.labels ?? {}
  const kind = WORK_KINDS.find((known): known is WorkKind => known === labels[LABELS.kind])
  const attempt = Number(labels[LABELS.attempt])
  if (kind === undefined || !Number.isSafeInteger(attempt)) return undefined
  const failed = condition(job, 'Failed')
  const state = failed ? 'Failed' : condition(job, 'Complete') ? 'Succeeded' : 'Active'
  const own = pods.filter((pod) => pod.metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid))
  const message = failed ? conditionText(failed) : state === 'Active' ? newest(own.map(podTrouble)) : undefined
  return {
    name: job.metadata.name ?? '',
    kind,
    attempt,
    state,
    suspended: job.spec?.suspend === true,
    ...(message === undefined ? {} : { message: message.slice(0, 512) }),
  }
}

function condition(job: Job, type: string): Condition | undefined {
  return job.status?.conditions?.find((one) => one.type === type && one.status === 'True')
}

function conditionText({ reason, message }: Condition): string {
  return [reason, message].filter(Boolean).join(': ')
}

function newest(texts: readonly (string | undefined)[]): string | undefined {
  return texts.findLast((text) => text !== undefined)
}

/** Why the pod of a Job is not at work, or what keeps it from ending. */
function podTrouble(pod: Pod): string | undefined {
  const name = pod.metadata.name ?? ''
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  const worker = statuses.find((status) => status.name === WORKER_CONTAINER)
  if (worker?.state?.terminated?.exitCode === 0) {
    const foreign = statuses.filter((status) => status.name !== WORKER_CONTAINER && status.state?.running !== undefined)
    if (foreign.length === 0) return undefined
    const names = foreign.map((status) => status.name).join(', ')
    return `pod ${name}: the worker is done, container ${names} keeps the pod running: keep sidecars out of Jobs of Keyshift`
  }
  const ended = statuses.find(({ state }) => state?.terminated !== undefined && state.terminated.exitCode !== 0)
  if (ended?.state?.terminated !== undefined) {
    const { exitCode, message, reason } = ended.state.terminated
    return `pod ${name}: container ${ended.name} ended with ${exitCode}: ${message?.trim() ?? reason ?? ''}`
  }
  const waiting = statuses.find(({ state }) => !HARMLESS.has(state?.waiting?.reason ?? 'ContainerCreating'))
  if (waiting?.state?.waiting !== undefined)
    return `pod ${name}: container ${waiting.name} waits: ${conditionText(waiting.state.waiting as Condition)}`
  const unscheduled = pod.status?.conditions?.find(({ type, status }) => type === 'PodScheduled' && status === 'False')
  return unscheduled && `pod ${name} is not scheduled: ${unscheduled.message ?? unscheduled.reason ?? ''}`
}

const HARMLESS = new Set(['ContainerCreating', 'PodInitializing'])
