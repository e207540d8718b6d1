import type { Status } from '../api/status.ts'
import { isInPlace, type Scene } from './scene.ts'
import { cut } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import type { ClassifiedPod } from './pods.ts'
import type { PodObservation } from './types.ts'

export type Newcomer = NonNullable<Status['newcomers']>[number]

const MOST_NEWCOMERS = 16

/**
 * Pods that have started and whose template no member has had: while they are there they are joining, but one that goes
 * before its time is up is in no list any more, and may have written without the client. So they are kept in mind.
 */
export function noteNewcomers(
  scene: Scene,
  status: Status,
  pods: readonly ClassifiedPod[],
  templates: readonly string[],
): Status['newcomers'] {
  // In Legacy nothing has been proven yet that such a pod could void.
  if (status.phase === undefined || status.phase === 'Legacy') return undefined
  const all = pods.map(({ pod }) => pod)
  const listed = new Set(all.map(({ uid }) => uid))
  const judged = new Set(vanishedNewcomers(scene, all, templates).map(({ uid }) => uid))
  const gone = (status.newcomers ?? []).filter(({ pod }) => !listed.has(pod) && !judged.has(pod))
  const here = pods.filter(mayVanishUnjudged).map(({ pod }) => newcomer(scene, pod))
  const newcomers = [...gone, ...here].filter(({ template }) => !templates.includes(template)).slice(0, MOST_NEWCOMERS)
  return newcomers.length === 0 ? undefined : newcomers
}

// One that has ended is judged at once, but not while Redis has just changed.
function mayVanishUnjudged({ pod, class: of }: ClassifiedPod): boolean {
  const ended = pod.phase === 'Succeeded' || pod.phase === 'Failed'
  return pod.startedAt !== undefined && (of === 'joining' || (of === 'unaware' && !ended))
}

/** Newcomers that are gone and not judged yet: whether they had the client is open. */
export function pendingNewcomers({ observations: { pods } }: Scene, { newcomers = [] }: Status): readonly Newcomer[] {
  const listed = new Set(pods.known ? pods.value.map(({ uid }) => uid) : [])
  return newcomers.filter(({ pod }) => !listed.has(pod))
}

/** When a newcomer that is gone counts as a pod without the client, ms. */
export function judgedAt({ now, joinTimeoutMs }: Scene, { redisSeen }: Status, { since }: Newcomer): number {
  // Redis may have lost who its members were.
  return Math.max(timeMs(since) ?? now, timeMs(redisSeen?.since) ?? now) + joinTimeoutMs
}

/** Newcomers of the passes before that are gone, whose time is up, and whose template never became a member's. */
export function vanishedNewcomers(
  scene: Scene,
  pods: readonly PodObservation[],
  templates: readonly string[],
): readonly PodObservation[] {
  const status = scene.resource.status ?? {}
  if (status.newcomers === undefined || !isInPlace(scene, status)) return []
  const listed = new Set(pods.map(({ uid }) => uid))
  return status.newcomers
    .filter(({ pod, template }) => !listed.has(pod) && !templates.includes(template))
    .filter((newcomer) => scene.now >= judgedAt(scene, status, newcomer))
    .map(observation)
}

function newcomer({ now }: Scene, pod: PodObservation): Newcomer {
  return {
    pod: pod.uid,
    name: pod.name,
    workload: pod.workload,
    template: pod.template,
    image: cut(pod.image, 256),
    // By the clock of its node, which may be fast.
    since: isoTime(Math.min(pod.startedAt ?? now, now)),
  }
}

function observation({ pod, name, workload, template, image, since }: Newcomer): PodObservation {
  const startedAt = timeMs(since)
  return {
    name,
    uid: pod,
    workload,
    template,
    image,
    phase: 'Unknown',
    deleting: true,
    ...(startedAt === undefined ? {} : { startedAt }),
  }
}
