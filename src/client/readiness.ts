import { performance } from 'node:perf_hooks'
import { NotReady } from '../redis/errors.ts'
import type { Routing } from './routing.ts'
import type { ClientState } from './types.ts'

type Reason = Exclude<ClientState['reason'], undefined>

/** Whether operations may run, under which routing, and who waits for that. */
export class Readiness {
  #current: Routing | undefined
  #blocked: { readonly reason: Reason; readonly message: string } | undefined = {
    reason: 'CONNECTING',
    message: 'not registered in Redis yet',
  }
  readonly #waiters = new Set<() => void>()

  /** The routing in force, whether or not operations may run. */
  get current(): Routing | undefined {
    return this.#current
  }

  get blocked(): { readonly reason: Reason; readonly message: string } | undefined {
    return this.#blocked
  }

  follow(routing: Routing): void {
    this.#current = routing
    this.#wake()
  }

  block(reason: Reason, message: string): void {
    if (this.#blocked?.reason === 'CLOSED') return
    this.#blocked = { reason, message }
    this.#wake()
  }

  unblock(): void {
    if (this.#blocked?.reason === 'CLOSED') return
    this.#blocked = undefined
    this.#wake()
  }

  /** The routing to operate under. @throws NotReady at `end` (performance.now), or at once when closed */
  async routing(end: number, signal?: AbortSignal): Promise<Routing> {
    for (;;) {
      if (this.#blocked === undefined && this.#current !== undefined) return this.#current
      const left = end - performance.now()
      if (this.#blocked?.reason === 'CLOSED' || left <= 0) {
        const { reason, message } = this.#blocked ?? { reason: 'CONNECTING', message: 'no routing yet' }
        throw new NotReady(`${reason}: ${message}`, { closed: reason === 'CLOSED' })
      }
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiters.delete(done)
          signal?.removeEventListener('abort', done)
          resolve()
        }
        const timer = setTimeout(done, Math.ceil(left))
        this.#waiters.add(done)
        signal?.addEventListener('abort', done, { once: true })
      })
      signal?.throwIfAborted()
    }
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter()
  }
}
