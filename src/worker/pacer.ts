import type { Clock } from '../runtime/clock.ts'

const WINDOW_MS = 5_000

/** Holds a loop to so many keys a second, and measures what it really did over the last seconds. */
export class Pacer {
  readonly #clock: Clock
  readonly #perSecond: number
  /** Before this moment no more keys may be looked at. */
  #free: number
  readonly #marks: { at: number; keys: number }[] = []

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#free = clock.monotonic()
  }

  /** Takes note of `keys` and waits for as long as they are worth. Time spent elsewhere is not saved up. */
  async spend(keys: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic()
    this.#marks.push({ at: now, keys })
    while ((this.#marks[0]?.at ?? now) < now - WINDOW_MS) this.#marks.shift()
    this.#free = Math.max(this.#free, now - 1000 / this.#perSecond) + (keys * 1000) / this.#perSecond
    const wait = this.#free - now
    if (wait >= 1) await this.#clock.sleep(wait, signal)
  }

  /** Keys a second over the last seconds, a whole number; 0 before there are two marks. */
  rate(): number {
    const first = this.#marks[0]
    if (first === undefined) return 0
    const span = this.#clock.monotonic() - first.at
    const keys = this.#marks.reduce((sum, mark) => sum + mark.keys, 0) - first.keys
    return span <= 0 ? 0 : Math.round((keys * 1000) / span)
  }
}
