import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { stateText } from './ladder.ts'
import { inForce } from './publish.ts'
import { stateOf, type Scene } from './scene.ts'
import { isoTime, timeMs } from './time.ts'
import type { RecordObservation } from './types.ts'

const HISTORY = 20

/** The status that goes on from the record: what the record does not hold is found out anew. */
export function adoptRecord(
  scene: Scene,
  status: Status,
  record: RecordObservation,
  document: RoutingDocument,
): Status {
  const at = isoTime(scene.now)
  const inLegacy = document.phase === 'Legacy'
  const templates = [...new Set([...(status.templates ?? []), ...record.templates])].slice(-64)
  return {
    ...status,
    ...inForce(document),
    epoch: document.epoch,
    routing: record.document,
    isAbort: record.abort ? true : undefined,
    previous: undefined,
    // Members get their time again: when it was published is not known.
    publishedAt: at,
    firstPublishedAt: status.firstPublishedAt ?? at,
    convergedAt: undefined,
    phaseStartedAt: at,
    evidence: record.evidence,
    preflight: undefined,
    work: undefined,
    templates: templates.length === 0 ? undefined : templates,
    lastCap: undefined,
    fence: undefined,
    soakEndsAt: undefined,
    soakRemainingMs: inLegacy ? undefined : soakLeft(record),
    soakLengthMs: inLegacy ? undefined : record.soak?.lengthMs,
    soakCountedThrough: inLegacy ? undefined : at,
    history: [
      ...(status.history ?? []),
      { time: at, from: '-', to: stateText(stateOf(document)), epoch: document.epoch, reason: 'Adopted' },
    ].slice(-HISTORY),
  }
}

// A soak that ran when it was recorded has earned what was counted by then.
function soakLeft({ soak }: RecordObservation): number | undefined {
  const [ends, counted] = [timeMs(soak?.endsAt), timeMs(soak?.countedThrough)]
  return ends === undefined || counted === undefined ? soak?.remainingMs : Math.max(0, ends - counted)
}
