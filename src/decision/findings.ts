import type { Reason } from '../api/reasons.ts'
import type { Status } from '../api/status.ts'
import type { Finding, WorkResult } from '../protocol/work.ts'
import { cut, some } from './text.ts'

/** What a result holds against going on; undefined when nothing. */
export interface Objection {
  readonly reason: Reason
  readonly message: string
}

/** @param allowEmpty keys.allowEmpty: there may be not one legacy key */
export function objectionTo(result: WorkResult, allowEmpty: boolean): Objection | undefined {
  if (result.kind === 'preflight') {
    const { blockers } = result
    if (blockers.length === 0) return undefined
    const texts = blockers.map(({ reason, message }) => `${reason}: ${message}`)
    return { reason: 'PreflightBlocked', message: cut(some(texts, 5), 1024) }
  }
  if (result.kind === 'verify') {
    const { missing, different, orphan } = result
    const bad = different + orphan + (result.direction === 'Both' ? missing : 0)
    const keys = some(result.findings.map(nameFinding), 5)
    const text = `${missing} missing, ${different} different, ${orphan} orphan of ${result.compared} compared: ${keys}`
    if (bad > 0) return { reason: 'VerifyFailed', message: cut(text, 1024) }
  }
  if (!allowEmpty && sawNothing(result))
    return { reason: 'NoLegacyKeys', message: `${result.kind} met not one legacy key` }
  return undefined
}

// Verify of the target alone may well meet nothing: before backfill new jobs alone are there.
function sawNothing(result: WorkResult): boolean {
  if (result.kind === 'backfill') return result.copied + result.present + result.malformed === 0
  return result.kind === 'verify' && result.direction === 'Both' && result.compared + result.malformed === 0
}

/** Malformed jobs as a result lists them; undefined where the result says nothing of them. */
export function malformedOf(result: WorkResult): Status['malformed'] {
  if (result.kind !== 'preflight' && result.kind !== 'verify') return undefined
  return {
    count: result.malformed,
    keys: result.malformedKeys.slice(0, 20).map((finding) => cut(nameFinding(finding), 320)),
  }
}

export function nameFinding({ key, why }: Finding): string {
  return `${key} (${why})`
}
