import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { end, identify, type Identity } from './identity.ts'
import { findProgram } from './run.ts'

export type Child = {
  name: string
  pid: number
  identity: Identity
  logFile: string
  /** A sentence when the process is gone, for `until({ hopeless })`. */
  lost: () => string | undefined
  stop: (graceMs?: number) => Promise<void>
}

export type ChildOptions = {
  name: string
  command: string
  args: readonly string[]
  logFile: string
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** false: it outlives this process, and the caller writes down who it is. */
  diesWithParent: boolean
}

/** Starts a long-running program with its output in a file. */
export function startChild(options: ChildOptions): Child {
  const log = openSync(options.logFile, 'a')
  const [command, args] = options.diesWithParent ? tied(options) : [options.command, options.args]
  const child = spawn(command, args, {
    stdio: ['ignore', log, log],
    // A session of its own: Ctrl-C in the terminal is for this process, which then ends its children in order.
    detached: true,
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  closeSync(log)
  // The log is read when somebody asks: after an ordered stop its folder may be gone.
  let lost: (() => string) | undefined
  child.on('error', (error) => (lost = () => `${options.name} did not start: ${error.message}`))
  child.on('exit', (code, signal) => {
    lost = () =>
      `${options.name} ended with ${signal ?? `code ${code}`}; look at ${options.logFile}${lastLines(options.logFile)}`
  })
  child.unref()
  const pid = child.pid
  const identity = pid === undefined ? undefined : identify(pid)
  if (pid === undefined || identity === undefined) throw new Error(`${options.name} did not start (${options.command})`)
  return {
    name: options.name,
    pid,
    identity,
    logFile: options.logFile,
    lost: () => lost?.(),
    stop: (graceMs = 5000) => end(identity, graceMs),
  }
}

/** The kernel ends the child when this process dies, whatever it dies of. setpriv replaces itself: the pid stays the same. */
function tied(options: ChildOptions): [string, string[]] {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) throw new Error('setpriv is missing: install util-linux')
  return [setpriv, ['--pdeathsig', 'KILL', '--', options.command, ...options.args]]
}

function lastLines(file: string): string {
  const lines = readFileSync(file, 'utf8').trim().split('\n').slice(-3).join('\n')
  return lines === '' ? '' : `, which ends with:\n${lines}`
}
