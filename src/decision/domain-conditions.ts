import type { Status } from '../api/status.ts'
import { isPhase, phaseIndex, type Phase } from '../protocol/phases.ts'
import type { ConditionNote } from './conditions.ts'
import { count } from './text.ts'
import type { Convergence } from './convergence.ts'
import { worstNote } from './checks.ts'

/** The conditions that speak of the migration itself, as far as status alone tells. */
export function domainNotes(status: Status, paused: boolean, unchecked: boolean): readonly ConditionNote[] {
  return [sloHealthy(status, unchecked), backfillComplete(status), verified(status), pausedNote(paused)]
}

export function convergedNote({ converged, reason, message }: Convergence): ConditionNote {
  return {
    type: 'Converged',
    status: converged === undefined ? 'Unknown' : converged ? 'True' : 'False',
    reason,
    message,
  }
}

function sloHealthy(status: Status, unchecked: boolean): ConditionNote {
  const type = 'SLOHealthy'
  if (unchecked) return { type, status: 'Unknown', reason: 'ChecksDisabled', message: 'slo.disabled is true' }
  const checks = status.checks ?? []
  if (checks.length === 0) return { type, status: 'Unknown', reason: 'ChecksPending', message: 'not measured yet' }
  const worst = worstNote(checks)
  if (worst !== undefined) return { type, status: worst.reason === 'CheckFailing' ? 'False' : 'Unknown', ...worst }
  return { type, status: 'True', reason: 'ChecksPass', message: `${count(checks.length, 'check')} passed` }
}

function backfillComplete({ phase, evidence }: Status): ConditionNote {
  const type = 'BackfillComplete'
  if (evidence?.backfill !== undefined)
    return { type, status: 'True', reason: 'BackfillComplete', message: `by ${evidence.backfill.job}` }
  return isFrom(phase, 'ReadRouting')
    ? { type, status: 'False', reason: 'BackfillRunning', message: evidence?.voided ?? '' }
    : { type, status: 'False', reason: 'NotStarted', message: 'backfill runs from ReadRouting on' }
}

function verified({ phase, evidence, work, canaryPercentage }: Status): ConditionNote {
  const type = 'Verified'
  const proof = phase === 'BackfillVerify' ? evidence?.verifiedBoth : evidence?.verifiedTarget
  if (proof !== undefined) return { type, status: 'True', reason: 'Verified', message: `by ${proof.job}` }
  const account = work?.['verify']
  if (account?.state === 'Held' && account.reason === 'VerifyFailed')
    return { type, status: 'False', reason: 'VerifyFailed', message: account.message ?? '' }
  const starts = isFrom(phase, 'ReadRouting') || (phase === 'DualWrite' && canaryPercentage === 100)
  return starts
    ? { type, status: 'False', reason: 'VerifyRunning', message: evidence?.voided ?? '' }
    : { type, status: 'False', reason: 'NotStarted', message: 'verify runs from DualWrite 100 % on' }
}

function pausedNote(paused: boolean): ConditionNote {
  return paused
    ? { type: 'Paused', status: 'True', reason: 'Paused', message: 'spec.paused is true' }
    : { type: 'Paused', status: 'False', reason: 'NotPaused', message: '' }
}

function isFrom(phase: Status['phase'], from: Phase): boolean {
  return isPhase(phase) && phaseIndex(phase) >= phaseIndex(from)
}
