import type { JobObservation } from '../../decision/types.ts'
import type { Condition, Job, Pod } from '../../kube/types.ts'
import { WORK_KINDS, type WorkKind } from '../../protocol/work.ts'
import { LABELS } from '../resources.ts'
import { inWords, podTrouble } from './pod-trouble.ts'

export const WORKER_CONTAINER = 'worker'

/** A Job controller makes a pod within moments; without one after this long something forbids it, ms. */
const PODLESS_MS = 30_000
/** Room, volumes, network and a large image are there after this long, ms. */
const UNSTARTED_MS = 120_000

/**
 * The worker Jobs that the resource of this uid owns. `pods`: those of the namespace, for why a Job does not start;
 * `now`: ms since 1970.
 */
export function observeJobs(
  jobs: readonly Job[],
  pods: readonly Pod[],
  uid: string,
  now: number,
): readonly JobObservation[] {
  return jobs
    .filter((job) => job.metadata.ownerReferences?.some((owner) => owner.uid === uid))
    .flatMap((job) => observeJob(job, pods, now) ?? [])
}

function observeJob(job: Job, pods: readonly Pod[], now: number): JobObservation | undefined {
  const labels = job.metadata.labels ?? {}
  const kind = WORK_KINDS.find((known): known is WorkKind => known === labels[LABELS.kind])
  const attempt = Number(labels[LABELS.attempt])
  if (kind === undefined || !Number.isSafeInteger(attempt)) return undefined
  const failed = condition(job, 'Failed')
  const state = failed ? 'Failed' : condition(job, 'Complete') ? 'Succeeded' : 'Active'
  const pod = newestOf(job, pods)
  const overstays = state === 'Active' && pod !== undefined ? foreignIn(pod) : undefined
  const trouble = pod === undefined ? podless(job, now) : (overstays ?? troubleOf(pod) ?? unstarted(pod, now))
  const said = failed ? [inWords(failed), trouble] : state === 'Active' ? [trouble] : []
  const message = said.filter(Boolean).join('; ').slice(0, 512)
  return {
    name: job.metadata.name ?? '',
    kind,
    attempt,
    state,
    suspended: job.spec?.suspend === true,
    ...(message === '' ? {} : { message }),
    ...(overstays === undefined ? {} : { overstays: overstays.slice(0, 512) }),
  }
}

function troubleOf(pod: Pod): string | undefined {
  const trouble = podTrouble(pod)
  return trouble && `pod ${pod.metadata.name ?? ''}: ${trouble}`
}

/** The pod that was made last: what became of those before is over. */
function newestOf(job: Job, pods: readonly Pod[]): Pod | undefined {
  return pods
    .filter((pod) => pod.metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid))
    .reduce<Pod | undefined>(
      (newest, pod) => (newest === undefined || madeAt(pod) >= madeAt(newest) ? pod : newest),
      undefined,
    )
}

function madeAt(pod: Pod): string {
  return pod.metadata.creationTimestamp ?? ''
}

/** A Job whose pod may not be made says so in Events alone: a quota, an admission policy, a missing service account. */
function podless(job: Job, now: number): string | undefined {
  const since = Date.parse(job.status?.startTime ?? '')
  if (job.spec?.suspend === true || !(now - since > PODLESS_MS)) return undefined
  const { name = '', namespace = '' } = job.metadata
  return `no pod has been made for it: kubectl describe job ${name} -n ${namespace} says why`
}

function condition(job: Job, type: string): Condition | undefined {
  return job.status?.conditions?.find((one) => one.type === type && one.status === 'True')
}

/** What keeps a pod from ending well once its worker has ended: containers that were put into it. */
function foreignIn(pod: Pod): string | undefined {
  const statuses = pod.status?.containerStatuses ?? []
  const worker = statuses.find((status) => status.name === WORKER_CONTAINER)?.state?.terminated
  if (worker === undefined) return undefined
  const foreign = statuses.filter((status) => status.name !== WORKER_CONTAINER)
  const named = (some: typeof foreign) => some.map(({ name }) => name).join(', ')
  const advice = 'keep sidecars out of Jobs of Keyshift'
  const running = foreign.filter(({ state }) => state?.running !== undefined)
  const where = `pod ${pod.metadata.name ?? ''}: the worker has ended`
  if (running.length > 0) return `${where}, container ${named(running)} keeps the pod running: ${advice}`
  const failed = foreign.filter(({ state }) => (state?.terminated?.exitCode ?? 0) !== 0)
  return worker.exitCode === 0 && failed.length > 0
    ? `${where}, container ${named(failed)} made the pod fail: ${advice}`
    : undefined
}

/** What a pod waits for may stand in its Events alone: a volume, a Secret, its network, a scheduler that is not there. */
function unstarted({ metadata, status }: Pod, now: number): string | undefined {
  const since = Date.parse(metadata.creationTimestamp ?? '')
  if ((status?.phase ?? 'Pending') !== 'Pending' || !(now - since > UNSTARTED_MS)) return undefined
  const { name = '', namespace = '' } = metadata
  return `pod ${name} has not started within ${UNSTARTED_MS / 60_000} minutes: kubectl describe pod ${name} -n ${namespace} says why`
}
