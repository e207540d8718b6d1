import { keptOf, sameKept, type Kept } from '../api/kept.ts'
import type { Status } from '../api/status.ts'
import { documentOf, type Scene } from './scene.ts'
import type { RecordObservation } from './types.ts'

export type ReadableRecord = RecordObservation & { readonly kept: Kept }

export function isReadable(record: RecordObservation | undefined): record is ReadableRecord {
  return record?.kept !== undefined
}

/** Whether the record is younger than a status with this document: of a higher epoch, or of a higher revision of the same. */
export function isAhead(record: RecordObservation, status: Status): boolean {
  const epoch = documentOf(status.routing)?.epoch ?? 0
  return record.epoch > epoch || (record.epoch === epoch && record.revision > (status.revision ?? 0))
}

/**
 * The status with its revision: one more than that of what it changes, from 0 in each epoch. Status and record are compared by it
 * where their epochs are equal, so that a failure or a proof of the epoch is not forgotten for an older copy.
 */
export function withRevision(scene: Scene, status: Status): Status {
  const before = scene.resource.status ?? {}
  const { record } = scene.redis
  const base =
    isReadable(record) && isAhead(record, before)
      ? { epoch: record.epoch, revision: record.revision, kept: record.kept }
      : { epoch: before.epoch, revision: before.revision ?? 0, kept: keptOf(before) }
  if (base.epoch !== status.epoch) return { ...status, revision: undefined }
  const revision = sameKept(base.kept, keptOf(status)) ? base.revision : base.revision + 1
  return { ...status, revision: revision === 0 ? undefined : revision }
}
