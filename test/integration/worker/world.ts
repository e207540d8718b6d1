import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { Logger } from '../../../src/platform/logger.ts'
import { controlKeys } from '../../../src/protocol/control-keys.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import type { WorkFields, WorkResult, WorkSpec } from '../../../src/protocol/work.ts'
import { Connection, type CallOptions, type Credentials, type RedisArg } from '../../../src/redis/connection.ts'
import type { ScriptName } from '../../../src/redis/scripts.generated.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { DEFAULT_WORKER_LIMITS, type WorkerContext, type WorkerLimits } from '../../../src/worker/context.ts'
import { createWorkerMetrics } from '../../../src/worker/metrics.ts'
import { runWork } from '../../../src/worker/run.ts'
import { parseWork } from '../../../src/worker/work-spec.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'
export const control = controlKeys(controlPrefix(LEGACY, TARGET))

export const silent: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silent,
}

export interface RunOptions {
  readonly limits?: Partial<WorkerLimits>
  readonly signal?: AbortSignal
  readonly credentials?: () => Promise<Credentials | undefined>
  /** Called after each script, with what it answered, before the worker sees it. */
  readonly after?: (name: ScriptName, reply: unknown) => Promise<void> | void
  readonly registry?: Registry
  /** What the worker warns of. */
  readonly warned?: string[]
}

/** A connection that lets a test act between two batches. */
class WatchedConnection extends Connection {
  after: RunOptions['after']
  override async runScript(
    name: ScriptName,
    keys: readonly RedisArg[],
    args: readonly RedisArg[],
    options: CallOptions,
  ): Promise<unknown> {
    const reply = await super.runScript(name, keys, args, options)
    await this.after?.(name, reply)
    return reply
  }
}

/** One real Redis and what the worker tests do with it. */
export class World {
  readonly dir: string
  readonly server: LocalRedis
  readonly redis: Redis
  readonly #children = new Set<ChildProcess>()

  constructor(dir: string, server: LocalRedis) {
    this.dir = dir
    this.server = server
    this.redis = new Redis(server.port, '127.0.0.1')
  }

  static async start(args: readonly string[] = []): Promise<World> {
    const dir = mkdtempSync(join(tmpdir(), 'keyshift-worker-'))
    return new World(dir, await startRedis({ dir, args }))
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    this.redis.disconnect()
    await this.server.stop('KILL')
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** Empties Redis and puts the record and the fence there. */
  async reset(phase: Phase, epoch = 5, fence: number | null = epoch - 1): Promise<void> {
    await this.redis.flushall()
    await this.record(phase, epoch, fence)
  }

  async record(phase: Phase, epoch: number, fence: number | null): Promise<void> {
    await this.redis.hset(control.record, { phase, epoch: String(epoch) })
    if (fence === null) await this.redis.del(control.fence)
    else await this.redis.set(control.fence, String(fence))
  }

  spec(kind: WorkSpec['kind'], overrides: Partial<WorkSpec> = {}): WorkSpec {
    return {
      jobName: `${kind}-1`,
      run: 'run-1',
      kind,
      ...(kind === 'verify' || kind === 'repair' ? { direction: 'Both' as const } : {}),
      legacy: LEGACY,
      target: TARGET,
      workspaceField: 'workspace_id',
      ignore: [],
      allowEmpty: false,
      onMalformed: 'Quarantine',
      queues: [],
      redis: `redis://127.0.0.1:${this.server.port}/0`,
      maxKeysPerSecond: 10_000_000,
      maxRedisLatencyMs: 5,
      assume: { maxmemory: 8 * 1024 ** 3 },
      ...overrides,
    }
  }

  /** Carries the work out in this process. @throws what the worker throws */
  async run<R extends WorkResult>(spec: WorkSpec, options: RunOptions = {}): Promise<R> {
    const work = parseWork(JSON.stringify(spec))
    const redis = new WatchedConnection({
      address: work.address,
      name: 'test-worker',
      credentials: options.credentials,
      backoff: { minMs: 5, maxMs: 50 },
    })
    redis.after = options.after
    const context: WorkerContext = {
      work,
      redis,
      clock: systemClock,
      logger: {
        ...silent,
        warn: (message, fields) => void options.warned?.push(`${message} ${JSON.stringify(fields)}`),
      },
      metrics: createWorkerMetrics(options.registry ?? new Registry()),
      signal: options.signal ?? new AbortController().signal,
      limits: { ...DEFAULT_WORKER_LIMITS, giveUpMs: 10_000, ...options.limits },
    }
    try {
      await runWork(context)
    } finally {
      await redis.close()
    }
    return JSON.parse((await this.fields(spec.jobName)).result ?? 'null') as R
  }

  async fields(jobName: string): Promise<Partial<WorkFields>> {
    return this.redis.hgetall(control.work(jobName))
  }

  /** Starts the worker program. */
  spawn(spec: WorkSpec | string, env: Readonly<Record<string, string>> = {}): WorkerProcess {
    const terminationLog = join(this.dir, `termination-${Math.random().toString(36).slice(2)}`)
    writeFileSync(terminationLog, '')
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../../src/worker/main.ts')], {
      env: {
        PATH: process.env['PATH'],
        KEYSHIFT_WORK: typeof spec === 'string' ? spec : JSON.stringify(spec),
        KEYSHIFT_TERMINATION_LOG: terminationLog,
        KEYSHIFT_SECRETS_DIR: join(this.dir, 'no-secrets'),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.add(child)
    return new WorkerProcess(child, terminationLog)
  }

  /** Every key of the db with its value, type and expiry, control keys left out. */
  async snapshot(): Promise<Record<string, string>> {
    const out: Record<string, string> = {}
    for (const key of await this.keys('*')) {
      if (key.startsWith('keyshift:')) continue
      out[key] = await this.describe(key)
    }
    return out
  }

  async describe(key: string): Promise<string> {
    const type = await this.redis.type(key)
    const expiry = await this.redis.pexpiretime(key)
    const value =
      type === 'hash'
        ? JSON.stringify(Object.entries(await this.redis.hgetall(key)).sort())
        : type === 'string'
          ? await this.redis.get(key)
          : (await this.redis.dumpBuffer(key))?.toString('hex')
    return `${type} ${expiry} ${value}`
  }

  async keys(pattern: string): Promise<string[]> {
    const found = new Set<string>()
    let cursor = '0'
    do {
      const [next, page] = await this.redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1000)
      cursor = next
      for (const key of page) found.add(key)
    } while (cursor !== '0')
    return [...found].sort()
  }

  /** `count` hashes with ids from `prefix`, in 20 workspaces; every third one expires. */
  async loadHashes(count: number, prefix = 'j'): Promise<void> {
    const pipeline = this.redis.pipeline()
    for (let i = 0; i < count; i += 1) {
      pipeline.hset(`ai:job:${prefix}${i}`, { workspace_id: `w${i % 20}`, status: 'queued', n: String(i) })
      if (i % 3 === 0) pipeline.pexpireat(`ai:job:${prefix}${i}`, Date.now() + 3_600_000 + i)
    }
    await pipeline.exec()
  }
}

export class WorkerProcess {
  readonly child: ChildProcess
  readonly #terminationLog: string
  readonly ended: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>

  constructor(child: ChildProcess, terminationLog: string) {
    this.child = child
    this.#terminationLog = terminationLog
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    this.ended = once(child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
      stdout,
      stderr,
    }))
  }

  termination(): string {
    return readFileSync(this.#terminationLog, 'utf8')
  }
}

/** Polls until `check` answers true; fails after `limitMs`. */
export async function until(what: string, check: () => Promise<boolean>, limitMs = 20_000): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
