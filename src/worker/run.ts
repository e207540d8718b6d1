import type { WorkResult } from '../protocol/work.ts'
import { WorkFailed, WorkRefused, type WorkerContext } from './context.ts'
import { backfill, backfillResult } from './kinds/backfill.ts'
import { preflight } from './kinds/preflight.ts'
import { purge, purgeResult } from './kinds/purge.ts'
import { repair, repairResult } from './kinds/repair.ts'
import { verify, verifyResult } from './kinds/verify.ts'
import { persist } from './patience.ts'
import { checkRights, missingRights } from './rights.ts'
import { finishWork, readWorkHash, type WorkHash } from './work-hash.ts'

/** A pass whose end was lost begins again; that often is no accident. */
const MAX_ROUNDS = 20

/**
 * Carries out the work to its end and writes its result.
 * @throws WorkFailed, Stopped
 */
export async function runWork(context: WorkerContext): Promise<void> {
  if (context.work.spec.kind !== 'preflight') await requireRights(context)
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    const resultOf = await carryOut(context)
    if (resultOf === undefined) return
    const finish = await persist(context, async () => {
      const hash = await readWorkHash(context)
      return finishWork(context, resultOf(hash), hash)
    })
    if (finish === 'OK' || finish === 'DONE') return
    if (finish === 'NOT_OURS') throw new WorkFailed('another Job took this name over')
    // A failover took the end of the pass back: go on from what is there now.
    context.logger.warn('a failover took the end of the pass back; going on from what is there', { round })
    await context.clock.sleep(1000, context.signal)
  }
  throw new WorkFailed(`Redis took the end of the pass back ${MAX_ROUNDS} times: is it failing over all the time?`)
}

// The result is made from the work hash alone, so that whichever worker comes last makes the same one.
async function carryOut(context: WorkerContext): Promise<((hash: WorkHash) => WorkResult) | undefined> {
  const { spec } = context.work
  switch (spec.kind) {
    case 'preflight':
      return (await preflight(context))?.judge
    case 'backfill':
      return (await backfill(context)) ? backfillResult : undefined
    case 'verify':
      return (await verify(context)) ? (hash) => verifyResult(hash, spec) : undefined
    case 'purge':
      return (await purge(context)) ? purgeResult : undefined
    case 'repair':
      return (await repair(context)) ? (hash) => repairResult(hash, spec) : undefined
  }
}

// A right missing inside a script would stop it half way, and the server does not say which one it was.
async function requireRights(context: WorkerContext): Promise<void> {
  const rights = await persist(context, () => checkRights(context))
  if (!rights.known) context.logger.warn('the rights of the Redis user cannot be told', { why: rights.why })
  else if (rights.missing.length > 0) throw new WorkRefused(missingRights(rights))
}
