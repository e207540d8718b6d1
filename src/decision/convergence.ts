import type { Reason } from '../api/reasons.ts'
import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { judgedAt, noteNewcomers, pendingNewcomers, vanishedNewcomers } from './newcomers.ts'
import { classifyPods, seenTemplates, type ClassifiedPod } from './pods.ts'
import type { Scene } from './scene.ts'
import { count, some } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import type { MemberObservation, PodObservation } from './types.ts'

/** Whether every pod runs the routing in force, and what is in the way. */
export interface Convergence {
  /** undefined: cannot be told. */
  readonly converged: boolean | undefined
  readonly reason: Reason
  readonly message: string
  readonly unaware: readonly PodObservation[]
}

const MOST_LAPSED = 64
/** Templates that status keeps. */
export const MOST_TEMPLATES = 64

/** What the pass saw of pods goes into status: templates of members, and since when pods are lapsed. */
export function notePods(scene: Scene, status: Status): Status {
  const { pods } = scene.observations
  if (!pods.known) return status
  const templates = keepTemplates(
    seenTemplates(status.templates ?? [], pods.value, scene.redis.members),
    new Set(pods.value.map(({ template }) => template)),
  )
  const since = new Map((status.lapsed ?? []).map(({ pod, since: at }) => [pod, at]))
  const all = classified(scene, status, pods.value)
  const lapsed = all
    .filter((entry) => entry.class === 'lapsed')
    .map(({ pod }) => ({ pod: pod.uid, since: since.get(pod.uid) ?? isoTime(scene.now) }))
    .sort((a, b) => a.since.localeCompare(b.since) || a.pod.localeCompare(b.pod))
    .slice(0, MOST_LAPSED)
  return {
    ...status,
    newcomers: noteNewcomers(scene, status, all, templates),
    templates: templates.length === 0 ? undefined : templates,
    lapsed: lapsed.length === 0 ? undefined : lapsed,
  }
}

export function assessConvergence(scene: Scene, status: Status, doc: RoutingDocument): Convergence {
  const { pods, missingWorkloads } = scene.observations
  if (!pods.known) return { converged: undefined, reason: 'PodsUnknown', message: pods.message, unaware: [] }
  const all = classified(scene, status, pods.value)
  const of = (wanted: ClassifiedPod['class']): PodObservation[] =>
    all.filter((entry) => entry.class === wanted).map(({ pod }) => pod)
  const unaware = [...of('unaware'), ...vanishedNewcomers(scene, pods.value, status.templates ?? [])]
  const no = (reason: Reason, message: string): Convergence => ({ converged: false, reason, message, unaware })

  if (unaware.length > 0)
    return no(
      'UnawarePod',
      `${count(unaware.length, 'pod')} without the Keyshift client: ${some(unaware.map(describe))}; release the workload with the client, or remove the pod`,
    )
  if (!missingWorkloads.known)
    return { converged: undefined, reason: 'WorkloadsUnknown', message: missingWorkloads.message, unaware }
  if (missingWorkloads.value.length > 0)
    return no('WorkloadMissing', `${some(missingWorkloads.value)} of spec.app.workloads does not exist`)
  const behind = membersBehind(scene, doc)
  if (behind.length > 0)
    return no(
      'MembersBehind',
      `${count(behind.length, 'client')} not on epoch ${doc.epoch} yet: ${nameMembers(scene, behind)}`,
    )
  const joining = of('joining')
  if (joining.length > 0)
    return no(
      'PodsJoining',
      `${count(joining.length, 'pod')} whose client has not registered yet: ${some(joining.map(describe))}`,
    )
  // They may have written without the client, and may as well have been the first of a rollout.
  const vanished = pendingNewcomers(scene, status)
  if (vanished.length > 0)
    return no(
      'PodsVanished',
      `${count(vanished.length, 'pod')} gone before a client registered: ${some(vanished.map(describe))}; judged at ${isoTime(Math.max(...vanished.map((one) => judgedAt(scene, status, one))))}`,
    )
  const lapsed = of('lapsed').filter((pod) => doc.phase === 'Legacy' || isFresh(scene, status, pod))
  if (lapsed.length > 0)
    return no(
      'PodsLapsed',
      `${count(lapsed.length, 'pod')} whose client has let its lease lapse: ${some(lapsed.map(describe))}; see the logs of the pod`,
    )
  if (doc.phase === 'Legacy' && (status.templates ?? []).length === 0)
    return no('NoMembers', 'no pod with the Keyshift client has been seen')
  return { converged: true, reason: 'Converged', message: `every pod runs epoch ${doc.epoch}`, unaware }
}

/** Live members, in whatever pod, that run something else than `doc`. */
function membersBehind(scene: Scene, doc: RoutingDocument): readonly MemberObservation[] {
  return scene.redis.members.filter(
    ({ lease }) => lease !== undefined && (lease.epoch !== doc.epoch || lease.hash !== doc.hash),
  )
}

/** Live members that a step back waits for: behind `doc`, and not shut out by the fence yet, so that they still work. */
export function membersAwaited(scene: Scene, status: Status, doc: RoutingDocument): readonly MemberObservation[] {
  const shutOut = Math.min(status.fence ?? 0, scene.redis.fence ?? 0)
  return membersBehind(scene, doc).filter(({ lease }) => (lease?.epoch ?? 0) >= shutOut)
}

/** Members without a lease whose pods are gone. */
export function membersGone(scene: Scene): readonly string[] {
  const { pods } = scene.observations
  if (!pods.known) return []
  const uids = new Set(pods.value.map(({ uid }) => uid))
  return (
    scene.redis.members
      .filter(({ lease, record }) => lease === undefined && !uids.has(record.podUid))
      // Both by the clock of Redis.
      .filter(({ record }) => record.registeredAt + scene.joinTimeoutMs < scene.redis.now)
      .map(({ id }) => id)
  )
}

function classified(scene: Scene, status: Status, pods: readonly PodObservation[]): readonly ClassifiedPod[] {
  return classifyPods({
    pods,
    members: scene.redis.members,
    templates: status.templates ?? [],
    joinTimeoutMs: scene.joinTimeoutMs,
    firstPublishedAt: timeMs(status.firstPublishedAt) ?? scene.now,
    redisSince: timeMs(status.redisSeen?.since) ?? scene.now,
    now: scene.now,
  })
}

function isFresh(scene: Scene, status: Status, pod: PodObservation): boolean {
  const noted = status.lapsed?.find((entry) => entry.pod === pod.uid)?.since ?? status.publishedAt
  return scene.now < (timeMs(noted) ?? scene.now) + scene.joinTimeoutMs
}

type Described = Pick<PodObservation, 'name' | 'workload' | 'image' | 'trouble'>

// Templates of pods that are there are never forgotten for those of pods that are not.
function keepTemplates(templates: readonly string[], present: ReadonlySet<string>): string[] {
  const gone = templates.filter((template) => !present.has(template))
  const here = templates.filter((template) => present.has(template))
  const room = Math.max(0, MOST_TEMPLATES - here.length)
  const kept = new Set([...(room === 0 ? [] : gone.slice(-room)), ...here.slice(-MOST_TEMPLATES)])
  return templates.filter((template) => kept.has(template))
}

function describe({ name, workload, image, trouble }: Described): string {
  return `${name} (${workload}, image ${image}${trouble === undefined ? '' : `; ${trouble}`})`
}

/** The first few of these members, each with its epoch, image and what is wrong with its pod. */
export function nameMembers(scene: Scene, members: readonly MemberObservation[]): string {
  const { pods } = scene.observations
  return some(
    members.map(({ record, lease }) => {
      const pod = pods.known ? pods.value.find(({ uid }) => uid === record.podUid) : undefined
      const image = pod === undefined ? '' : `, image ${pod.image}`
      const stray = pods.known && pod === undefined ? ', in a pod of no workload in spec.app.workloads' : ''
      const trouble = pod?.trouble === undefined ? '' : `; ${pod.trouble}`
      return `${record.podName} (epoch ${lease?.epoch ?? 0}${image}${stray}${trouble})`
    }),
  )
}
