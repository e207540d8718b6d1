import type { EventEmitter } from 'node:events'

/** The parts of `process` in use, so that tests can stand in for it. */
export interface ProcessLike {
  on: EventEmitter['on']
  off: EventEmitter['off']
  exit(code: number): void
}

export interface ShutdownOptions {
  readonly process: ProcessLike
  /** First signal, `SIGTERM` or `SIGINT`: for the log. */
  readonly onSignal?: (name: string) => void
}

export interface Shutdown {
  /** Aborts with the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal
  /** Takes all listeners off again. */
  dispose(): void
}

/** Turns signals into an AbortSignal; a second signal exits at once with 130. */
export function watchShutdown(options: ShutdownOptions): Shutdown {
  const stop = new AbortController()
  const onSignal = (name: string) => {
    if (stop.signal.aborted) return options.process.exit(130)
    options.onSignal?.(name)
    stop.abort(new Error(`received ${name}`))
  }
  const listeners = ['SIGTERM', 'SIGINT'].map((name) => [name, () => onSignal(name)] as const)
  for (const [event, listener] of listeners) options.process.on(event, listener)
  return {
    signal: stop.signal,
    dispose: () => {
      for (const [event, listener] of listeners) options.process.off(event, listener)
    },
  }
}
