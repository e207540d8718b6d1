import { evidenceUnder, neededProofs } from '../../src/decision/evidence.ts'
import type { Status } from '../../src/api/status.ts'
import type { Scene } from '../../src/decision/scene.ts'
import { dueWork } from '../../src/decision/work.ts'
import type { RoutingState } from '../../src/protocol/phases.ts'
import { PLANNED_WORK, type PlannedState } from '../../src/protocol/planned.ts'
import { WORK_PHASES, type WorkKind } from '../../src/protocol/work.ts'
import { isOfProduct, rulesOf, type Rung } from './ladder.ts'
import type { Rules } from './rules.ts'
import { LOST, NEVER, OLD, WORK, type Age, type Proof, type State } from './state.ts'

/** Work of the phases of today and of the planned ones. */
export type Work = WorkKind | keyof typeof PLANNED_WORK

/** Whether a record that names this state lets the scripts of a worker do anything. */
export function allowsWork(work: Work, state: Rung): boolean {
  if (isOfProduct(state)) return work in WORK_PHASES && WORK_PHASES[work as WorkKind].includes(state.phase)
  return work in PLANNED_WORK && (PLANNED_WORK[work as 'verify'] as readonly PlannedState[]).includes(state.phase)
}

/** Which work finds it, and whether it needs a legacy key of every job. */
export const WORK_OF: Readonly<Record<Proof, Work>> = {
  verifiedTarget: 'verify',
  backfill: 'backfill',
  verifiedBoth: 'verify',
  reverse: 'reverseBackfill',
  verifiedCleanup: 'verify',
  deleted: 'deleteLegacy',
}

const PLANNED_PROOFS: Readonly<Record<PlannedState, readonly Proof[]>> = {
  NoFallback: ['verifiedBoth'],
  NoLegacyCreates: ['verifiedCleanup'],
  DeleteLegacy: ['deleted'],
  Completed: [],
}

/** What must be proven before a state is left forward. */
export function proofsNeeded(state: Rung): readonly Proof[] {
  return isOfProduct(state) ? neededProofs(state) : PLANNED_PROOFS[state.phase]
}

/** What must be proven before NoFallback is left in either direction, once jobs were made without legacy keys. */
export const PROVEN_BACK = WORK.reverse | WORK.verifiedBoth

/** What the phases of today prove; its work goes on from checkpoints. */
export const OF_PRODUCT = WORK.verifiedTarget | WORK.backfill | WORK.verifiedBoth

type Evidence = Pick<State, 'base' | 'back' | 'proofs' | 'looked' | 'halfway'>

/** Evidence under a state that is about to be published. */
export function evidenceAfter(s: Evidence, state: Rung, { baseEpoch, boundToBase }: Rules): Evidence {
  const older = (age: Age): Age => (age >= OLD ? age : age + 1)
  const base = !baseEpoch && state.createTarget < 100 ? older(s.base) : baseUnder(s.base, state)
  const { createLegacy } = rulesOf(state)
  const whole = (s.proofs & PROVEN_BACK) === PROVEN_BACK
  const back = !createLegacy ? LOST : s.back === LOST ? 0 : whole && s.back !== NEVER ? NEVER : older(s.back)
  // Jobs without a legacy key are extra to a verify of both sides; of the others only the cleanup asks.
  const lasting = createLegacy
    ? ~(WORK.verifiedCleanup | WORK.deleted | (back === NEVER ? WORK.reverse : 0))
    : ~(WORK.verifiedTarget | WORK.verifiedBoth | WORK.reverse)
  const allowed = Object.entries(WORK).reduce(
    (bits, [name, bit]) => (allowsWork(WORK_OF[name as Proof], state) ? bits | bit : bits),
    0,
  )
  // The rule off: a result counts whatever epoch its work began under.
  const anyEpoch = boundToBase ? 0 : OF_PRODUCT
  if (base === NEVER) return { base, back, proofs: 0, looked: s.looked & anyEpoch, halfway: 0 }
  const looked = s.looked & lasting & (allowed | anyEpoch)
  // One that waits for its next attempt is not closed by a phase that does not allow its work.
  return { base, back, proofs: s.proofs & lasting, looked, halfway: s.halfway & lasting }
}

const EPOCH = 9
const LINEAGE = 'lineage'

/** Age of the evidence's base under a state that is about to be published; NEVER: no evidence. */
function baseUnder(base: Age, state: Rung): Age {
  const before = base === NEVER ? undefined : { lineage: LINEAGE, baseEpoch: EPOCH - 1 - base }
  const after = evidenceUnder(before, state as RoutingState, EPOCH, LINEAGE)
  return after === undefined ? NEVER : Math.min(OLD, EPOCH - after.baseEpoch)
}

export interface Known {
  readonly converged: boolean
  readonly base: Age
  readonly back: Age
  readonly proofs: number
  readonly fence: Age | undefined
}

/** The proofs that the operator lets a worker look for now. */
export function workDue(state: Rung, known: Known, { reverseBehindFence }: Rules): readonly Proof[] {
  const { converged, base, back, proofs, fence } = known
  const lacks = (proof: Proof): boolean => (proofs & WORK[proof]) === 0
  if (back !== NEVER && back !== LOST && lacks('reverse'))
    return converged && fence !== undefined && (fence <= back || !reverseBehindFence) ? ['reverse'] : []
  if (isOfProduct(state)) return productDue(state, known)
  if (!converged || fence === undefined || fence > base) return []
  return proofsNeeded(state).filter(lacks)
}

function productDue(state: RoutingState, at: Known): readonly Proof[] {
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
