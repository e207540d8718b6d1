import type { PurgeResult } from '../../protocol/work.ts'
import type { WorkerContext } from '../context.ts'
import { runPasses } from '../pass.ts'
import type { WorkHash } from '../work-hash.ts'

/** Deletes well-formed target keys until a whole pass deleted none. @returns false when another worker has finished it */
export function purge(context: WorkerContext): Promise<boolean> {
  return runPasses(context, { script: 'worker-purge-batch' })
}

export function purgeResult(hash: WorkHash): PurgeResult {
  return { kind: 'purge', deleted: hash.count('deleted') }
}
