import type { Status } from '../api/status.ts'
import { isInPlace, type Scene } from './scene.ts'
import { cut } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import type { PodObservation } from './types.ts'

type Newcomer = NonNullable<Status['newcomers']>[number]

const MOST_NEWCOMERS = 16

/**
 * Pods that have started and whose template no member has had: while they are there they are joining, but one that goes
 * before its time is up is in no list any more, and may have written without the client. So they are kept in mind.
 */
export function noteNewcomers(
  scene: Scene,
  status: Status,
  pods: readonly PodObservation[],
  templates: readonly string[],
): Status['newcomers'] {
  // In Legacy nothing has been proven yet that such a pod could void.
  if (status.phase === undefined || status.phase === 'Legacy') return undefined
  const listed = new Set(pods.map(({ uid }) => uid))
  const judged = new Set(vanishedNewcomers(scene, pods, templates).map(({ uid }) => uid))
  const gone = (status.newcomers ?? []).filter(({ pod }) => !listed.has(pod) && !judged.has(pod))
  const here = pods.filter(
    ({ startedAt, phase }) => startedAt !== undefined && phase !== 'Succeeded' && phase !== 'Failed',
  )
  const newcomers = [...gone, ...here.map((pod) => newcomer(scene, pod))]
    .filter(({ template }) => !templates.includes(template))
    .slice(0, MOST_NEWCOMERS)
  return newcomers.length === 0 ? undefined : newcomers
}

/** Newcomers of the passes before that are gone, whose time is up, and whose template never became a member's. */
export function vanishedNewcomers(
  scene: Scene,
  pods: readonly PodObservation[],
  templates: readonly string[],
): readonly PodObservation[] {
  const { now, joinTimeoutMs, resource } = scene
  const status = resource.status ?? {}
  if (status.newcomers === undefined || !isInPlace(scene, status)) return []
  // Redis may have lost who its members were.
  if (now < (timeMs(status.redisSeen?.since) ?? now) + joinTimeoutMs) return []
  const listed = new Set(pods.map(({ uid }) => uid))
  return status.newcomers
    .filter(({ pod, template }) => !listed.has(pod) && !templates.includes(template))
    .filter(({ since }) => now >= (timeMs(since) ?? now) + joinTimeoutMs)
    .map(observation)
}

function newcomer({ now }: Scene, pod: PodObservation): Newcomer {
  return {
    pod: pod.uid,
    name: pod.name,
    workload: pod.workload,
    template: pod.template,
    image: cut(pod.image, 256),
    since: isoTime(pod.startedAt ?? now),
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
