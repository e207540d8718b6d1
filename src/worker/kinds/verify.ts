import type { VerifyResult, WorkSpec } from '../../protocol/work.ts'
import type { WorkerContext } from '../context.ts'
import { runPasses } from '../pass.ts'
import type { WorkHash } from '../work-hash.ts'

/** Compares the keys of every job in one pass. @returns false when another worker has finished it */
export function verify(context: WorkerContext): Promise<boolean> {
  return runPasses(context, { script: 'worker-verify-batch' })
}

export function verifyResult(hash: WorkHash, spec: WorkSpec): VerifyResult {
  return {
    kind: 'verify',
    direction: spec.direction ?? 'Both',
    compared: hash.count('compared'),
    missing: hash.count('missing'),
    different: hash.count('different'),
    orphan: hash.count('orphan'),
    malformed: hash.count('malformed'),
    foreign: hash.count('foreign'),
    findings: [...hash.samples('missing'), ...hash.samples('different'), ...hash.samples('orphan')],
    malformedKeys: hash.samples('malformed'),
  }
}
