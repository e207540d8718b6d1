import { REASONS, type Reason } from '../api/reasons.ts'
import { keysOf, type JobKeyMigration } from '../api/resource.ts'
import { TemplateError } from '../protocol/templates.ts'
import { conclude } from './conclude.ts'
import { decidePass } from './pass.ts'
import { documentFits } from './publish.ts'
import { documentInput, makeScene } from './scene.ts'
import type { Decide, Decision } from './types.ts'
import { verdict, type Verdict } from './verdict.ts'

/**
 * The operator's head: what status shall say and what is to be done, from the spec, the status so far and what was
 * observed. Never throws on a spec that the CRD accepts.
 */
export const decide: Decide = (resource, observations, now) => {
  // Deleting freezes: routing, data and record stay as they are.
  if (resource.metadata.deletionTimestamp !== undefined)
    return { status: resource.status ?? {}, actions: [], events: [], requeueAfterMs: 60_000, wantsLive: false }
  const fault = faultIn(resource)
  if (fault !== undefined) return hold(resource, verdict('stalled', 'InvalidSpec', fault), now)
  const { redis } = observations
  if (!redis.known) return hold(resource, verdict('waiting', knownReason(redis.reason), redis.message), now)
  return decidePass(makeScene(resource, observations, redis.value, now))
}

/** Nothing is done and nothing is taken back. */
function hold(resource: JobKeyMigration, held: Verdict, now: number): Decision {
  return conclude({ resource, now, status: resource.status ?? {}, verdict: held, actions: [], events: [] })
}

function faultIn({ spec, metadata }: JobKeyMigration): string | undefined {
  try {
    keysOf(spec)
  } catch (error) {
    if (error instanceof TemplateError) return error.message
    throw error
  }
  return documentFits(documentInput(spec, metadata.name))
    ? undefined
    : 'the routing document is too long: shorten the templates or the keys of keys.queues'
}

function knownReason(reason: string): Reason {
  return reason in REASONS ? (reason as Reason) : 'RedisUnreachable'
}
