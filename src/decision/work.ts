import { createHash } from 'node:crypto'
import { durationMs } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import { canonicalJson } from '../protocol/document.ts'
import type { RoutingState } from '../protocol/phases.ts'
import type { WorkKind } from '../protocol/work.ts'
import { orderOf } from './orders.ts'
import type { Scene } from './scene.ts'
import { timeMs } from './time.ts'

/** One worker Job that should run now. */
export interface DueWork {
  readonly kind: WorkKind
  readonly direction?: 'TargetToLegacy' | 'Both'
  /** Digest of what it looks at, or the annotation that it carries out; other inputs make it due again. */
  readonly inputs?: string
}

/** A preflight older than this does not let a migration leave Legacy, ms. */
const PREFLIGHT_GOOD_MS = 3_600_000

export interface WorkQuestion {
  readonly scene: Scene
  readonly status: Status
  readonly state: RoutingState
  /** Negative: the walk goes back; 0: it is where it shall be; positive: it goes forward. */
  readonly heading: number
  readonly unaware: boolean
}

/** The work that the routing in force calls for and that has not been done. */
export function dueWork(question: WorkQuestion): readonly DueWork[] {
  const { scene, status, state, heading } = question
  if (heading < 0) return []
  // A worker asks the record which phase it is: it must be the one that was decided on.
  if (scene.redis.record?.epoch !== status.epoch) return []
  if (state.phase === 'Legacy') return [...purge(scene, status), ...preflight(question)]
  if (status.convergedAt === undefined || question.unaware) return []
  const { evidence } = status
  const repairs = repair(scene, status, state)
  // What it changes is to be verified after it.
  if (repairs.length > 0) return repairs
  const verify = (direction: 'TargetToLegacy' | 'Both'): DueWork => ({ kind: 'verify', direction })
  const verifyTarget = evidence?.verifiedTarget === undefined ? [verify('TargetToLegacy')] : []
  const shutOut = evidence !== undefined && (scene.redis.fence ?? 0) >= evidence.baseEpoch
  const backfill: DueWork[] = evidence?.backfill === undefined && shutOut ? [{ kind: 'backfill' }] : []
  if (state.phase === 'DualWrite') return state.createTarget === 100 ? verifyTarget : []
  if (state.phase === 'ReadRouting') return [...verifyTarget, ...backfill]
  if (evidence?.backfill === undefined) return backfill
  return evidence.verifiedBoth === undefined && shutOut ? [verify('Both')] : []
}

/**
 * Digest of what a preflight depends on: fields of the spec; and who may have made jobs of any id after it, which are pods without
 * the client and, once `keys.idWindow` lets them be, clients that used illegal ids.
 */
export function preflightInputs(scene: Scene, unaware: boolean): string {
  const { keys, redis, app } = scene.spec
  const { count, ageMs = 0 } = scene.redis.illegalIds
  const forgiven = count > 0 && ageMs >= durationMs(keys.idWindow) ? { illegal: count } : {}
  const looked = {
    keys,
    redis,
    workloads: app.workloads,
    configMapName: app.configMapName,
    ...(unaware ? { unaware } : {}),
    ...forgiven,
  }
  return createHash('sha256').update(canonicalJson(looked), 'utf8').digest('hex').slice(0, 16)
}

/** Value of the annotation keyshift.dev/purge that is still to be carried out. */
export function purgeAsked(scene: Scene, status: Status): string | undefined {
  return askedBy(scene, 'purge', status)
}

function askedBy(scene: Scene, name: 'purge' | 'repair', { purged, repaired, orders }: Status): string | undefined {
  const asked = orderOf(scene, name)
  const done = name === 'purge' ? purged : repaired?.value
  return asked === done || asked === orders?.[name] ? undefined : asked
}

/** Due wherever verify may be: all creates go to both schemas, so that each side says what the other shall be. */
function repair(scene: Scene, status: Status, state: RoutingState): DueWork[] {
  const asked = askedBy(scene, 'repair', status)
  if (asked === undefined || status.evidence === undefined) return []
  return [{ kind: 'repair', direction: state.phase === 'BackfillVerify' ? 'Both' : 'TargetToLegacy', inputs: asked }]
}

function purge(scene: Scene, status: Status): DueWork[] {
  const asked = purgeAsked(scene, status)
  return asked === undefined || status.convergedAt === undefined ? [] : [{ kind: 'purge', inputs: asked }]
}

function preflight({ scene, status, heading, unaware }: WorkQuestion): DueWork[] {
  const inputs = preflightInputs(scene, unaware)
  const done = status.preflight
  const good = done !== undefined && done.inputs === inputs && (heading === 0 || isRecent(done.at, scene.now))
  return good ? [] : [{ kind: 'preflight', inputs }]
}

function isRecent(at: string, now: number): boolean {
  return now - (timeMs(at) ?? 0) < PREFLIGHT_GOOD_MS
}
