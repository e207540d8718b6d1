import type { Clock } from './clock.ts'

/** Clocks further apart than this cannot work together: windows, soaks and the age of pods would be told wrong. ms. */
export const MAX_SKEW_MS = 60_000

/**
 * How far the local wall clock is ahead of a server's, ms, by the Date of an answer to what was sent at `sentAt`. Date has whole
 * seconds; an answer that was long under way says no more than it knows. Undefined where there is no Date.
 */
export function skewMs(date: string | undefined | null, sentAt: number, now: number): number | undefined {
  const at = Date.parse(date ?? '')
  if (Number.isNaN(at)) return undefined
  if (at + 1000 < sentAt) return sentAt - at
  return at > now ? now - at : 0
}

/** For people: which way a clock is off, and by how much. */
export function skewText(ms: number, server: string): string {
  const seconds = Math.round(Math.abs(ms) / 1000)
  return `the clock of the operator's node is ${seconds} s ${ms > 0 ? 'ahead of' : 'behind'} that of ${server}: put right the one that is wrong (NTP)`
}

/** The skew that the newest answer of one server tells. */
export class ClockSkew {
  readonly #clock: Pick<Clock, 'now'>
  #ms = 0

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Notes when something is sent; call the result with the Date of the answer. */
  sending(): (date: string | undefined) => void {
    const sentAt = this.#clock.now()
    return (date) => (this.#ms = skewMs(date, sentAt, this.#clock.now()) ?? this.#ms)
  }

  get ms(): number {
    return this.#ms
  }
}
