import { jest } from '@jest/globals'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { Registry } from 'prom-client'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { BackfillResult } from '../../../src/protocol/work.ts'
import { Connection } from '../../../src/redis/connection.ts'
import { connect } from '../../../src/worker/connect.ts'
import { readCredentials } from '../../../src/worker/credentials.ts'
import { DEFAULT_WORKER_LIMITS } from '../../../src/worker/context.ts'
import { control, silent, until, World, type WorkerProcess } from './world.ts'

const PROGRAM = join(import.meta.dirname, '../../../src/worker/main.ts')

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
// Begun first and judged last, as these take their time.
let unread: UnreadWorker
let early: EarlyWorker
beforeAll(async () => {
  world = await World.start()
  unread = startUnread()
  early = await startEarly()
}, 30_000)
afterAll(() => world.stop())
beforeEach(() => world.reset('BackfillVerify'))

const copied = async (): Promise<number> => Number((await world.redis.hget(control.work('backfill-1'), 'copied')) ?? 0)

test('ends with 0, says done, and logs JSON lines that carry the job', async () => {
  await world.loadHashes(10)
  const worker = world.spawn(world.spec('backfill'))
  const { code, stdout, stderr } = await worker.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(worker.termination()).toBe('done')
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines.map(({ message, job, kind }) => ({ message, job, kind }))).toEqual([
    { message: 'started', job: 'backfill-1', kind: 'backfill' },
    { message: 'done', job: 'backfill-1', kind: 'backfill' },
  ])
})

test.each([
  ['no KEYSHIFT_WORK', '', 'KEYSHIFT_WORK is not set'],
  ['a text that is no JSON', 'x', 'KEYSHIFT_WORK is not JSON'],
  ['an unknown kind', '{"kind":"cleanup"}', 'KEYSHIFT_WORK cannot be used: jobName: '],
])('%s ends with 1 and says what is wrong', async (_name, work, message) => {
  const worker = world.spawn(work)
  const { code, stdout } = await worker.ended
  expect(code).toBe(1)
  expect(worker.termination()).toContain(message)
  expect(stdout).toContain(message)
})

test('a failure is noted in Redis, in the termination message and in the log', async () => {
  await world.record('DualWrite', 5, 4)
  const worker = world.spawn(world.spec('backfill'))
  const { code, stdout } = await worker.ended
  const message = 'backfill is not allowed in phase DualWrite'
  expect(code).toBe(1)
  expect(worker.termination()).toBe(message)
  expect(stdout).toContain(message)
  expect(await world.fields('backfill-1')).toMatchObject({ state: 'failed', error: message, kind: 'backfill' })
})

test('D4 what Redis refuses for want of a right is noted as refused: another attempt may go on', async () => {
  const secrets = join(world.dir, 'poor')
  const dir = join(secrets, 'redis')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'username'), 'poor')
  writeFileSync(join(dir, 'password'), 'secret')
  await world.redis.call('ACL', 'SETUSER', 'poor', 'reset', 'on', '>secret', '~*', '+@all', '-copy')
  const worker = world.spawn(world.spec('backfill'), { KEYSHIFT_SECRETS_DIR: secrets })
  expect((await worker.ended).code).toBe(1)
  expect(await world.fields('backfill-1')).toMatchObject({
    state: 'refused',
    error: 'the Redis user poor lacks rights: ACL SETUSER poor +copy',
  })
})

test('[O15] with stdout a full pipe a worker that fails at once ends with its code, its message and its last line', async () => {
  await world.record('DualWrite', 5, 4)
  const terminationLog = join(world.dir, 'termination-full')
  writeFileSync(terminationLog, '')
  // The pipe is filled to the brim, then the worker takes the place of the shell.
  const fill = "dd if=/dev/zero bs=65536 count=1 2>/dev/null | tr '\\0' '\\n'"
  const child = spawn('/bin/sh', ['-c', `${fill}; exec "${process.execPath}" "${PROGRAM}"`], {
    env: {
      PATH: process.env['PATH'],
      KEYSHIFT_WORK: JSON.stringify(world.spec('backfill')),
      KEYSHIFT_TERMINATION_LOG: terminationLog,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.pause()
  const closed = once(child, 'close')
  const message = 'backfill is not allowed in phase DualWrite'
  await until('the termination message', () => Promise.resolve(readFileSync(terminationLog, 'utf8') === message))
  expect(child.exitCode).toBeNull()
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stdout.resume()
  expect(await closed).toEqual([1, null])
  expect(stdout.length).toBeGreaterThan(65_536)
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ level: 'error', message: 'failed' })
  expect(await world.fields('backfill-1')).toMatchObject({ state: 'failed', error: message })
})

test('SIGTERM ends after the batch with 143, and the next run goes on from there', async () => {
  await world.loadHashes(3000)
  const worker = world.spawn(world.spec('backfill', { maxKeysPerSecond: 2000 }))
  await until('some copies', async () => (await copied()) > 100)
  worker.child.kill('SIGTERM')
  expect((await worker.ended).code).toBe(143)
  expect(worker.termination()).toContain('SIGTERM')
  const stopped = await world.fields('backfill-1')
  expect(stopped).toMatchObject({ state: 'running' })
  const done = Number(stopped.done)
  expect(done).toBeGreaterThan(0)
  let first: unknown[] | undefined
  const result = await world.run<BackfillResult>(world.spec('backfill'), {
    after: (_name, reply) => {
      if (Array.isArray(reply)) first ??= reply as unknown[]
    },
  })
  expect(Number(first?.[4])).toBe(done + Number(first?.[1]))
  expect(result.copied).toBe(3000)
})

test('serves metrics and probes on the port that is given, with no series for a run', async () => {
  await world.loadHashes(3000)
  const port = await freePort()
  const worker = world.spawn(world.spec('backfill', { maxKeysPerSecond: 2000 }), {
    KEYSHIFT_METRICS_PORT: String(port),
  })
  await until('some copies', async () => (await copied()) > 100)
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  expect(metrics).toMatch(/^keyshift_worker_keys_total\{kind="backfill"\} [1-9]/m)
  expect(metrics).not.toContain('backfill-1')
  expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200)
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
  worker.child.kill('SIGKILL')
  await worker.ended
})

test('counts what it does', async () => {
  await world.loadHashes(100)
  const registry = new Registry()
  await world.run(world.spec('backfill'), { registry })
  const text = await registry.metrics()
  const keys = Number(/^keyshift_worker_keys_total\{kind="backfill"\} (\d+)/m.exec(text)?.[1])
  expect(keys).toBeGreaterThanOrEqual(300)
})

test('a Redis that is killed and started again in the middle is waited for, and the pass begins again', async () => {
  const dir = join(world.dir, 'restart')
  let server: LocalRedis = await startRedis({ dir, args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const own = new World(dir, server)
  try {
    await own.record('BackfillVerify', 5, 4)
    await own.loadHashes(3000)
    const before = await own.redis.info('server')
    const running = own.run<BackfillResult>(own.spec('backfill', { maxKeysPerSecond: 10_000 }))
    await until('some copies', async () => Number(await own.redis.hget(control.work('backfill-1'), 'copied')) > 300)
    await server.stop('KILL')
    server = await startRedis({ dir, port: server.port, args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    expect((await running).present).toBe(3000)
    expect(await own.keys('ai:job:*:*')).toHaveLength(3000)
    const { runId } = await own.fields('backfill-1')
    expect(await own.redis.info('server')).toContain(`run_id:${runId}`)
    expect(before).not.toContain(`run_id:${runId}`)
  } finally {
    own.redis.disconnect()
    await server.stop('KILL')
  }
}, 30_000)

describe('[K5] credentials', () => {
  const password = 'a+b/c=%40@#:é'
  const mount = (name: string, files: Readonly<Record<string, string>>): string => {
    const dir = join(world.dir, name)
    mkdirSync(dir, { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text)
    return dir
  }
  const setPassword = (text: string) =>
    world.redis.call('ACL', 'SETUSER', 'jobs', 'reset', 'on', `>${text}`, '~*', '+@all')
  afterEach(() => world.redis.call('ACL', 'DELUSER', 'jobs'))

  test('any characters log in, and none of them is logged', async () => {
    await setPassword(password)
    await world.loadHashes(5)
    mount('secrets/redis', { username: 'jobs\n', password })
    const dir = join(world.dir, 'secrets')
    const worker = world.spawn(world.spec('backfill'), { KEYSHIFT_SECRETS_DIR: dir, KEYSHIFT_LOG_LEVEL: 'debug' })
    const { code, stdout, stderr } = await worker.ended
    expect(code).toBe(0)
    expect(stdout + stderr).not.toContain(password)
  })

  test('a password that ends with a newline logs in where it is one, and is named where it is refused', async () => {
    const dir = mount('newline', { username: 'jobs', password: `${password}\n` })
    await setPassword(`${password}\n`)
    await world.loadHashes(5)
    const credentials = () => readCredentials(dir)
    expect((await world.run<BackfillResult>(world.spec('backfill'), { credentials })).copied).toBe(5)
    await setPassword(password)
    const redis = new Connection({
      address: { host: '127.0.0.1', port: world.server.port, db: 0 },
      name: 't',
      credentials,
    })
    const limits = { ...DEFAULT_WORKER_LIMITS, giveUpMs: 300 }
    const refused = connect({ redis, limits, logger: silent, signal: new AbortController().signal })
    await expect(refused).rejects.toThrow(/refused the password of user "jobs".*ends with a newline/)
    await redis.close()
  })

  test('a password rotated in the middle is picked up without a restart', async () => {
    await setPassword(password)
    await world.loadHashes(1000)
    const dir = mount('rotated', { username: 'jobs', password })
    let batches = 0
    const result = await world.run<BackfillResult>(world.spec('backfill'), {
      credentials: () => readCredentials(dir),
      after: async () => {
        if ((batches += 1) !== 3) return
        await setPassword('another')
        await world.redis.call('CLIENT', 'KILL', 'USER', 'jobs')
        writeFileSync(join(dir, 'password'), 'another')
      },
    })
    expect(result.copied).toBe(1000)
  })

  test('no mounted Secret is no login', async () => {
    expect(await readCredentials(join(world.dir, 'absent'))).toBeUndefined()
  })
})

interface EarlyWorker {
  readonly port: number
  readonly begunAt: number
  readonly worker: WorkerProcess
}

async function startEarly(): Promise<EarlyWorker> {
  const port = await freePort()
  const worker = world.spawn(world.spec('preflight', { redis: `redis://127.0.0.1:${port}/0`, allowEmpty: true }))
  return { port, begunAt: Date.now(), worker }
}

test('[O8] a network that comes fifteen seconds late is waited for', async () => {
  const { port, begunAt, worker } = early
  await until('fifteen seconds', () => Promise.resolve(Date.now() - begunAt > 15_000))
  expect(worker.child.exitCode).toBeNull()
  const late = await startRedis({ dir: join(world.dir, 'late'), port })
  try {
    const { code, stdout } = await worker.ended
    expect(code).toBe(0)
    expect(stdout).toContain('no connection to Redis, trying again')
  } finally {
    await late.stop('KILL')
  }
})

interface UnreadWorker {
  readonly terminationLog: string
  readonly ended: Promise<[number | null, string | null]>
}

/** A worker without work whose stdout is a pipe full to the brim that nobody reads. */
function startUnread(): UnreadWorker {
  const pipe = join(world.dir, 'unread')
  execFileSync('mkfifo', [pipe])
  const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)
  for (const size of [4096, 1]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(size, 10))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
  const terminationLog = join(world.dir, 'termination-unread')
  const child = spawn(process.execPath, [PROGRAM], {
    env: { PATH: process.env['PATH'], KEYSHIFT_TERMINATION_LOG: terminationLog },
    stdio: ['ignore', fd, 'inherit'],
  })
  closeSync(fd)
  // The test holds the reading end, so that the pipe is not broken.
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  const ended = once(child, 'exit').finally(() => closeSync(reader)) as UnreadWorker['ended']
  return { terminationLog, ended }
}

test('[O15] with stdout a full pipe that nobody ever reads a worker ends all the same, with its code and its message', async () => {
  expect(await unread.ended).toEqual([1, null])
  expect(readFileSync(unread.terminationLog, 'utf8')).toMatch(/^KEYSHIFT_WORK is not set/)
})

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
