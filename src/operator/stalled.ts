import type { JobKeyMigration } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import { kstatusNotes, withConditions } from '../decision/conditions.ts'
import { awaitsLine, verdict, type Verdict } from '../decision/verdict.ts'
import { KubeError } from '../kube/errors.ts'

/**
 * The status of a resource that cannot be worked on at all, before any decision: everything known is kept, the conditions say
 * why. `now`: ms since 1970.
 */
export function heldStatus(resource: JobKeyMigration, held: Verdict, now: number): Status {
  const { generation } = resource.metadata
  const status = { ...resource.status, observedGeneration: generation, awaits: awaitsLine(held) }
  return withConditions(status, kstatusNotes(held), generation, now)
}

/** What an API server that is restarted takes is no news, ms. */
const BLIP_MS = 5000

/**
 * What is to be said of a pass that threw, for passes that have for `forMs`; undefined: nothing yet. A message of the API server
 * names verb, resource and namespace; one of the program may hold anything, and stays in the log.
 */
export function brokenVerdict(error: unknown, forMs: number): Verdict | undefined {
  if (!(error instanceof KubeError)) {
    const name = error instanceof Error ? error.name : 'an error'
    return verdict('stalled', 'OperatorFault', `the operator failed with ${name}; nothing is done until that passes`)
  }
  if (error.status === 401 || error.status === 403) return verdict('stalled', 'KubernetesRightsMissing', error.message)
  return forMs < BLIP_MS ? undefined : verdict('waiting', 'KubernetesUnavailable', error.message)
}
