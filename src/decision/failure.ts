import type { Reason } from '../api/reasons.ts'
import type { Spec } from '../api/schema.ts'
import type { Status, StatusFailed } from '../api/status.ts'
import type { Phase, RoutingState } from '../protocol/phases.ts'
import { compareStates, destinationOf } from './ladder.ts'
import type { Scene } from './scene.ts'
import { cut } from './text.ts'
import { isoTime } from './time.ts'
import { askedDestination } from './walk.ts'

export interface Failure {
  readonly reason: Reason
  readonly message: string
}

/** Where a failure sends the walk. Lost data is no reason to go back: it is as lost there. */
export function failureDestination(phase: Phase, onFailure: Spec['slo']['onFailure'], reason: Reason): Phase {
  if (onFailure === 'Pause' || reason === 'RedisDataLost') return phase
  return phase === 'ReadRouting' || phase === 'BackfillVerify' ? 'DualWrite' : 'Legacy'
}

/** Whether a person has answered the failure: by another target, another percentage, or a new retry annotation. */
export function isAnswered(scene: Scene, failed: StatusFailed): boolean {
  const { spec, retry } = scene
  return (
    spec.targetPhase !== failed.targetPhase ||
    spec.canaryPercentage !== failed.canaryPercentage ||
    (retry !== undefined && retry !== failed.retry)
  )
}

/** The latch that a failure in this state sets; undefined where it changes nothing. */
export function latch(scene: Scene, status: Status, state: RoutingState, failure: Failure): StatusFailed | undefined {
  const { spec, resource, retry, now } = scene
  if (state.phase === 'Legacy') return undefined
  const held = status.failed
  // On its way to where an earlier failure sent it, or held there by that failure.
  if (held !== undefined && (held.phase === state.phase || held.destination !== state.phase)) return undefined
  // A pod that is still there has sent the walk back already: once, as a check does that goes on failing.
  if (held?.reason === 'UnawarePod' && failure.reason === 'UnawarePod') return undefined
  const destination = failureDestination(state.phase, spec.slo.onFailure, failure.reason)
  if (failure.reason === 'CheckFailed' && goesBackAnyway(scene, status, state, destination)) return undefined
  return {
    phase: state.phase,
    step: state.step,
    generation: resource.metadata.generation,
    reason: failure.reason,
    message: cut(failure.message, 1024),
    at: isoTime(now),
    destination,
    targetPhase: spec.targetPhase,
    canaryPercentage: spec.canaryPercentage,
    ...(retry === undefined ? {} : { retry }),
  }
}

// A person who walks back because checks fail must not be stopped by these checks, least of all by onFailure: Pause.
function goesBackAnyway(scene: Scene, status: Status, state: RoutingState, destination: Phase): boolean {
  const asked = askedDestination(scene, status, state)
  const sent = destination === state.phase ? state : destinationOf(scene.spec, destination, 100)
  return compareStates(asked, state) < 0 && compareStates(asked, sent) <= 0
}
