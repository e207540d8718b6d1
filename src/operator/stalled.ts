import type { Reason } from '../api/reasons.ts'
import type { JobKeyMigration } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import { kstatusNotes, withConditions } from '../decision/conditions.ts'
import { awaitsLine, verdict } from '../decision/verdict.ts'

/**
 * The status of a resource that cannot be worked on at all, before any decision: everything known is kept, the conditions say
 * why. `now`: ms since 1970.
 */
export function stalledStatus(resource: JobKeyMigration, reason: Reason, message: string, now: number): Status {
  const { generation } = resource.metadata
  const stalled = verdict('stalled', reason, message)
  const status = { ...resource.status, observedGeneration: generation, awaits: awaitsLine(stalled) }
  return withConditions(status, kstatusNotes(stalled), generation, now)
}
