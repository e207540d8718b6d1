import type { Clock } from './clock.ts'
import { MAX_TIMER_MS } from './clock.ts'

/** Keys that become due later: one deadline a key (the earliest asked for) and one timer for all of them. */
export class DelayedKeys {
  readonly #clock: Clock
  readonly #onDue: (key: string) => void
  readonly #deadlines = new Map<string, number>()
  #armedFor = Infinity
  #timer = new AbortController()

  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  add(key: string, ms: number): void {
    const deadline = this.#clock.monotonic() + ms
    if (deadline >= (this.#deadlines.get(key) ?? Infinity)) return
    this.#deadlines.set(key, deadline)
    if (deadline < this.#armedFor) this.#arm(deadline)
  }

  clear(): void {
    this.#deadlines.clear()
    this.#arm(Infinity)
  }

  #arm(deadline: number): void {
    this.#timer.abort()
    this.#timer = new AbortController()
    this.#armedFor = deadline
    if (deadline === Infinity) return
    const { signal } = this.#timer
    const wait = Math.min(Math.max(0, deadline - this.#clock.monotonic()), MAX_TIMER_MS)
    void this.#clock.sleep(wait, signal).then(() => {
      if (!signal.aborted) this.#fire()
    })
  }

  #fire(): void {
    const now = this.#clock.monotonic()
    let next = Infinity
    for (const [key, deadline] of this.#deadlines) {
      if (deadline <= now) {
        this.#deadlines.delete(key)
        this.#onDue(key)
      } else next = Math.min(next, deadline)
    }
    this.#arm(next)
  }
}
