/**
 * Throughput of the client as a share of plain ioredis doing the same without a migration: same encoding, payload,
 * concurrency and Redis. The two take turns in short rounds, and the share is that of each round.
 *
 *   npm run bench:client -- [--operations 500] [--rounds 31] [--concurrency 32] [--json]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { startRedis } from '../hack/local/redis.ts'
import { createKeyshiftClient } from '../src/client/index.ts'
import { controlKeys } from '../src/protocol/control-keys.ts'
import { renderDocument, ROUTING_FILE } from '../src/protocol/document.ts'
import { targetKey } from '../src/protocol/templates.ts'
import { LEGACY, ROUTINGS, TARGET, templates, type BenchRouting } from './client/routings.ts'
import { ENCODINGS, keyshiftWay, OPERATIONS, plainWay, WORKSPACE } from './client/ways.ts'
import type { BenchEncoding, BenchOperation, Way } from './client/ways.ts'

const { values } = parseArgs({
  options: {
    operations: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '31' },
    concurrency: { type: 'string', default: '32' },
    json: { type: 'boolean', default: false },
  },
})
const [operations, rounds, concurrency] = [values.operations, values.rounds, values.concurrency].map(Number) as [
  number,
  number,
  number,
]
if (![operations, rounds, concurrency].every((n) => Number.isSafeInteger(n) && n >= 1))
  throw new Error('--operations, --rounds and --concurrency take a whole number of 1 or more')

/** Of one round: seconds on the clock, and of CPU by Redis and by this process. */
interface Cost {
  readonly wall: number
  readonly redisCpu: number
  readonly ownCpu: number
}
/** Over the rounds: the median, and the quartiles that half of them lie between. */
interface Share {
  readonly median: number
  readonly low: number
  readonly high: number
}
interface Result {
  readonly encoding: BenchEncoding
  readonly routing: string
  readonly operation: BenchOperation
  /** Operations a second: the client's as a share of plain ioredis'. */
  readonly throughput: Share
  /** CPU for one operation: the client's as a multiple of plain ioredis'. */
  readonly redisCpu: Share
  readonly ownCpu: Share
  readonly plainPerSecond: number
}

const dir = mkdtempSync(join(tmpdir(), 'keyshift-bench-'))
const server = await startRedis({ dir: join(dir, 'redis') })
const redis = new Redis(server.port, '127.0.0.1')
const control = controlKeys(templates.controlPrefix)
const results: Result[] = []
try {
  for (const encoding of ENCODINGS)
    for (const routing of ROUTINGS) {
      await redis.flushall()
      results.push(...(await withClient(encoding, routing, (client) => measure(encoding, routing, client))))
      if (!values.json) console.error(`${encoding}, ${routing.name}: measured`)
    }
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1]
  const machine = { cores: availableParallelism(), node: process.versions.node, redis: version }
  if (values.json) console.log(JSON.stringify({ operations, rounds, concurrency, ...machine, results }))
  else print(results, `${machine.cores} cores, Node ${machine.node}, Redis ${version}`)
} finally {
  redis.disconnect()
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function withClient<T>(encoding: BenchEncoding, routing: BenchRouting, use: (way: Way) => Promise<T>) {
  const routingDir = mkdtempSync(join(dir, 'routing-'))
  if (routing.document !== undefined) {
    writeFileSync(join(routingDir, ROUTING_FILE), renderDocument(routing.document))
    await redis.set(control.fence, String(routing.document.epoch))
  }
  const client = createKeyshiftClient<BenchEncoding>({
    legacy: LEGACY,
    target: TARGET,
    encoding,
    redis: { address: `redis://127.0.0.1:${server.port}/0` },
    routingDir,
    podUid: 'bench',
    metrics: { registry: new Registry() },
  })
  try {
    await client.ready()
    return await use(keyshiftWay(client, encoding))
  } finally {
    await client.close()
  }
}

async function measure(encoding: BenchEncoding, routing: BenchRouting, client: Way): Promise<Result[]> {
  const plain = plainWay(redis, encoding)
  for (const way of [plain, client]) await eachJob((jobId, n) => way.enqueue(jobId, n), 'job')
  if (routing.halfBackfilled)
    await eachJob(async (jobId, n) => {
      if (n % 2 === 0) await redis.unlink(targetKey(templates, WORKSPACE, jobId))
    }, 'job')
  const done: Result[] = []
  for (const operation of OPERATIONS) {
    const costs: { plain: Cost; client: Cost }[] = []
    // The first round warms both up, and does not count.
    for (let round = 0; round <= rounds; round += 1) {
      const name = operation === 'enqueue' ? `new-${round}` : 'job'
      const run = (way: Way) => cost(() => eachJob((jobId, n) => way[operation](jobId, n), name))
      const first = round % 2 === 0 ? await run(plain) : await run(client)
      const second = round % 2 === 0 ? await run(client) : await run(plain)
      if (round > 0) costs.push(round % 2 === 0 ? { plain: first, client: second } : { plain: second, client: first })
    }
    done.push({
      encoding,
      routing: routing.name,
      operation,
      throughput: share(costs.map((c) => c.plain.wall / c.client.wall)),
      redisCpu: share(costs.map((c) => c.client.redisCpu / c.plain.redisCpu)),
      ownCpu: share(costs.map((c) => c.client.ownCpu / c.plain.ownCpu)),
      plainPerSecond: Math.round(operations / share(costs.map((c) => c.plain.wall)).median),
    })
  }
  return done
}

/** `operations` calls on as many jobs, `concurrency` of them at a time. */
async function eachJob(call: (jobId: string, n: number) => Promise<void>, name: string): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < operations) {
      const n = next++
      await call(`${name}-${n}`, n)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
}

async function cost(run: () => Promise<void>): Promise<Cost> {
  const redisBefore = await redisCpu()
  const ownBefore = process.cpuUsage()
  const began = performance.now()
  await run()
  const wall = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(ownBefore)
  return { wall, ownCpu: (user + system) / 1e6, redisCpu: (await redisCpu()) - redisBefore }
}

async function redisCpu(): Promise<number> {
  const info = await redis.info('cpu')
  return ['user', 'sys'].reduce(
    (sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1]),
    0,
  )
}

function share(numbers: readonly number[]): Share {
  const sorted = [...numbers].sort((a, b) => a - b)
  const at = (part: number): number =>
    Number((sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN).toPrecision(4))
  return { median: at(0.5), low: at(0.25), high: at(0.75) }
}

function print(rows: readonly Result[], machine: string): void {
  console.log(
    `\n${machine}; jobs of ~600 B, ${concurrency} at a time; median (quartiles) of ${rounds} rounds of ${operations}\n`,
  )
  console.log('| encoding | routing | operation | throughput of plain ioredis | CPU of Redis | CPU of the app |')
  console.log('|---|---|---|---|---|---|')
  for (const { encoding, routing, operation, throughput, redisCpu: r, ownCpu: o } of rows) {
    const range = `${throughput.low.toFixed(2)}-${throughput.high.toFixed(2)}`
    console.log(
      `| ${encoding} | ${routing} | ${operation} | ${throughput.median.toFixed(2)} (${range}) | x ${r.median.toFixed(1)} | x ${o.median.toFixed(1)} |`,
    )
  }
}
