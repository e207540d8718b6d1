import type { Clock } from '../../../src/runtime/clock.ts'

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** A clock that moves only when told. `advance` wakes sleepers in order and lets each act before time goes on. */
export class FakeClock implements Clock {
  #wall: number
  #monotonic = 0
  readonly #sleepers = new Set<Sleeper>()

  constructor(wall = Date.parse('2026-01-01T00:00:00Z')) {
    this.#wall = wall
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= 0 || signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const sleeper = {
        at: this.#monotonic + ms,
        wake: () => {
          this.#sleepers.delete(sleeper)
          signal?.removeEventListener('abort', sleeper.wake)
          resolve()
        },
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', sleeper.wake)
    })
  }

  /** How long each sleeper still sleeps, ms, the next to wake first. */
  get pending(): number[] {
    return [...this.#sleepers].map((sleeper) => sleeper.at - this.#monotonic).sort((a, b) => a - b)
  }

  async advance(ms: number): Promise<void> {
    const target = this.#monotonic + ms
    await settle()
    for (let next = this.#next(target); next !== undefined; next = this.#next(target)) {
      this.#moveTo(Math.max(next.at, this.#monotonic))
      next.wake()
      await settle()
    }
    this.#moveTo(target)
  }

  /** Time passes for nobody: a process that was stopped wakes up late. */
  freeze(ms: number): void {
    this.#moveTo(this.#monotonic + ms)
  }

  /** Sets the wall clock off, as an NTP correction does. */
  jumpWall(ms: number): void {
    this.#wall += ms
  }

  #next(target: number): Sleeper | undefined {
    const due = [...this.#sleepers].filter((sleeper) => sleeper.at <= target)
    return due.sort((a, b) => a.at - b.at)[0]
  }

  #moveTo(monotonic: number): void {
    this.#wall += monotonic - this.#monotonic
    this.#monotonic = monotonic
  }
}

/** Lets everything that is ready run, without time passing. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
