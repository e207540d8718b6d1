import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { phaseIndex, type RoutingState } from '../protocol/phases.ts'
import { membersAwaited } from './convergence.ts'
import { compareStates, destinationOf, nextState, previousState } from './ladder.ts'
import { stateOf, type Scene } from './scene.ts'
import { timeMs } from './time.ts'

/** Where the walk ends, as things stand. */
export function effectiveDestination(scene: Scene, status: Status, state: RoutingState): RoutingState {
  const asked = askedDestination(scene, status, state)
  const { failed } = status
  if (failed === undefined) return asked
  // Held where it is, but for a way back that was asked for before.
  if (failed.destination === failed.phase) return compareStates(asked, state) < 0 ? asked : state
  const safe = destinationOf(scene.spec, failed.destination, 100)
  return compareStates(safe, asked) < 0 ? safe : asked
}

/** Where the spec alone sends the walk. */
export function askedDestination(scene: Scene, status: Status, state: RoutingState): RoutingState {
  const { spec } = scene
  return destinationOf(spec, spec.targetPhase, isCapWaived(scene, status, state) ? 100 : spec.canaryPercentage)
}

// Creates that reach 100 % stay there on the way back: lowering them would void what has been proven of the data.
function isCapWaived(scene: Scene, status: Status, state: RoutingState): boolean {
  const { targetPhase, canaryPercentage } = scene.spec
  if (targetPhase !== 'DualWrite') return false
  return phaseIndex(state.phase) > phaseIndex('DualWrite') || status.lastCap?.canaryPercentage === canaryPercentage
}

export type Step =
  | { readonly kind: 'rest' }
  /** The same routing under a new epoch, because the spec changes what else the document says. */
  | { readonly kind: 'redocument'; readonly state: RoutingState }
  | { readonly kind: 'abort'; readonly state: RoutingState }
  | { readonly kind: 'back'; readonly state: RoutingState }
  | { readonly kind: 'forward'; readonly state: RoutingState }

/** The one step that the walk wants to take next; whether it may is for the gates. */
export function nextStep(scene: Scene, status: Status, doc: RoutingDocument): Step {
  const state = stateOf(doc)
  const destination = effectiveDestination(scene, status, state)
  const heading = compareStates(destination, state)
  if (heading < 0) {
    const before = abortable(status, state)
    if (before !== undefined) return { kind: 'abort', state: before }
    return { kind: 'back', state: previousState(scene.spec, state, destination) }
  }
  if (hasDrifted(scene, doc)) return { kind: 'redocument', state }
  if (heading === 0 || status.failed !== undefined) return { kind: 'rest' }
  return { kind: 'forward', state: nextState(scene.spec, state, destination) }
}

/** The walk is to go back, or has gone back and the clients have not been seen to follow. */
export function isOnWayBack(scene: Scene, status: Status, doc: RoutingDocument): boolean {
  const state = stateOf(doc)
  const { previous, convergedAt } = status
  const wentBack = convergedAt === undefined && previous !== undefined && compareStates(state, previous) < 0
  return wentBack || compareStates(effectiveDestination(scene, status, state), state) < 0
}

/** A step back waits for live members to follow the routing in force, but not longer than joinTimeout. */
export function mayStepBack(scene: Scene, status: Status, doc: RoutingDocument): boolean {
  const published = timeMs(status.publishedAt) ?? scene.now
  return membersAwaited(scene, status, doc).length === 0 || scene.now >= published + scene.joinTimeoutMs
}

/** Fields of the document that must not change once the migration has left Legacy, and differ from the spec. */
export function frozenDrift(scene: Scene, doc: RoutingDocument): readonly string[] {
  if (doc.phase === 'Legacy') return []
  const { input } = scene
  return [
    ...(doc.legacy === input.legacy ? [] : ['keys.legacy']),
    ...(doc.target === input.target ? [] : ['keys.target']),
    ...(doc.workspaceField === input.workspaceField ? [] : ['keys.workspaceField']),
    ...(doc.canaryBy === input.canaryBy ? [] : ['canary.by']),
  ]
}

// A forward step that has not converged is taken back without waiting: the two epochs of before are still the only ones
// that clients can be on. That happens once, because what came before the epoch of an abort lies ahead of it.
function abortable(status: Status, state: RoutingState): RoutingState | undefined {
  const { previous, convergedAt } = status
  if (previous === undefined || convergedAt !== undefined) return undefined
  return compareStates(previous, state) < 0 ? previous : undefined
}

/** Whether the spec says something else than the document in force, apart from the routing. */
export function hasDrifted(scene: Scene, doc: RoutingDocument): boolean {
  const { input } = scene
  return (
    doc.name !== input.name ||
    doc.legacy !== input.legacy ||
    doc.target !== input.target ||
    doc.workspaceField !== input.workspaceField ||
    doc.canaryBy !== input.canaryBy ||
    doc.queues.length !== input.queues.length ||
    doc.queues.some((queue, i) => queue !== input.queues[i])
  )
}
