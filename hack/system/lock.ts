import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Log } from './log.ts'

/**
 * Runs `work` while no other process holds `file`. The kernel holds the lock for a child that ends when its input closes, so
 * a runner that is killed never leaves a stale lock. The pid in the file only tells a waiting person who has it.
 */
export async function withLock<T>(file: string, log: Log, limitMs: number, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(file), { recursive: true })
  const wait = String(Math.ceil(limitMs / 1000))
  const script = `echo ${process.pid} > "$1"; echo held; exec cat > /dev/null`
  const child = spawn('flock', ['-x', '-w', wait, file, 'sh', '-c', script, 'sh', file], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const held = new Promise<boolean>((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`flock (package util-linux) did not start: ${error.message}`)))
    child.stdout.once('data', () => resolve(true))
    child.on('exit', () => resolve(false))
  })
  const notice = setTimeout(() => log(`waiting for process ${holder(file)}, which holds ${file}`), 1000)
  try {
    if (!(await held)) throw new Error(`process ${holder(file)} held ${file} for over ${wait} s`)
    clearTimeout(notice)
    return await work()
  } finally {
    clearTimeout(notice)
    child.stdin.end()
    child.unref()
  }
}

function holder(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim() || '?'
  } catch {
    return '?' // It ended meanwhile.
  }
}
