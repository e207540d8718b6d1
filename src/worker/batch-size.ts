/** Smallest and largest COUNT of a batch. */
export const MIN_BATCH = 10
export const MAX_BATCH = 1000
const FIRST_BATCH = 50

/**
 * Size of the next batch, from how long the last ones held Redis: grows slowly while a batch is well below the limit,
 * shrinks when two in a row are above: one alone may be a server that the machine took off its core. Large values are held
 * down by the script itself, which stops at the limit.
 */
export class BatchSize {
  readonly #limitMicros: number
  readonly #max: number
  #size: number
  #slow = false

  /** @param maxKeysPerSecond keeps a batch below a fifth of a second's worth, so that a throttled worker is no burst */
  constructor(limitMicros: number, maxKeysPerSecond: number) {
    this.#limitMicros = limitMicros
    this.#max = Math.max(1, Math.min(MAX_BATCH, Math.floor(maxKeysPerSecond / 5)))
    this.#size = Math.min(FIRST_BATCH, this.#max)
  }

  get current(): number {
    return this.#size
  }

  observe(micros: number): void {
    const slow = micros > this.#limitMicros
    if (slow && this.#slow) this.#size = Math.floor((this.#size * this.#limitMicros * 0.9) / micros)
    else if (micros < this.#limitMicros * 0.7) this.#size = Math.ceil(this.#size * 1.2)
    this.#slow = slow
    this.#size = Math.min(this.#max, Math.max(Math.min(MIN_BATCH, this.#max), this.#size))
  }
}
