import type { BackfillResult } from '../../protocol/work.ts'
import type { WorkerContext } from '../context.ts'
import { runPasses } from '../pass.ts'
import { memoryGuard } from '../watermark.ts'
import type { WorkHash } from '../work-hash.ts'

/** Makes missing targets until a whole pass made none. @returns false when another worker has finished it */
export function backfill(context: WorkerContext): Promise<boolean> {
  return runPasses(context, { script: 'worker-backfill-batch', guard: memoryGuard(context) })
}

export function backfillResult(hash: WorkHash): BackfillResult {
  return {
    kind: 'backfill',
    passes: hash.count('pass'),
    copied: hash.count('copied'),
    present: hash.count('present'),
    malformed: hash.count('malformed'),
  }
}
