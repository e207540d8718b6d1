import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export type RunOptions = {
  cwd?: string
  env?: NodeJS.ProcessEnv
  input?: string
  /** Every command ends by itself or is ended. */
  limitMs?: number
}

export type RunResult = { code: number; stdout: string; stderr: string }

/** A command that ended with another code than 0, with what it said. */
export class CommandError extends Error {
  readonly result: RunResult
  constructor(command: string, result: RunResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-12).join('\n')
    super(`${command} ended with code ${result.code}: ${said}`)
    this.name = 'CommandError'
    this.result = result
  }
}

export function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const limitMs = options.limitMs ?? 120_000
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env ?? process.env,
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const timer = setTimeout(() => {
      stderr += `\nended after ${limitMs / 1000} s`
      child.kill('SIGKILL')
    }, limitMs)
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? 1, stdout, stderr })
    })
    child.stdin.on('error', () => {}) // A command that does not read its input closes the pipe: its code says enough.
    child.stdin.end(options.input ?? '')
  })
}

export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await tryRun(command, args, options)
  if (result.code !== 0) throw new CommandError([command, ...args.slice(0, 6)].join(' '), result)
  return result.stdout
}

/** The program's path, or undefined. The sbin folders hold nft, ip and iptables and are often not on a user's PATH. */
export function findProgram(name: string, more: readonly string[] = []): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin', ...more]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
