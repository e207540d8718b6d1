import type { EventEmitter } from 'node:events'

/** Why the process must end at once. */
export interface FatalReason {
  readonly kind: 'uncaughtException' | 'unhandledRejection'
  readonly error: unknown
}

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
  /** Must log the reason and flush; the process exits with 1 when it settles, at the latest after `flushMs`. */
  readonly onFatal: (reason: FatalReason) => Promise<void> | void
  /** 2 000 ms unless told. */
  readonly flushMs?: number
}

export interface Shutdown {
  /** Aborts with the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal
  /** Takes all listeners off again. */
  dispose(): void
}

/**
 * Turns signals into an AbortSignal; a second signal exits at once with 130. An uncaught exception or unhandled rejection
 * ends the process with 1 and a logged reason: a half-dead operator that keeps its lease is worse than a restart.
 */
export function watchShutdown(options: ShutdownOptions): Shutdown {
  const stop = new AbortController()
  let fatal = false
  const onSignal = (name: string) => {
    if (stop.signal.aborted) return options.process.exit(130)
    options.onSignal?.(name)
    stop.abort(new Error(`received ${name}`))
  }
  const onFatal = (kind: FatalReason['kind'], error: unknown) => {
    // what the ending itself breaks must not end it a second time
    if (fatal) return
    fatal = true
    void endAfter(options, { kind, error })
  }
  const listeners: readonly (readonly [string, (error?: unknown) => void])[] = [
    ['SIGTERM', () => onSignal('SIGTERM')],
    ['SIGINT', () => onSignal('SIGINT')],
    ['uncaughtException', (error?: unknown) => onFatal('uncaughtException', error)],
    ['unhandledRejection', (error?: unknown) => onFatal('unhandledRejection', error)],
  ]
  for (const [event, listener] of listeners) options.process.on(event, listener)
  return {
    signal: stop.signal,
    dispose: () => {
      for (const [event, listener] of listeners) options.process.off(event, listener)
    },
  }
}

async function endAfter(options: ShutdownOptions, reason: FatalReason): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options.flushMs ?? 2000)
  })
  try {
    await Promise.race([options.onFatal(reason), limit])
  } catch {
    // the exit below is what matters; a failing log must not prevent it
  }
  clearTimeout(timer)
  options.process.exit(1)
}
