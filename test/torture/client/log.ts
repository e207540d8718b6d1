import { writeSync } from 'node:fs'
import type { LogLine } from './wire.ts'

const WAIT = new Int32Array(new SharedArrayBuffer(4))

/** Writes a line before it returns: what is said of an operation must be out before the operation is, whatever kills this process. */
export function say(line: LogLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(WAIT, 0, 0, 1)
    }
  }
}
