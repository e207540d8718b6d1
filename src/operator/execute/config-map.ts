import type { ConfigMap } from '../../kube/types.ts'
import { parseDocument, ROUTING_FILE } from '../../protocol/document.ts'
import { PHASES, phaseIndex, ROUTING_TABLE } from '../../protocol/phases.ts'

/**
 * What the operator applies: the document byte for byte, and flat keys that repeat it for people and dashboards. No owner
 * reference: the application reads it after the resource is gone.
 */
export function configMapWith(name: string, namespace: string, text: string): ConfigMap {
  return { metadata: { name, namespace }, data: { [ROUTING_FILE]: text, ...flatKeys(text) } }
}

/** `PHASE`, `EPOCH`, and the share in force of each phase that ramps, for example `PHASE_1_CANARY_PCT`. */
export function flatKeys(text: string): Readonly<Record<string, string>> {
  const document = parseDocument(text)
  const keys: Record<string, string> = { PHASE: document.phase, EPOCH: String(document.epoch) }
  const at = phaseIndex(document.phase)
  for (const phase of PHASES) {
    const { ramps } = ROUTING_TABLE[phase]
    if (ramps === 'nothing') continue
    const index = phaseIndex(phase)
    // A phase not reached stands at 0; one that lies behind has all.
    const share = index > at ? 0 : index < at ? 100 : ramps === 'creates' ? document.createTarget : document.readTarget
    keys[`PHASE_${index}_CANARY_PCT`] = String(share)
  }
  return keys
}
