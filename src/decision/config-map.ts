import { configMapName } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import type { Scene } from './scene.ts'
import { cut } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import { verdict, type Verdict } from './verdict.ts'

/** Reverts closer together than this are one fight, ms. */
const FIGHT_MS = 600_000
const BACKOFF_MS = 10_000
const MOST_BACKOFF_MS = 300_000
/** The way back is not kept waiting for longer than this by a fight that is over, ms. */
const MOST_BACKOFF_BACK_MS = 30_000

export interface Revert {
  readonly status: Status
  /** The document may be written (again) in this pass. */
  readonly mayWrite: boolean
  /** The manager that has just taken it back. */
  readonly revertedBy?: string
}

/**
 * Notices another manager taking the routing document back, and backs off where it keeps doing so.
 * @param back the walk goes back: the document is tried again more often
 */
export function watchReverts(scene: Scene, status: Status, back: boolean): Revert {
  const { configMap } = scene.observations
  const { reverts } = status
  if (!configMap.known || configMap.value.document === status.routing) {
    const over = reverts !== undefined && scene.now - at(reverts) >= FIGHT_MS
    return { status: over ? { ...status, reverts: undefined } : status, mayWrite: true }
  }
  const foreignManager = configMap.value.exists ? configMap.value.foreignManager : deletedBy(status)
  if (foreignManager === undefined) return { status, mayWrite: true }
  const manager = cut(foreignManager, 128)
  // What is not there may be what cannot be written: whether somebody deletes it once more cannot be told.
  if (!configMap.value.exists && reverts?.manager === manager && scene.now - at(reverts) < FIGHT_MS)
    return { status, mayWrite: true }
  if (reverts === undefined || scene.now - at(reverts) >= FIGHT_MS)
    return {
      status: { ...status, reverts: { count: 1, at: isoTime(scene.now), manager } },
      mayWrite: true,
      revertedBy: manager,
    }
  // The same revert is seen until it is answered; it is answered again only after a while.
  if (scene.now - at(reverts) < backoffMs(reverts.count, back)) return { status, mayWrite: scene.now === at(reverts) }
  return {
    status: { ...status, reverts: { count: reverts.count + 1, at: isoTime(scene.now), manager } },
    mayWrite: true,
    revertedBy: manager,
  }
}

/** One that every client was seen to run was there; who deletes leaves no name. */
function deletedBy({ convergedAt }: Status): string | undefined {
  return convergedAt === undefined ? undefined : 'someone who deletes it'
}

/** Why the ConfigMap cannot carry the routing document. */
export function configMapTrouble(scene: Scene, status: Status): Verdict | undefined {
  const { configMap } = scene.observations
  const name = configMapName(scene.resource)
  if (configMap.known && configMap.value.immutable && configMap.value.document !== status.routing)
    return verdict(
      'stalled',
      'ConfigMapImmutable',
      `ConfigMap ${name} is immutable, and cannot be given the routing document of epoch ${status.epoch}`,
    )
  const { reverts } = status
  if (reverts === undefined || reverts.count < 2) return undefined
  return verdict(
    'stalled',
    'ConfigMapContested',
    `${reverts.manager} keeps taking back the routing document, now of epoch ${status.epoch}, in ConfigMap ${name}`,
  )
}

function at(reverts: NonNullable<Status['reverts']>): number {
  return timeMs(reverts.at) ?? 0
}

function backoffMs(count: number, back: boolean): number {
  return Math.min(back ? MOST_BACKOFF_BACK_MS : MOST_BACKOFF_MS, BACKOFF_MS * 2 ** (count - 1))
}
