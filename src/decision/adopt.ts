import { withKept } from '../api/kept.ts'
import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { MOST_TEMPLATES } from './convergence.ts'
import { stateText } from './ladder.ts'
import { inForce, withTransition } from './publish.ts'
import type { ReadableRecord } from './revision.ts'
import { stateOf, type Scene } from './scene.ts'
import { isoTime } from './time.ts'

/** The status that goes on from the record: what the record does not hold is found out anew. */
export function adoptRecord(scene: Scene, status: Status, record: ReadableRecord, document: RoutingDocument): Status {
  const { kept, revision } = record
  const templates = [...new Set([...(status.templates ?? []), ...(kept.templates ?? [])])].slice(-MOST_TEMPLATES)
  const to = stateText(stateOf(document))
  const adopted = { time: isoTime(scene.now), from: '-', to, epoch: document.epoch, reason: 'Adopted' }
  return {
    ...withKept(status, kept),
    ...inForce(document),
    epoch: document.epoch,
    revision,
    routing: record.document,
    templates: templates.length === 0 ? undefined : templates,
    // Confirmed anew, on the Redis there is.
    fence: undefined,
    // Failures of another step do not count in this one.
    checks: status.epoch === document.epoch ? status.checks : undefined,
    history: withTransition(kept.history, adopted),
  }
}
