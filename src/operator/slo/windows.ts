import { durationMs } from '../../api/resource.ts'
import type { CheckSpec } from '../../api/schema.ts'
import type { CheckMeasurement } from '../../decision/types.ts'

/** A shorter window would ask Prometheus faster than it scrapes. */
const SHORTEST_WINDOW_MS = 1000

/** Time between two measurements of a check, ms: its interval, or the soak where that is shorter. */
export function intervalOf(check: CheckSpec, soakMs: number | undefined): number {
  return Math.max(SHORTEST_WINDOW_MS, Math.min(durationMs(check.interval), soakMs ?? Infinity))
}

/** Length of the windows that a soak is judged in: that of the check measured most often. */
export function windowLength(checks: readonly CheckSpec[], soakMs: number | undefined): number {
  return Math.min(...checks.map((check) => intervalOf(check, soakMs)))
}

/** Ends of the whole windows between `through` and `now`, at most `limit`, oldest first. */
export function windowEnds(through: number, now: number, length: number, limit: number): readonly number[] {
  const count = Math.min(limit, Math.max(0, Math.floor((now - through) / length)))
  return Array.from({ length: count }, (_, i) => through + (i + 1) * length)
}

/**
 * What a window says of a check that was not due in it. A pass stands until the next measurement; anything else
 * keeps the window from passing, but is not the same failure counted twice.
 */
export function carried(last: CheckMeasurement): CheckMeasurement {
  if (last.outcome === 'Pass') return last
  return { ...last, outcome: 'Inconclusive', message: `not measured again since: ${last.message}`.slice(0, 512) }
}
