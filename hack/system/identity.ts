import { readFileSync } from 'node:fs'
import { sleep } from './wait.ts'

/** A pid alone may be another program's by now; with its start time (ticks since boot) it names one process. */
export type Identity = { pid: number; startTime: string }

export function identify(pid: number): Identity | undefined {
  const fields = statFields(pid)
  const startTime = fields?.[19]
  return fields?.[0] === 'Z' || startTime === undefined ? undefined : { pid, startTime }
}

export function isAlive(identity: Identity): boolean {
  return identify(identity.pid)?.startTime === identity.startTime
}

export function self(): Identity {
  const identity = identify(process.pid)
  if (identity === undefined) throw new Error('/proc is not readable: this needs Linux')
  return identity
}

export function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1]
  return parent === undefined ? undefined : Number(parent)
}

export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return [] // Ended between listing and reading: it has no command line.
  }
}

/** SIGTERM, then SIGKILL after `graceMs`. Returns when the process is gone. */
export async function end(identity: Identity, graceMs: number): Promise<void> {
  for (const [signal, limit] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 10_000],
  ] as const) {
    if (!isAlive(identity)) return
    if (limit === 0) continue
    send(identity.pid, signal)
    for (const stop = Date.now() + limit; Date.now() < stop && isAlive(identity);) await sleep(20)
  }
  if (isAlive(identity)) throw new Error(`process ${identity.pid} (${commandLine(identity.pid)[0]}) survives SIGKILL`)
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** The fields of /proc/pid/stat after the command name, which may hold spaces and brackets. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // No such process.
  }
}
