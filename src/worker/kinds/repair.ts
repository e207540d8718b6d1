import type { Finding, RepairResult, WorkSpec } from '../../protocol/work.ts'
import { MAX_SAMPLES } from '../batch.ts'
import type { WorkerContext } from '../context.ts'
import { runPasses } from '../pass.ts'
import { memoryGuard } from '../watermark.ts'
import type { WorkHash } from '../work-hash.ts'

/** Puts right what verify would find, in one pass. @returns false when another worker has finished it */
export function repair(context: WorkerContext): Promise<boolean> {
  return runPasses(context, { script: 'worker-repair-batch', guard: memoryGuard(context) })
}

export function repairResult(hash: WorkHash, spec: WorkSpec): RepairResult {
  const findings = (['copied', 'replaced', 'removed'] as const).flatMap((how) =>
    hash.samples(how).map(({ key, why }): Finding => ({ key, why: `${how}: ${why}` })),
  )
  return {
    kind: 'repair',
    direction: spec.direction ?? 'Both',
    copied: hash.count('copied'),
    replaced: hash.count('replaced'),
    removed: hash.count('removed'),
    left: hash.count('left'),
    findings: findings.slice(0, MAX_SAMPLES),
    leftKeys: hash.samples('left'),
  }
}
