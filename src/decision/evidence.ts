import type { StatusEvidence } from '../api/status.ts'
import type { RoutingState } from '../protocol/phases.ts'
import type { WorkObservation } from './types.ts'

/** Pieces of evidence that a routing state needs before its soak counts and before it is left forward. */
export type ProofName = 'verifiedTarget' | 'backfill' | 'verifiedBoth'

export function neededProofs(state: RoutingState): readonly ProofName[] {
  switch (state.phase) {
    case 'Legacy':
      return []
    case 'DualWrite':
      return state.createTarget === 100 ? ['verifiedTarget'] : []
    case 'ReadRouting':
      return ['verifiedTarget']
    case 'BackfillVerify':
      return ['backfill', 'verifiedBoth']
  }
}

export function isProven(evidence: StatusEvidence | undefined, state: RoutingState): boolean {
  return neededProofs(state).every((name) => evidence?.[name] !== undefined)
}

/**
 * Evidence under a routing published as `epoch`: void once creates fall below 100 %, and based anew on the epoch that
 * reaches it, because that epoch's fence is the first to shut out the others.
 */
export function evidenceUnder(
  before: StatusEvidence | undefined,
  state: RoutingState,
  epoch: number,
  lineage: string,
): StatusEvidence | undefined {
  if (state.createTarget < 100) return undefined
  return before ?? { lineage, baseEpoch: epoch }
}

/** The same evidence for another lineage of Redis: nothing proven. */
export function withoutProofs(evidence: StatusEvidence, lineage: string): StatusEvidence {
  return { lineage, baseEpoch: evidence.baseEpoch }
}

export function hasProofs(evidence: StatusEvidence | undefined): boolean {
  return (['verifiedTarget', 'backfill', 'verifiedBoth'] as const).some((name) => evidence?.[name] !== undefined)
}

/** Whether what a worker did stands: begun under an epoch with all creates on both schemas, on one lineage throughout. */
export function standsFor(evidence: StatusEvidence | undefined, work: WorkObservation): boolean {
  return evidence !== undefined && work.lineage === evidence.lineage && work.epoch >= evidence.baseEpoch
}
