import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { noteChecks, overLimit, talliesOf, tally, windowPasses } from './checks.ts'
import type { Failure } from './failure.ts'
import type { Scene } from './scene.ts'
import type { JudgedWindow } from './soak.ts'
import { timeMs } from './time.ts'
import { uncounted } from './windows.ts'

const HOUR_MS = 3_600_000

export interface Judged {
  readonly status: Status
  /** Windows not counted yet, with their verdicts. */
  readonly windows: readonly JudgedWindow[]
  /** Write how far they are counted. */
  readonly refresh: boolean
  readonly failure?: Failure
}

/** Counts what the checks said since status was last written. In phase Legacy nothing is counted, only shown. */
export function judgeChecks(scene: Scene, status: Status, doc: RoutingDocument): Judged {
  const { checks, observations } = scene
  const through = doc.phase === 'Legacy' ? undefined : timeMs(status.soakCountedThrough)
  const fresh = through === undefined ? [] : uncounted(observations.windows, through)
  const tallies = fresh.reduce((sums, window) => tally(sums, checks, window), talliesOf(status.checks))
  const note = { before: status.checks, checks, latest: observations.latest, tallies }
  const changed = noteChecks({ ...note, refresh: false }) !== status.checks
  const hourly = through !== undefined && (fresh.at(-1)?.end ?? through) - through >= HOUR_MS
  const noted = noteChecks({ ...note, refresh: hourly })
  const over = doc.phase === 'Legacy' ? undefined : overLimit(checks, tallies)
  const shown = noted?.find(({ name }) => name === over?.name)?.message
  return {
    status: { ...status, checks: noted === undefined ? undefined : [...noted] },
    windows: fresh.map((window) => ({ start: window.start, end: window.end, passed: windowPasses(checks, window) })),
    refresh: changed || hourly,
    ...(over === undefined
      ? {}
      : {
          failure: {
            reason: 'CheckFailed',
            message: `check ${over.name} failed more than ${over.failureLimit} times${shown === undefined ? '' : `: ${shown}`}`,
          },
        }),
  }
}
