import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startChild } from '../system/child.ts'
import { withPorts } from '../system/ports.ts'
import { until } from '../system/wait.ts'
import { requireProgram } from './programs.ts'

export type RedisOptions = {
  /** Data and log; a restart in the same folder finds what `--appendonly yes` or a save left there. */
  dir: string
  port?: number
  /** Options of redis-server, e.g. `['--requirepass', 'x', '--maxmemory', '4mb']`. */
  args?: readonly string[]
}

export type LocalRedis = {
  port: number
  pid: number
  logFile: string
  /** 'KILL' is a crash: nothing is saved. */
  stop: (signal?: 'TERM' | 'KILL') => Promise<void>
}

/** A redis-server on 127.0.0.1 that ends with this process. */
export async function startRedis(options: RedisOptions): Promise<LocalRedis> {
  const server = requireProgram('redis-server')
  mkdirSync(options.dir, { recursive: true })
  if (options.port !== undefined) return start(server, options, options.port)
  return withPorts(1, ([port]) => start(server, options, port as number))
}

async function start(server: string, options: RedisOptions, port: number): Promise<LocalRedis> {
  const logFile = join(options.dir, 'redis.log')
  const fixed = ['--bind', '127.0.0.1', '--port', String(port), '--dir', options.dir, '--save', '']
  const child = startChild({
    name: 'redis-server',
    command: server,
    args: [...fixed, ...(options.args ?? [])],
    logFile,
    diesWithParent: true,
  })
  try {
    await until(`redis-server on port ${port}`, () => answers(port), {
      limitMs: 20_000,
      everyMs: 20,
      look: logFile,
      hopeless: child.lost,
    })
  } catch (error) {
    await child.stop(0)
    throw error
  }
  return { port, pid: child.pid, logFile, stop: (signal) => child.stop(signal === 'KILL' ? 0 : 10_000) }
}

/** PONG, or a refusal for want of a password: both mean that it serves. LOADING does not. */
function answers(port: number): Promise<true | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(1000, () => socket.destroy(new Error('no answer within 1 s')))
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(/^(\+PONG|-NOAUTH|-NOPERM)/.test(data.toString()) ? true : undefined)
    })
  })
}
