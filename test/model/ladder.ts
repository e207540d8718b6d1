import type { Spec } from '../../src/api/schema.ts'
import type { Status } from '../../src/api/status.ts'
import { rungsOf, stateText } from '../../src/decision/ladder.ts'
import type { Scene } from '../../src/decision/scene.ts'
import { nextStep } from '../../src/decision/walk.ts'
import { isSelected } from '../../src/protocol/bucket.ts'
import { makeDocument, type DocumentInput } from '../../src/protocol/document.ts'
import { isPhase, PHASES, ROUTING_TABLE, type PhaseRules, type RoutingState } from '../../src/protocol/phases.ts'
import { PLANNED_STATES, PLANNED_TABLE, type PlannedRules, type PlannedState } from '../../src/protocol/planned.ts'

/** What one operation does under one routing state, for the one job of the model: read from the product's table. */
export interface Route {
  readonly order: 'L' | 'LT' | 'TL'
  readonly fallback: boolean
  readonly createLegacy: boolean
  readonly createTarget: boolean
  /** Left out: it knows no owner keys. */
  readonly owner?: PlannedRules['owner']
}

/** A routing state of the whole table: the phases of today, then those that are planned. */
export type Rung = RoutingState | (Omit<RoutingState, 'phase'> & { readonly phase: PlannedState })

export const INPUT: DocumentInput = {
  name: 'ai-jobs',
  canaryBy: 'Job',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  queues: [],
}

const PHASES_SPEC: Spec['phases'] = {
  dualWrite: { steps: [{ percent: 50, soak: '1h' }] },
  readRouting: { steps: [{ percent: 50, soak: '1h' }] },
  backfillVerify: { soak: '1h' },
}

/** Every routing state that the walk of the product can be in, lowest first. */
export function productRungs(): readonly RoutingState[] {
  return PHASES.flatMap((phase) => rungsOf({ phases: PHASES_SPEC }, phase).map(({ state }) => state))
}

/** Every routing state of the model: those of the product, and the planned ones. */
export function rungs(): readonly Rung[] {
  const percent = (share: number | 'ramp'): number => (share === 'ramp' ? 100 : share)
  const planned = PLANNED_STATES.map((phase) => {
    const { createTarget, readTarget } = PLANNED_TABLE[phase]
    return { phase, step: 0, createTarget: percent(createTarget), readTarget: percent(readTarget) }
  })
  return [...productRungs(), ...planned]
}

export function isOfProduct(state: Rung): state is RoutingState {
  return isPhase(state.phase)
}

export function rulesOf({ phase }: Rung): PhaseRules & Partial<PlannedRules> {
  return isPhase(phase) ? ROUTING_TABLE[phase] : PLANNED_TABLE[phase]
}

export function rungText(state: Rung): string {
  return isOfProduct(state) ? stateText(state) : state.phase
}

/** An id that ramps at 50 % select, or one that they do not. */
export function jobId(selected: boolean): string {
  for (let i = 0; ; i += 1) if (isSelected(INPUT.name, `j${i}`, 50) === selected) return `j${i}`
}

export function routeOf(state: Rung, selected: boolean): Route {
  const rules = rulesOf(state)
  const takes = (percent: number): boolean => isSelected(INPUT.name, jobId(selected), percent)
  const both = rules.existence === 'either'
  return {
    order: !both ? 'L' : takes(state.readTarget) ? 'TL' : 'LT',
    // Where legacy alone is read there is nothing to fall back to.
    fallback: rules.fallback || !both,
    createLegacy: rules.createLegacy,
    createTarget: takes(state.createTarget),
    ...(rules.owner === undefined ? {} : { owner: rules.owner }),
  }
}

export interface WantedStep {
  readonly kind: 'abort' | 'back' | 'forward' | 'redocument'
  readonly rung: number
}

export interface From {
  readonly at: number
  /** The rung before, where a step forward led here that may be taken back. */
  readonly before: number | undefined
  readonly converged: boolean
}

/** Every step that the walk takes from here, over all that a spec may ask for. */
export function stepsFrom(all: readonly Rung[], from: From): readonly WantedStep[] {
  const phase = (all[from.at] as Rung).phase
  const at = (name: Rung['phase']): number => all.findIndex((one) => one.phase === name)
  const forward = { kind: 'forward', rung: from.at + 1 } as const
  const back = (rung: number): WantedStep =>
    from.before !== undefined && !from.converged ? { kind: 'abort', rung: from.before } : { kind: 'back', rung }
  switch (phase) {
    case 'BackfillVerify':
      return [...productSteps(all, from), forward]
    case 'NoFallback':
      return [back(at('BackfillVerify')), forward]
    case 'NoLegacyCreates':
    case 'DeleteLegacy':
      return [back(at('NoFallback')), forward]
    case 'Completed':
      // No way back: from here on the same job id may be given in two workspaces.
      return []
    default:
      return productSteps(all, from)
  }
}

function productSteps(all: readonly Rung[], from: From): readonly WantedStep[] {
  const state = (rung: number): RoutingState => all[rung] as RoutingState
  const found = new Map<string, WantedStep>()
  for (const targetPhase of PHASES)
    for (const canaryPercentage of [50, 100])
      for (const lastCap of [undefined, { targetPhase, canaryPercentage }]) {
        const scene = { spec: { targetPhase, canaryPercentage, phases: PHASES_SPEC }, input: INPUT } as unknown as Scene
        const status: Status = {
          ...(from.before === undefined ? {} : { previous: state(from.before) }),
          ...(from.converged ? { convergedAt: '2026-01-01T00:00:00.000Z' } : {}),
          ...(lastCap === undefined ? {} : { lastCap }),
        }
        const step = nextStep(scene, status, makeDocument(INPUT, state(from.at), 9))
        if (step.kind === 'rest') continue
        const rung = all.findIndex((one) => same(one, step.state))
        if (rung < 0) throw new Error(`the walk leaves the rungs of the model: ${JSON.stringify(step.state)}`)
        found.set(`${step.kind} ${rung}`, { kind: step.kind, rung })
      }
  return [...found.values()]
}

function same(a: Rung, b: Rung): boolean {
  return a.phase === b.phase && a.createTarget === b.createTarget && a.readTarget === b.readTarget
}
