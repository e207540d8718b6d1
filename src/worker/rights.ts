import { keyshiftRights, grantText, workerRights, type NeededRight, type RightsInput } from '../redis/rights.ts'
import { answerOf, dryRun, tryRun, type Ask } from '../redis/rights-check.ts'
import type { WorkerContext } from './context.ts'

export type Rights =
  | {
      readonly known: true
      readonly user: string
      readonly missing: readonly string[]
      /** Rights without which it cannot be told who else writes, and what users of the application may do. */
      readonly advised: readonly string[]
    }
  | { readonly known: false; readonly why: string }

/** What to do about missing rights. */
export function missingRights({ user, missing }: Extract<Rights, { known: true }>): string {
  return `the Redis user ${user} lacks rights: ${grantText(user, missing)}`
}

/** What to do where it cannot be told who else writes. */
export function advisedRights({ user, advised }: Extract<Rights, { known: true }>): string {
  return `who else writes, and whether the application's Redis users have their rights, cannot be told: ${grantText(user, advised)}`
}

type Io = Pick<WorkerContext, 'redis' | 'limits' | 'work'>

/**
 * Asks for all rights at once: by ACL DRYRUN those of the operator too, which has the same user, or, where that is refused, by
 * running each command of the work on keys that are not there.
 * @throws NotReady, UnknownOutcome
 */
export async function checkRights(io: Io): Promise<Rights> {
  const { spec, templates } = io.work
  const input: RightsInput = { templates, workspaceField: spec.workspaceField, queues: spec.queues }
  const ask: Ask = (args) => io.redis.call(args, { deadlineMs: io.limits.callMs })
  const whoami = await answerOf(ask, ['ACL', 'WHOAMI'])
  const user = whoami.ok ? String(whoami.value) : '<user>'
  if (whoami.ok) {
    const all = spec.kind === 'preflight' ? keyshiftRights(input) : workerRights(input)
    const missing = await dryRun(ask, user, demanded(all))
    const advised = await dryRun(
      ask,
      user,
      all.filter(({ tells }) => tells === 'writers'),
    )
    if (missing !== undefined && advised !== undefined) return { known: true, user, missing, advised }
  }
  const missing = await tryRun(ask, demanded(workerRights(input)))
  if (missing !== undefined) return { known: true, user, missing, advised: ['+acl|whoami', '+acl|dryrun'] }
  return { known: false, why: 'the server neither answers ACL DRYRUN nor lets the commands be tried' }
}

function demanded(needed: readonly NeededRight[]): readonly NeededRight[] {
  return needed.filter(({ tells }) => tells === undefined)
}
