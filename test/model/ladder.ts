import type { Spec } from '../../src/api/schema.ts'
import type { Status } from '../../src/api/status.ts'
import { evidenceUnder } from '../../src/decision/evidence.ts'
import { rungsOf } from '../../src/decision/ladder.ts'
import type { Scene } from '../../src/decision/scene.ts'
import { nextStep } from '../../src/decision/walk.ts'
import { dueWork } from '../../src/decision/work.ts'
import { isSelected } from '../../src/protocol/bucket.ts'
import { makeDocument, type DocumentInput, type RoutingDocument } from '../../src/protocol/document.ts'
import { PHASES, ROUTING_TABLE, type RoutingState } from '../../src/protocol/phases.ts'
import { NEVER, OLD, WORK, type Age, type Proof } from './state.ts'

/** What one operation does under one routing state, for the one job of the model: read from the product's table. */
export interface Route {
  readonly order: 'L' | 'LT' | 'TL'
  readonly fallback: boolean
  readonly createLegacy: boolean
  readonly createTarget: boolean
}

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

/** Every routing state that the walk of the model can be in, lowest first. */
export function rungs(): readonly RoutingState[] {
  return PHASES.flatMap((phase) => rungsOf({ phases: PHASES_SPEC }, phase).map(({ state }) => state))
}

/** An id that ramps at 50 % select, or one that they do not. */
export function jobId(selected: boolean): string {
  for (let i = 0; ; i += 1) if (isSelected(INPUT.name, `j${i}`, 50) === selected) return `j${i}`
}

export function routeOf(state: RoutingState, selected: boolean): Route {
  const rules = ROUTING_TABLE[state.phase]
  const takes = (percent: number): boolean => isSelected(INPUT.name, jobId(selected), percent)
  const both = rules.existence === 'either'
  return {
    order: !both ? 'L' : takes(state.readTarget) ? 'TL' : 'LT',
    // Where legacy alone is read there is nothing to fall back to.
    fallback: rules.fallback || !both,
    createLegacy: rules.createLegacy,
    createTarget: takes(state.createTarget),
  }
}

export interface WantedStep {
  readonly kind: 'abort' | 'back' | 'forward' | 'redocument'
  readonly rung: number
}

/** Every step that the product's walk takes from here, over all that a spec may ask for. */
export function stepsFrom(
  all: readonly RoutingState[],
  from: {
    readonly at: number
    readonly before: number | undefined
    readonly aborted: boolean
    readonly converged: boolean
  },
): readonly WantedStep[] {
  const found = new Map<string, WantedStep>()
  for (const targetPhase of PHASES)
    for (const canaryPercentage of [50, 100])
      for (const lastCap of [undefined, { targetPhase, canaryPercentage }]) {
        const scene = { spec: { targetPhase, canaryPercentage, phases: PHASES_SPEC }, input: INPUT } as unknown as Scene
        const status: Status = {
          ...(from.before === undefined ? {} : { previous: all[from.before] }),
          ...(from.aborted ? { isAbort: true } : {}),
          ...(from.converged ? { convergedAt: '2026-01-01T00:00:00.000Z' } : {}),
          ...(lastCap === undefined ? {} : { lastCap }),
        }
        const step = nextStep(scene, status, documentAt(all, from.at))
        if (step.kind === 'rest') continue
        const rung = all.findIndex((one) => same(one, step.state))
        if (rung < 0) throw new Error(`the walk leaves the rungs of the model: ${JSON.stringify(step.state)}`)
        found.set(`${step.kind} ${rung}`, { kind: step.kind, rung })
      }
  return [...found.values()]
}

function documentAt(all: readonly RoutingState[], at: number): RoutingDocument {
  return makeDocument(INPUT, all[at] as RoutingState, 9)
}

function same(a: RoutingState, b: RoutingState): boolean {
  return a.phase === b.phase && a.createTarget === b.createTarget && a.readTarget === b.readTarget
}

const EPOCH = 9
const LINEAGE = 'lineage'

/** Age of the evidence's base under a state that is about to be published; NEVER: no evidence. */
export function baseUnder(base: Age, state: RoutingState): Age {
  const before = base === NEVER ? undefined : { lineage: LINEAGE, baseEpoch: EPOCH - 1 - base }
  const after = evidenceUnder(before, state, EPOCH, LINEAGE)
  return after === undefined ? NEVER : Math.min(OLD, EPOCH - after.baseEpoch)
}

/** The proof that the product's operator lets a worker look for now. */
export function workDue(
  state: RoutingState,
  at: { readonly converged: boolean; readonly base: Age; readonly proofs: number; readonly fence: Age | undefined },
): readonly Proof[] {
  if (state.phase === 'Legacy') return []
  const proof = { job: '', epoch: 1, at: '' }
  const evidence =
    at.base === NEVER
      ? undefined
      : {
          lineage: LINEAGE,
          baseEpoch: EPOCH - at.base,
          ...Object.fromEntries(
            Object.entries(WORK)
              .filter(([, bit]) => (at.proofs & bit) !== 0)
              .map(([name]) => [name, proof]),
          ),
        }
  const scene = {
    resource: { metadata: {} },
    redis: { record: { epoch: EPOCH }, fence: at.fence === undefined ? undefined : EPOCH - at.fence },
  } as unknown as Scene
  const status = {
    epoch: EPOCH,
    ...(at.converged ? { convergedAt: '2026-01-01T00:00:00.000Z' } : {}),
    ...(evidence === undefined ? {} : { evidence }),
  } as Status
  return dueWork({ scene, status, state, heading: 0, unaware: false }).map(({ kind, direction }) =>
    kind === 'backfill' ? 'backfill' : direction === 'Both' ? 'verifiedBoth' : 'verifiedTarget',
  )
}
