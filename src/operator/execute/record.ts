import type { Status } from '../../api/status.ts'
import { canonicalJson, parseDocument } from '../../protocol/document.ts'
import type { RecordFields } from '../../protocol/control-keys.ts'

/** The record that repeats a status in Redis. `document`: the text to be published with it. */
export function recordOf(status: Status, document: string, cluster: string, owner: string): RecordFields {
  const { epoch, hash, phase, step } = parseDocument(document)
  const soak = {
    endsAt: status.soakEndsAt,
    remainingMs: status.soakRemainingMs,
    lengthMs: status.soakLengthMs,
    countedThrough: status.soakCountedThrough,
  }
  return {
    cluster,
    owner,
    phase,
    step: String(step),
    epoch: String(epoch),
    hash,
    document,
    abort: status.isAbort === true ? '1' : '',
    evidence: status.evidence === undefined ? '' : canonicalJson(status.evidence),
    soak: canonicalJson(soak),
    templates: canonicalJson(status.templates ?? []),
  }
}
