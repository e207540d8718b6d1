import { durationMs } from '../api/resource.ts'
import type { Spec } from '../api/schema.ts'
import { PHASES, phaseIndex, rampPercent, routingState, type Phase, type RoutingState } from '../protocol/phases.ts'

/** One rung: a routing state and the soak it must hold before the next one, ms. */
export interface Rung {
  readonly state: RoutingState
  readonly soakMs: number
}

type Walkable = Pick<Spec, 'phases' | 'targetPhase'>

/** Rungs of one phase, lowest first. `cap` (percent) ends the ramp: steps above it are skipped, it is the last step. */
export function rungsOf(spec: Pick<Spec, 'phases'>, phase: Phase, cap = 100): readonly Rung[] {
  if (phase === 'Legacy') return [{ state: routingState(phase, 0, 0), soakMs: 0 }]
  if (phase === 'BackfillVerify')
    return [{ state: routingState(phase, 0, 100), soakMs: durationMs(spec.phases.backfillVerify.soak) }]
  const listed = (phase === 'DualWrite' ? spec.phases.dualWrite : spec.phases.readRouting).steps
  const steps = [...listed].sort((a, b) => a.percent - b.percent)
  // The cap, like the implied 100, soaks as long as the step that it stands in for.
  const standIn = steps.find(({ percent }) => percent >= cap) ?? steps.at(-1)
  const percents = [...steps.filter(({ percent }) => percent < cap), { percent: cap, soak: standIn?.soak ?? '0s' }]
  return percents.map(({ percent, soak }, step) => ({
    state: routingState(phase, step, percent),
    soakMs: durationMs(soak),
  }))
}

/** Negative when `a` lies before `b` on the way from Legacy, 0 when they route alike. */
export function compareStates(a: RoutingState, b: RoutingState): number {
  return phaseIndex(a.phase) - phaseIndex(b.phase) || (rampPercent(a) ?? 0) - (rampPercent(b) ?? 0)
}

/** Where a walk to `phase` ends. `cap` counts only where the phase ramps something. */
export function destinationOf(spec: Pick<Spec, 'phases'>, phase: Phase, cap: number): RoutingState {
  return lastOf(rungsOf(spec, phase, cap)).state
}

/**
 * The next routing state on the way forward from `from` to `destination`, which must lie ahead: the next step of the
 * phase, or the first step of the next phase. Phases passed on the way ramp to 100 %.
 */
export function nextState(spec: Pick<Spec, 'phases'>, from: RoutingState, destination: RoutingState): RoutingState {
  const rungs = (phase: Phase): readonly Rung[] =>
    rungsOf(spec, phase, phase === destination.phase ? (rampPercent(destination) ?? 100) : 100)
  const ahead = rungs(from.phase).find(({ state }) => compareStates(state, from) > 0)
  if (ahead !== undefined) return ahead.state
  const next = PHASES[phaseIndex(from.phase) + 1] ?? from.phase
  return (rungs(next)[0] ?? lastOf(rungs(next))).state
}

/**
 * The next routing state on the way back from `from` to `destination`, which must lie behind: within the phase at once
 * the percentage asked for, else the last step (100 %) of the phase before.
 */
export function previousState(spec: Pick<Spec, 'phases'>, from: RoutingState, destination: RoutingState): RoutingState {
  if (from.phase === destination.phase) return destination
  const before = PHASES[phaseIndex(from.phase) - 1] ?? 'Legacy'
  return destinationOf(spec, before, 100)
}

/** Soak of the state in force, ms; a percentage that is no step of the spec any more soaks as the next step would. */
export function soakMsOf(spec: Walkable, state: RoutingState): number {
  return lastOf(rungsOf(spec, state.phase, rampPercent(state) ?? 100)).soakMs
}

/** The state for people, for example `DualWrite 10 %`. */
export function stateText(state: RoutingState): string {
  const percent = rampPercent(state)
  return percent === undefined ? state.phase : `${state.phase} ${percent} %`
}

function lastOf<T>(items: readonly T[]): T {
  const last = items.at(-1)
  if (last === undefined) throw new Error('a phase has at least one rung')
  return last
}
