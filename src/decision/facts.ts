import { redisPlaceOf } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { closeEvidenceWork } from './publish.ts'
import { hasProofs, withoutProofs } from './evidence.ts'
import { isUnderWay } from './accounts.ts'
import type { Scene } from './scene.ts'
import { note } from './draft.ts'
import { count, cut, some } from './text.ts'
import { isoTime } from './time.ts'
import type { EventNote } from './types.ts'

/** Which Redis process is seen, and since when. */
export function noteRedis(scene: Scene, status: Status): Status {
  const { runId, lineage } = scene.redis
  const address = redisPlaceOf(scene.spec.redis)
  const seen = status.redisSeen
  if (seen?.runId === runId && seen.lineage === lineage && seen.address === address) return status
  return { ...status, redisSeen: { address, runId, lineage, since: isoTime(scene.now) } }
}

/** Who else is connected; those who may write jobs as they were last known. */
export function noteWriters(scene: Scene, status: Status): Status {
  const { writers, observers = [] } = scene.redis
  return {
    ...status,
    writers: writers.known ? listed(writers.value) : status.writers,
    observers: listed(observers),
  }
}

function listed(names: readonly string[]): string[] | undefined {
  return names.length === 0
    ? undefined
    : [...names]
        .sort()
        .slice(0, 20)
        .map((name) => cut(name, 256))
}

/** One Event for those who may write jobs and were not listed before. */
export function newWriters(before: Status, after: Status): readonly EventNote[] {
  const known = new Set(before.writers)
  const strangers = (after.writers ?? []).filter((writer) => !known.has(writer))
  if (strangers.length === 0) return []
  const message = `connections that may write jobs belong to no client of Keyshift: ${some(strangers, 5)}`
  return [note('ForeignWriters', message, 'Warning')]
}

export interface Voided {
  readonly status: Status
  /** What the soak has earned is lost with it. */
  readonly resets: boolean
  readonly event?: EventNote
}

/** Drops proofs that do not hold any more: another lineage, lost data or fence, a pod without the client, a read that legacy answered. */
export function voidEvidence(
  scene: Scene,
  status: Status,
  doc: RoutingDocument,
  { unaware, lost, unfenced }: { readonly unaware: number; readonly lost: boolean; readonly unfenced: boolean },
): Voided {
  const { evidence } = status
  if (evidence === undefined) return { status, resets: false }
  const { lineage, fallbackReads, backfilled } = scene.redis
  const drop = (why: string, resets: boolean): Voided => {
    const proofs = withoutProofs(evidence, lineage)
    const work = status.work === undefined ? undefined : closeEvidenceWork(status.work)
    const message = `what was proven of the data is void: ${why}`
    return {
      status: { ...status, work, evidence: hasProofs(evidence) ? { ...proofs, voided: cut(why, 256) } : proofs },
      resets,
      ...(hasProofs(evidence) ? { event: { type: 'Warning', reason: 'EvidenceVoid', message } } : {}),
    }
  }
  if (lost) return drop('Redis lost its data', false)
  if (evidence.lineage !== lineage) return drop('Redis failed over, was started anew or was replaced', false)
  const underWay = (['verify', 'backfill'] as const).some((kind) => {
    const account = status.work?.[kind]
    return account !== undefined && isUnderWay(account)
  })
  if (unaware > 0 && (hasProofs(evidence) || underWay))
    return drop(`${count(unaware, 'pod')} without the client ran`, false)
  if (unfenced && (hasProofs(evidence) || underWay))
    return drop('the fence was gone from Redis, and a client of an old epoch may have written', false)
  if (doc.phase === 'BackfillVerify' && evidence.backfill !== undefined && backfilled && fallbackReads > 0)
    return drop(`${count(fallbackReads, 'read')} found its job in legacy alone`, true)
  return { status, resets: false }
}
