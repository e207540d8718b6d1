import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import type { KeyPair } from '../system/certs.ts'
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
  /** The port speaks TLS alone. */
  tls?: RedisTls
}

/** Files in PEM: the server's pair, and the CA that signed it. */
export type RedisTls = KeyPair & { ca: string }

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
  const { tls } = options
  const listen = tls === undefined ? ['--port', String(port)] : tlsArgs(tls, port).flatMap(([n, v]) => [`--${n}`, v])
  const fixed = ['--bind', '127.0.0.1', ...listen, '--dir', options.dir, '--save', '']
  const child = startChild({
    name: 'redis-server',
    command: server,
    args: [...fixed, ...(options.args ?? [])],
    logFile,
    diesWithParent: true,
  })
  try {
    await until(`redis-server on port ${port}`, () => answers(port, tls), {
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

/** Options of a server or Sentinel that speaks TLS alone; a client needs no certificate. */
export function tlsArgs(tls: RedisTls, port: number): [name: string, value: string][] {
  return [
    ['port', '0'],
    ['tls-port', String(port)],
    ['tls-cert-file', tls.cert],
    ['tls-key-file', tls.key],
    ['tls-ca-cert-file', tls.ca],
    ['tls-auth-clients', 'optional'],
    ['tls-replication', 'yes'],
  ]
}

/** PONG, or a refusal for want of a password: both mean that it serves. LOADING does not. */
export function answers(port: number, tls?: RedisTls): Promise<true | undefined> {
  return new Promise((resolve, reject) => {
    const at = { host: '127.0.0.1', port }
    const socket = tls === undefined ? connect(at) : connectTls({ ...at, rejectUnauthorized: false })
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => socket.write('PING\r\n'))
    socket.setTimeout(1000, () => socket.destroy(new Error('no answer within 1 s')))
    socket.once('error', reject)
    socket.once('data', (data: Buffer) => {
      socket.destroy()
      resolve(/^(\+PONG|-NOAUTH|-NOPERM)/.test(data.toString()) ? true : undefined)
    })
  })
}
