import type { CheckSpec } from '../../api/schema.ts'
import type { CheckMeasurement } from '../../decision/types.ts'
import type { PrometheusClient } from '../../prometheus/client.ts'
import { Activity } from './activity.ts'
import { elementName } from './judge.ts'

const HOUR_MS = 3_600_000
const SEED_STEP_MS = 60_000

/** What is remembered of one check between its measurements. */
export class CheckState {
  readonly check: CheckSpec
  readonly activity = new Activity()
  measuredAt = -Infinity
  last: CheckMeasurement | undefined
  #seeded = false

  constructor(check: CheckSpec) {
    this.check = check
  }

  /** What was measured before proves nothing any more; which workspaces were active does. */
  forgetMeasurement(): void {
    this.measuredAt = -Infinity
    this.last = undefined
  }

  /** After a restart the last hour's workspaces are read back, or a store that went away meanwhile would pass unseen. */
  async seed(client: PrometheusClient, before: number, signal: AbortSignal): Promise<void> {
    if (this.#seeded) return
    const { query } = this.check
    const range = { query, start: before - HOUR_MS, end: before - SEED_STEP_MS, stepMs: SEED_STEP_MS }
    const answer = await client.range(range, signal)
    if (answer.kind === 'failed') return
    this.#seeded = true
    const seen = answer.series.flatMap(({ labels, points }) => {
      const last = points.findLast(({ value }) => !Number.isNaN(value))
      const name = elementName({ labels, value: 0 })
      return last === undefined || name === '' ? [] : [{ name, time: last.time }]
    })
    for (const { name, time } of seen.sort((a, b) => a.time - b.time)) this.activity.see([name], time)
  }
}

/** States of checks that are the same as before are kept; a changed check starts anew, and all do under `forget`. */
export function nextStates(
  before: ReadonlyMap<string, CheckState>,
  checks: readonly CheckSpec[],
  forget: boolean,
): Map<string, CheckState> {
  return new Map(
    checks.map((check) => {
      const known = before.get(check.name)
      const same = !forget && known !== undefined && JSON.stringify(known.check) === JSON.stringify(check)
      return [check.name, same ? known : new CheckState(check)] as const
    }),
  )
}
