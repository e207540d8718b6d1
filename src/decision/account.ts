import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import type { Convergence } from './convergence.ts'
import { note, type Draft } from './draft.ts'
import { isProven } from './evidence.ts'
import { voidEvidence } from './facts.ts'
import { isAnswered, latch, type Failure } from './failure.ts'
import { judgeChecks } from './judge.ts'
import { labour } from './labour.ts'
import { compareStates, soakMsOf } from './ladder.ts'
import { hasLostFence, lossIn } from './loss.ts'
import { answerOrders } from './orders.ts'
import { isInPlace, stateOf, type Scene } from './scene.ts'
import { countSoak, soakOf, withSoak } from './soak.ts'
import { isoTime } from './time.ts'
import type { EventNote } from './types.ts'
import { effectiveDestination } from './walk.ts'
import type { DueWork } from './work.ts'

export interface Account extends Draft {
  /** The soak of the state in force is earned in full. */
  readonly soaked: boolean
  readonly due: readonly DueWork[]
}

/** Convergence, checks, failures, evidence, work and soak, in this order. */
export function takeAccount(scene: Scene, seen: Draft, doc: RoutingDocument, convergence: Convergence): Account {
  const state = stateOf(doc)
  const events = [...seen.events]
  const unaware = convergence.unaware.length
  const released = release(scene, noteConverged(scene, seen.status, convergence))
  if (released.event !== undefined) events.push(released.event)
  const lost = lossIn(scene, released.status, doc)
  const judged = judgeChecks(scene, forgetPreflight(released.status, lost), doc)
  const failure = failureOf(scene, judged.status, judged.failure, convergence)
  const latched = fail(
    scene,
    judged.status,
    doc,
    lost === undefined ? failure : { reason: 'RedisDataLost', message: lost },
  )
  if (latched.event !== undefined) events.push(latched.event)
  else if (lost !== undefined) events.push(note('RedisDataLost', lost, 'Warning'))
  const voided = voidEvidence(scene, latched.status, doc, {
    unaware,
    lost: lost !== undefined,
    unfenced: hasLostFence(scene, latched.status, doc),
  })
  if (voided.event !== undefined) events.push(voided.event)
  const heading = compareStates(effectiveDestination(scene, voided.status, state), state)
  const answered = answerOrders(scene, voided.status, doc, heading)
  events.push(...answered.events)
  const worked = labour({ scene, status: answered.status, state, heading, unaware: unaware > 0 })
  events.push(...worked.events)
  if (doc.phase === 'Legacy') return { status: worked.status, events, soaked: true, due: worked.due }
  const before = seen.status
  const soak = countSoak({
    account: soakOf(worked.status),
    soakMs: soakMsOf(scene.spec, state),
    allowedBefore: before.convergedAt !== undefined && isProven(before.evidence, state),
    allowed: worked.status.convergedAt !== undefined && isProven(worked.status.evidence, state),
    reset: voided.resets || worked.resets,
    unchecked: scene.checks.length === 0,
    windows: judged.windows,
    refresh: judged.refresh,
    now: scene.now,
  })
  return { status: withSoak(worked.status, soak.account), events, soaked: soak.earned, due: worked.due }
}

interface Changed {
  readonly status: Status
  readonly event?: EventNote
}

function noteConverged(scene: Scene, status: Status, { converged }: Convergence): Status {
  if (status.convergedAt !== undefined || converged !== true || !isInPlace(scene, status)) return status
  return { ...status, convergedAt: isoTime(scene.now) }
}

/** Takes the latch off once a person has answered; failures are counted anew. */
function release(scene: Scene, status: Status): Changed {
  const { failed } = status
  if (failed === undefined || !isAnswered(scene, failed)) return { status }
  const checks = status.checks?.map((check) => ({ ...check, failures: 0 }))
  return {
    status: { ...status, failed: undefined, checks },
    event: note('Unlatched', `the failure at ${failed.phase} is answered: ${failed.reason}`),
  }
}

// What preflight found is of keys that are gone.
function forgetPreflight(status: Status, lost: string | undefined): Status {
  return lost === undefined ? status : { ...status, preflight: undefined }
}

function failureOf(
  scene: Scene,
  status: Status,
  checks: Failure | undefined,
  convergence: Convergence,
): Failure | undefined {
  if (convergence.unaware.length > 0 && isInPlace(scene, status))
    return { reason: 'UnawarePod', message: convergence.message }
  return checks
}

function fail(scene: Scene, status: Status, doc: RoutingDocument, failure: Failure | undefined): Changed {
  const failed = failure === undefined ? undefined : latch(scene, status, stateOf(doc), failure)
  if (failed === undefined) return { status }
  const goes =
    failed.destination === failed.phase ? 'the walk holds here' : `the walk goes back to ${failed.destination}`
  return {
    status: { ...status, failed },
    event: note(failed.reason as Failure['reason'], `${failed.message}; ${goes}`, 'Warning'),
  }
}
