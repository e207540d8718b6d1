import { KubeError } from '../kube/errors.ts'
import type { Clock } from '../runtime/clock.ts'

/** The part of a reflector that tells how it is. */
export interface Watching {
  readonly hasSynced: boolean
  /** Monotonic ms. */
  readonly lastActivity: number
}

interface Watch {
  readonly watching: Watching
  ended: boolean
  lastError: { readonly error: unknown; readonly at: number } | undefined
}

/** A watch gives a sign of life every half minute. Without one for so long a new process may find what this one cannot. */
const DEAD_MS = 5 * 60_000

export interface WatchHealthOptions {
  readonly clock: Clock
  readonly onError: (watch: string, error: unknown, retryInMs: number) => void
  /** A watch ended by itself, which is a fault of the program. */
  readonly onEnded: (watch: string, error: unknown) => void
}

/** Knows every watch of the process by name, for the liveness probe. */
export class WatchHealth {
  readonly #options: WatchHealthOptions
  readonly #watches = new Map<string, Watch>()

  constructor(options: WatchHealthOptions) {
    this.#options = options
  }

  add(name: string, watching: Watching): void {
    this.#watches.set(name, { watching, ended: false, lastError: undefined })
  }

  remove(name: string): void {
    this.#watches.delete(name)
  }

  failed(name: string, error: unknown, retryInMs: number): void {
    const watch = this.#watches.get(name)
    if (watch !== undefined) watch.lastError = { error, at: this.#options.clock.monotonic() }
    this.#options.onError(name, error, retryInMs)
  }

  /** Follows the run of a watch: it may end only after `signal` has aborted. */
  ended(name: string, run: Promise<void>, signal: AbortSignal): void {
    const end = (error: unknown): void => {
      if (signal.aborted) return
      const watch = this.#watches.get(name)
      if (watch !== undefined) watch.ended = true
      this.#options.onEnded(name, error)
    }
    run.then(() => end(undefined), end)
  }

  /** The first watch that is dead, in one line; undefined when all live. */
  fault(): string | undefined {
    for (const [name, watch] of this.#watches) {
      if (watch.ended) return `the watch of ${name} has ended`
      const silence = this.#options.clock.monotonic() - watch.watching.lastActivity
      // An answer, be it a refusal, shows that the way to the API server is open: a new process would get the same.
      const { lastError } = watch
      const recent = lastError !== undefined && this.#options.clock.monotonic() - lastError.at <= DEAD_MS
      const answered = recent && statusOf(lastError.error) !== 0
      if (silence > DEAD_MS && !answered)
        return `the watch of ${name} gave no sign of life for ${Math.round(silence / 1000)} s`
    }
    return undefined
  }

  /** The last error of a watch, for the status of whoever waits for it; undefined when it has had none. */
  trouble(name: string): string | undefined {
    const error = this.#watches.get(name)?.lastError?.error
    return error === undefined ? undefined : String((error as Error).message)
  }
}

function statusOf(error: unknown): number {
  return error instanceof KubeError ? error.status : 0
}
