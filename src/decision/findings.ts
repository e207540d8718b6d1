import type { Reason } from '../api/reasons.ts'
import type { Status } from '../api/status.ts'
import type { Finding, WorkResult } from '../protocol/work.ts'
import { cut, some } from './text.ts'

/** What a result holds against going on; undefined when nothing. */
export interface Objection {
  readonly reason: Reason
  readonly message: string
}

export function objectionTo(result: WorkResult): Objection | undefined {
  if (result.kind === 'preflight') {
    const { blockers } = result
    if (blockers.length === 0) return undefined
    const texts = blockers.map(({ reason, message }) => `${reason}: ${message}`)
    return { reason: 'PreflightBlocked', message: cut(some(texts, 5), 1024) }
  }
  if (result.kind === 'verify') {
    const { missing, different, orphan } = result
    const bad = different + orphan + (result.direction === 'Both' ? missing : 0)
    if (bad === 0) return undefined
    const keys = some(result.findings.map(nameFinding), 5)
    return {
      reason: 'VerifyFailed',
      message: cut(
        `${missing} missing, ${different} different, ${orphan} orphan of ${result.compared} compared: ${keys}`,
        1024,
      ),
    }
  }
  return undefined
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
