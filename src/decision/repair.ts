import type { Status } from '../api/status.ts'
import type { RepairResult, WorkResult } from '../protocol/work.ts'
import { closed, type Settled } from './accounts.ts'
import { hasProofs } from './evidence.ts'
import { nameFinding } from './findings.ts'
import type { Scene } from './scene.ts'
import { count, cut } from './text.ts'
import { isoTime } from './time.ts'

/** Keys of each sort that status lists. */
const SHOWN = 10

/** Takes a repair into account: verify runs again, and what it had proven of keys that were changed is void. */
export function recordRepair(
  scene: Scene,
  status: Status,
  { job, account }: NonNullable<Settled['proven']>,
  result: RepairResult,
): Status {
  const { copied, replaced, removed, left } = result
  const keys = [...result.findings.slice(0, SHOWN), ...result.leftKeys.slice(0, SHOWN).map(asLeft)]
  const repaired = {
    value: account.inputs ?? '',
    job,
    at: isoTime(scene.now),
    copied,
    replaced,
    removed,
    left,
    keys: keys.map((finding) => cut(nameFinding(finding), 320)),
  }
  const verify = status.work?.['verify']
  const work = verify === undefined ? status.work : { ...status.work, verify: closed(verify) }
  return { ...status, repaired, work, evidence: withoutVerify(status.evidence, result) }
}

/** Whether the result tells of keys that were not as they shall be. */
export function changedKeys(result: WorkResult | undefined): boolean {
  return result?.kind === 'repair' && changes(result) > 0
}

export function repairText({ copied, replaced, removed, left, findings }: RepairResult): string {
  const put = `made ${copied} missing targets, replaced ${replaced} different ones, took away ${removed} without a legacy key`
  const rest = left === 0 ? '' : `, left ${count(left, 'key')} alone that must be put right by hand`
  const keys = findings.length === 0 ? '' : `: ${findings.map(nameFinding).join(', ')}`
  return `${put}${rest}${keys}`
}

function withoutVerify(evidence: Status['evidence'], result: RepairResult): Status['evidence'] {
  if (evidence === undefined || changes(result) === 0) return evidence
  const { verifiedTarget: _target, verifiedBoth: _both, ...rest } = evidence
  return hasProofs(evidence) ? { ...rest, voided: `repair put ${count(changes(result), 'key')} right` } : rest
}

function changes({ copied, replaced, removed }: RepairResult): number {
  return copied + replaced + removed
}

function asLeft<T extends { readonly why: string }>(finding: T): T {
  return { ...finding, why: `left: ${finding.why}` }
}
