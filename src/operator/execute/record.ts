import { keptOf } from '../../api/kept.ts'
import type { Status } from '../../api/status.ts'
import { canonicalJson, parseDocument } from '../../protocol/document.ts'
import type { RecordFields } from '../../protocol/control-keys.ts'

/** The record that repeats a status in Redis. `document`: the text to be published with it. */
export function recordOf(status: Status, document: string, cluster: string, owner: string): RecordFields {
  const { epoch, hash, phase, step } = parseDocument(document)
  return {
    cluster,
    owner,
    phase,
    step: String(step),
    epoch: String(epoch),
    revision: String(status.revision ?? 0),
    hash,
    document,
    account: canonicalJson(keptOf(status)),
  }
}
