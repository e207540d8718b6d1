import { keptOf, sameKept } from '../api/kept.ts'
import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { membersGone } from './convergence.ts'
import { jobActions } from './jobs.ts'
import type { Scene } from './scene.ts'
import type { Action, RecordObservation } from './types.ts'

/** What must be done so that the world is as status says. Nothing in steady state. */
export function syncActions(
  scene: Scene,
  status: Status,
  doc: RoutingDocument,
  options: { readonly mayWriteConfigMap: boolean; readonly takeOver: boolean },
): readonly Action[] {
  return [
    ...recordAction(scene, status, doc, options.takeOver),
    ...fenceAction(scene, status),
    ...configMapAction(scene, status, options.mayWriteConfigMap),
    ...backfilledAction(scene, status),
    ...jobActions(scene, status, doc),
    ...pruneAction(scene),
  ]
}

function recordAction(scene: Scene, status: Status, doc: RoutingDocument, takeOver: boolean): readonly Action[] {
  const { record } = scene.redis
  // Templates changed in Legacy: the record under the new control prefix begins with the document that follows.
  if (doc.controlPrefix !== scene.controlPrefix || status.routing === undefined) return []
  if (record !== undefined && sameRecord(record, status, doc) && !takeOver) return []
  const reason = record?.epoch === doc.epoch ? 'Account' : 'Epoch'
  return [
    { type: 'WriteRecord', document: status.routing, epoch: doc.epoch, reason, ...(takeOver ? { takeOver } : {}) },
  ]
}

function sameRecord(record: RecordObservation, status: Status, doc: RoutingDocument): boolean {
  return (
    record.epoch === doc.epoch &&
    record.revision === (status.revision ?? 0) &&
    record.document === status.routing &&
    record.kept !== undefined &&
    sameKept(record.kept, keptOf(status))
  )
}

/** The fence is asserted again where a failover took it back, and confirmed where status does not know of it. */
function fenceAction(scene: Scene, status: Status): readonly Action[] {
  const observed = scene.redis.fence ?? 0
  const epoch = Math.max(status.fence ?? 0, observed)
  return epoch > 0 && (status.fence !== epoch || observed < epoch) ? [{ type: 'RaiseFence', epoch }] : []
}

function configMapAction(scene: Scene, status: Status, mayWrite: boolean): readonly Action[] {
  const { configMap } = scene.observations
  if (!configMap.known || !mayWrite || status.routing === undefined) return []
  const { document, immutable } = configMap.value
  return document === status.routing || immutable ? [] : [{ type: 'ApplyConfigMap', document: status.routing }]
}

function backfilledAction(scene: Scene, status: Status): readonly Action[] {
  const on = status.evidence?.backfill !== undefined
  return scene.redis.backfilled === on ? [] : [{ type: 'MarkBackfilled', on }]
}

function pruneAction(scene: Scene): readonly Action[] {
  const ids = membersGone(scene)
  return ids.length === 0 ? [] : [{ type: 'PruneMembers', ids }]
}
