import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { findProgram } from '../../../hack/system/run.ts'

/** Starts a program that the kernel ends with this one, out of the way of Ctrl-C; stderr goes into a file. */
export function startTied(
  command: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly stdout: 'pipe' | 'ignore'; readonly logFile: string },
): ChildProcess {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) throw new Error('setpriv is missing: install util-linux')
  const log = openSync(options.logFile, 'a')
  try {
    return spawn(setpriv, ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['pipe', options.stdout, log],
      detached: true,
      env: options.env,
    })
  } finally {
    closeSync(log)
  }
}
