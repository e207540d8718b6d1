import { writeFileSync } from 'node:fs'
import { describe } from './safe-json.ts'
import type { Log } from './logger.ts'

/** Kubernetes reads at most this much of a termination message, in bytes. */
const TERMINATION_BYTES = 4096
const FLUSH_MS = 10_000

export interface ProcessEnd {
  /** Writes the termination message, lets the last log lines out, and exits with `code`. The first call wins. */
  leave(code: number, message: string): Promise<void>
  /** Makes an unhandled rejection or exception leave with 1 instead of vanishing. */
  guard(): void
}

export interface ProcessEndOptions {
  readonly log: Log
  /** File of the container's terminationMessagePath; written where it can be. */
  readonly terminationLog: string
  readonly exit: (code: number) => void
  readonly on: (event: 'unhandledRejection' | 'uncaughtException', listener: (error: unknown) => void) => void
}

export function createProcessEnd(options: ProcessEndOptions): ProcessEnd {
  let leaving = false
  const leave = async (code: number, message: string): Promise<void> => {
    if (leaving) return
    leaving = true
    try {
      writeFileSync(options.terminationLog, cutBytes(message))
    } catch {
      // Outside a container there is no such file; the log has the message.
    }
    await options.log.flush(FLUSH_MS)
    options.exit(code)
  }
  const fatal = (kind: string) => (error: unknown) => {
    options.log.logger.error(kind, { error })
    void leave(1, `${kind}: ${describe(error)}`)
  }
  return {
    leave,
    guard: () => {
      options.on('unhandledRejection', fatal('unhandled rejection'))
      options.on('uncaughtException', fatal('uncaught exception'))
    },
  }
}

function cutBytes(text: string): string {
  const bytes = Buffer.from(text, 'utf8')
  return bytes.length <= TERMINATION_BYTES ? text : new TextDecoder().decode(bytes.subarray(0, TERMINATION_BYTES - 3))
}
