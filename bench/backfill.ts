/**
 * How fast backfill is, as shares of what Redis can do at most: `redis-cli --pipe` of one COPY for each key. All ways run
 * one after the other on the same Redis, freshly loaded each time.
 *
 *   node bench/backfill.ts --keys 200000 [--rounds 3] [--json-strings]
 */
import { spawn } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { startRedis } from '../hack/local/redis.ts'
import { controlKeys } from '../src/protocol/control-keys.ts'
import { controlPrefix, legacyKey, parseTemplates, targetKey } from '../src/protocol/templates.ts'
import { Connection } from '../src/redis/connection.ts'
import { systemClock } from '../src/runtime/clock.ts'
import type { Logger } from '../src/platform/logger.ts'
import { DEFAULT_WORKER_LIMITS } from '../src/worker/context.ts'
import { createWorkerMetrics } from '../src/worker/metrics.ts'
import { runWork } from '../src/worker/run.ts'
import { parseWork } from '../src/worker/work-spec.ts'

const LEGACY = 'ai:job:{job_id}'
const TARGET = 'ai:job:{workspace_id}:{job_id}'
const templates = parseTemplates(LEGACY, TARGET)
const control = controlKeys(controlPrefix(LEGACY, TARGET))

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '3' },
    'json-strings': { type: 'boolean', default: false },
  },
})
const keys = Number(values.keys)
const rounds = Number(values.rounds)
if (!(keys >= 1000) || !(rounds >= 1)) throw new Error('--keys takes 1000 or more, --rounds 1 or more')

const job = (i: number): string => `job-${i}`
const workspace = (i: number): string => `ws-${i % 50}`

interface Way {
  readonly name: string
  /** Makes every target key. @returns seconds of the pass that made them, where another one follows to prove it */
  readonly run: () => Promise<number | void>
}

const silent: Logger = {
  error: (message, fields) => console.error(message, fields),
  warn: (message, fields) => console.error(message, fields),
  info: () => undefined,
  debug: () => undefined,
  child: () => silent,
}

const dir = mkdtempSync(join(tmpdir(), 'keyshift-bench-'))
const server = await startRedis({ dir })
const redis = new Redis(server.port, '127.0.0.1')
try {
  const load = join(dir, 'load.resp')
  const copies = join(dir, 'copy.resp')
  await writeCommands(load, (i) => {
    const fields = ['workspace_id', workspace(i), 'status', 'queued', 'attempts', '3', 'payload', 'x'.repeat(520)]
    if (!values['json-strings']) return ['HSET', legacyKey(templates, job(i)), ...fields]
    const text = { workspace_id: workspace(i), status: 'queued', attempts: 3, payload: 'x'.repeat(520) }
    return ['SET', legacyKey(templates, job(i)), JSON.stringify(text)]
  })
  await writeCommands(copies, (i) => ['COPY', legacyKey(templates, job(i)), targetKey(templates, workspace(i), job(i))])
  const ways: Way[] = [
    { name: 'redis-cli --pipe of COPY (the limit)', run: () => pipe(copies) },
    { name: 'keyshift backfill, batches of at most 5 ms', run: () => backfill(5) },
    { name: 'keyshift backfill, batches of at most 2 ms', run: () => backfill(2) },
    { name: 'a loop over ioredis: HGET, then COPY, one by one', run: loop },
  ]
  const taken = new Map<string, { seconds: number[]; firstPass: number[]; cpu: number[]; p99: number[] }>(
    ways.map(({ name }) => [name, { seconds: [], firstPass: [], cpu: [], p99: [] }]),
  )
  for (let round = 1; round <= rounds; round += 1) {
    for (const way of ways) {
      await redis.flushall()
      await pipe(load)
      const probe = startProbe()
      await probe.ready
      const cpuBefore = await cpuSeconds()
      const began = performance.now()
      const firstPass = await way.run()
      const seconds = (performance.now() - began) / 1000
      taken.get(way.name)?.cpu.push((await cpuSeconds()) - cpuBefore)
      const p99 = await probe.stop()
      const made = (await redis.dbsize()) - keys
      if (made < keys) throw new Error(`${way.name} made ${made} of ${keys} keys`)
      taken.get(way.name)?.seconds.push(seconds)
      taken.get(way.name)?.firstPass.push(firstPass ?? seconds)
      taken.get(way.name)?.p99.push(p99)
      console.error(`round ${round}/${rounds}  ${seconds.toFixed(1).padStart(6)} s  ${way.name}`)
    }
  }
  const limit = median(taken.get(ways[0]?.name ?? '')?.seconds ?? [])
  const limitCpu = median(taken.get(ways[0]?.name ?? '')?.cpu ?? [])
  console.log(`\n${keys} ${values['json-strings'] ? 'JSON strings' : 'hashes'} of ~600 B, median of ${rounds} rounds\n`)
  console.log(
    '| way | share of the limit | without the proving pass | by CPU of Redis | p99 that others see |\n|---|---|---|---|---|',
  )
  for (const [name, { seconds, firstPass, cpu, p99 }] of taken) {
    const shares = [limit / median(seconds), limit / median(firstPass), limitCpu / median(cpu)].map((s) => s.toFixed(2))
    console.log(`| ${name} | ${shares.join(' | ')} | ${median(p99).toFixed(1)} ms |`)
  }
} finally {
  redis.disconnect()
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function backfill(maxRedisLatencyMs: number): Promise<number> {
  await redis.hset(control.record, { phase: 'BackfillVerify', epoch: '9' })
  await redis.set(control.fence, '8')
  const work = parseWork(
    JSON.stringify({
      jobName: 'bench',
      kind: 'backfill',
      legacy: LEGACY,
      target: TARGET,
      workspaceField: 'workspace_id',
      ignore: [],
      allowEmpty: false,
      onMalformed: 'Block',
      queues: [],
      redis: `redis://127.0.0.1:${server.port}/0`,
      maxKeysPerSecond: 10_000_000,
      maxRedisLatencyMs,
      assume: {},
    }),
  )
  const began = performance.now()
  let firstPass = Number.NaN
  const look = async (): Promise<void> => {
    const pass = await redis.hget(control.work('bench'), 'pass')
    if (pass === '2' && Number.isNaN(firstPass)) firstPass = (performance.now() - began) / 1000
  }
  const timer = setInterval(() => void look(), 10)
  const connection = new Connection({ address: work.address, name: 'bench' })
  try {
    await runWork({
      work,
      redis: connection,
      clock: systemClock,
      logger: silent,
      metrics: createWorkerMetrics(new Registry()),
      signal: new AbortController().signal,
      limits: DEFAULT_WORKER_LIMITS,
    })
    return firstPass
  } finally {
    clearInterval(timer)
    await connection.close()
  }
}

async function loop(): Promise<void> {
  for (let i = 0; i < keys; i += 1) {
    const legacy = legacyKey(templates, job(i))
    const ws = values['json-strings']
      ? (JSON.parse((await redis.get(legacy)) ?? '{}') as { workspace_id: string }).workspace_id
      : ((await redis.hget(legacy, 'workspace_id')) ?? '')
    await redis.copy(legacy, targetKey(templates, ws, job(i)))
  }
}

async function pipe(file: string): Promise<void> {
  const child = spawn('sh', ['-c', `exec redis-cli -p ${server.port} --pipe < "$0"`, file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`redis-cli --pipe ended with ${code}`)
}

async function writeCommands(file: string, command: (i: number) => string[]): Promise<void> {
  const out = createWriteStream(file)
  for (let i = 0; i < keys; i += 1) {
    const words = command(i)
    const text = `*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`
    if (!out.write(text)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
}

/** A process of its own that PINGs each millisecond, so that this one's work does not count as Redis's. */
function startProbe(): { ready: Promise<unknown>; stop: () => Promise<number> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'latency-probe.ts'), String(server.port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8')
  const ready = once(child.stdout, 'data')
  child.stdout.on('data', (chunk: string) => (text += chunk))
  return {
    ready,
    stop: async () => {
      const ended = once(child, 'close')
      child.stdin.end()
      await ended
      return Number(text.trim().split('\n').at(-1))
    },
  }
}

/** CPU that Redis has used: says the same on a machine that has other things to do. */
async function cpuSeconds(): Promise<number> {
  const info = await redis.info('cpu')
  return ['user', 'sys'].reduce(
    (sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1]),
    0,
  )
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}
