import type { Redis } from 'ioredis'
import type { JobStore, KeyshiftClient } from '../../src/client/index.ts'

export const ENCODINGS = ['hash', 'json'] as const
export type BenchEncoding = (typeof ENCODINGS)[number]
export const OPERATIONS = ['get', 'update', 'enqueue'] as const
export type BenchOperation = (typeof OPERATIONS)[number]

export const WORKSPACE = 'w1'
export const QUEUE = 'bench:queue'

/** One way of doing each operation. Each call does one, and rejects unless it did what was asked. */
export type Way = Readonly<Record<BenchOperation, (jobId: string, n: number) => Promise<void>>>

const PAYLOAD = 'x'.repeat(520)
const fieldsOf = (n: number) => ({ workspace_id: WORKSPACE, status: 'queued', attempts: String(n), payload: PAYLOAD })
const textOf = (n: number): string => JSON.stringify({ ...fieldsOf(n), attempts: n })
/** What both ways do to a text; neither knows more of it than the app does. */
const change = (text: string, n: number): string => JSON.stringify({ ...(JSON.parse(text) as object), attempts: n })
const must = (done: boolean, what: string): void => {
  if (!done) throw new Error(`${what} found no job`)
}

/** An app's own code over ioredis: what it does in one step is one step here too. */
export function plainWay(redis: Redis, encoding: BenchEncoding): Way {
  const key = (jobId: string): string => `plain:job:${jobId}`
  if (encoding === 'hash')
    return {
      get: async (jobId) => must((await redis.hgetall(key(jobId)))['payload'] !== undefined, 'HGETALL'),
      update: async (jobId, n) => {
        await redis.hset(key(jobId), { status: 'running', attempts: String(n) })
      },
      enqueue: async (jobId, n) => {
        await redis.multi().hset(key(jobId), fieldsOf(n)).lpush(`plain:${QUEUE}`, jobId).exec()
      },
    }
  return {
    get: async (jobId) => must((await redis.get(key(jobId))) !== null, 'GET'),
    update: async (jobId, n) => {
      const text = await redis.get(key(jobId))
      must(text !== null && (await redis.set(key(jobId), change(text, n), 'KEEPTTL', 'XX')) === 'OK', 'SET XX')
    },
    enqueue: async (jobId, n) => {
      await redis.multi().set(key(jobId), textOf(n)).lpush(`plain:${QUEUE}`, jobId).exec()
    },
  }
}

export function keyshiftWay(client: KeyshiftClient<BenchEncoding>, encoding: BenchEncoding): Way {
  const store: unknown = client.forWorkspace(WORKSPACE)
  if (encoding === 'hash') {
    const jobs = store as JobStore<'hash'>
    return {
      get: async (jobId) => must((await jobs.get(jobId)) !== undefined, 'get'),
      update: async (jobId, n) => must(await jobs.update(jobId, { status: 'running', attempts: String(n) }), 'update'),
      enqueue: (jobId, n) => jobs.enqueue(jobId, fieldsOf(n), { queue: QUEUE }),
    }
  }
  const jobs = store as JobStore<'json'>
  return {
    get: async (jobId) => must((await jobs.get(jobId)) !== undefined, 'get'),
    update: async (jobId, n) => must(await jobs.update(jobId, (text) => change(text, n)), 'update'),
    enqueue: (jobId, n) => jobs.enqueue(jobId, textOf(n), { queue: QUEUE }),
  }
}
