/** Refilling allowance; time is passed in (monotonic ms). */
export class TokenBucket {
  readonly #burst: number
  readonly #refillMs: number
  #tokens: number
  #at: number

  /** Full at first: `burst` takes at once, then one each `refillMs`. */
  constructor(burst: number, refillMs: number, now: number) {
    this.#burst = burst
    this.#refillMs = refillMs
    this.#tokens = burst
    this.#at = now
  }

  /** Takes one token; false if there is none. */
  take(now: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) / this.#refillMs)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
