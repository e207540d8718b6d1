import type { MemberObservation, PodObservation } from './types.ts'

/**
 * member: its client holds a lease. joining: its client may still come. lapsed: it had a client whose lease is gone.
 * unaware: it runs, or ran, without a client. ended: it is over and cannot touch a job any more.
 */
export type PodClass = 'member' | 'joining' | 'lapsed' | 'unaware' | 'ended'

export interface ClassifiedPod {
  readonly pod: PodObservation
  readonly class: PodClass
}

export interface PodInput {
  readonly pods: readonly PodObservation[]
  readonly members: readonly MemberObservation[]
  /** Pod templates that were seen as members before. */
  readonly templates: readonly string[]
  readonly joinTimeoutMs: number
  /** When epoch 1 was published, ms. */
  readonly firstPublishedAt: number
  /** Since when this Redis process, with this lineage, is the one seen, ms. */
  readonly redisSince: number
  readonly now: number
}

export function classifyPods(input: PodInput): readonly ClassifiedPod[] {
  const templates = new Set(seenTemplates(input.templates, input.pods, input.members))
  return input.pods.map((pod) => ({ pod, class: classify(pod, input, templates) }))
}

/** Templates seen as members before, and those of pods that are or were members now; newest last. */
export function seenTemplates(
  before: readonly string[],
  pods: readonly PodObservation[],
  members: readonly MemberObservation[],
): readonly string[] {
  const uids = new Set(members.map(({ record }) => record.podUid))
  const now = pods.filter(({ uid }) => uids.has(uid)).map(({ template }) => template)
  return [...new Set([...before, ...now])]
}

function classify(pod: PodObservation, input: PodInput, templates: ReadonlySet<string>): PodClass {
  const own = input.members.filter(({ record }) => record.podUid === pod.uid)
  const ended = pod.phase === 'Succeeded' || pod.phase === 'Failed'
  if (own.length > 0) return ended ? 'ended' : own.some(({ lease }) => lease !== undefined) ? 'member' : 'lapsed'
  if (pod.startedAt === undefined || templates.has(pod.template)) return ended ? 'ended' : 'joining'
  if (ended && pod.endedAt !== undefined && pod.endedAt < input.firstPublishedAt) return 'ended'
  // Redis may have lost who its members were: they get the time to come back.
  if (input.now < input.redisSince + input.joinTimeoutMs) return 'joining'
  if (ended) return 'unaware'
  const since = Math.max(pod.startedAt, input.firstPublishedAt)
  return input.now < since + input.joinTimeoutMs ? 'joining' : 'unaware'
}
