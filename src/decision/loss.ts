import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import type { Scene } from './scene.ts'

/**
 * What is to be said where Redis holds neither record nor fence although they stood there: it came back empty, or somebody
 * emptied it. The jobs are gone too then, or nobody can tell. Undefined where that is not so.
 */
export function lossIn(scene: Scene, status: Status, doc: RoutingDocument): string | undefined {
  const { record, fence } = scene.redis
  // Each of these is noted only once the record stands.
  const stood = status.fence !== undefined || status.convergedAt !== undefined || status.preflight !== undefined
  if (record !== undefined || fence !== undefined || !stood || doc.controlPrefix !== scene.controlPrefix)
    return undefined
  return `the record and the fence of epoch ${doc.epoch} are gone from Redis, its data was lost or deleted: both are written again, and what was proven of the jobs is void`
}

/** Whether the fence stands below what was confirmed: whoever held it out may have written meanwhile. */
export function hasLostFence(scene: Scene, status: Status, doc: RoutingDocument): boolean {
  return doc.controlPrefix === scene.controlPrefix && (scene.redis.fence ?? 0) < (status.fence ?? 0)
}
