/** All keys of both schemas and of the queues, read with plain Redis commands: no code of the product. */
import type { RedisConnection, Reply } from '../../demo/resp.ts'
import type { Present, Value } from './history/job.ts'
import { QUEUES } from './jobs.ts'

const BATCH = 500
const PREFIX = 'ai:job:'

export interface Stored extends Present {
  readonly type: string
}

export interface Keys {
  /** By job id. */
  readonly legacy: ReadonlyMap<string, Stored>
  /** By job id, then by the workspace in the key's name. */
  readonly target: ReadonlyMap<string, ReadonlyMap<string, Stored>>
  /** Entries in queues and in processing, by job id. */
  readonly waiting: ReadonlyMap<string, number>
  /** Entries that no consumer could read. */
  readonly dead: number
  /** TIME before the first read and after the last one, ms. */
  readonly from: number
  readonly to: number
}

export async function readKeys(redis: RedisConnection, controlPrefix: string): Promise<Keys> {
  const from = await time(redis)
  const names = await scan(redis)
  const legacy = new Map<string, Stored>()
  const target = new Map<string, Map<string, Stored>>()
  for (let start = 0; start < names.length; start += BATCH) {
    const batch = names.slice(start, start + BATCH)
    const stored = await readBatch(redis, batch)
    batch.forEach((name, i) => {
      const one = stored[i]
      if (one === undefined) return
      const [first = '', second] = name.slice(PREFIX.length).split(':')
      if (second === undefined) legacy.set(first, one)
      else target.set(second, (target.get(second) ?? new Map<string, Stored>()).set(first, one))
    })
  }
  const { waiting, dead } = await readQueues(redis, controlPrefix)
  return { legacy, target, waiting, dead, from, to: await time(redis) }
}

/** Takes every key of a job away, in one command. */
export function removal(jobId: string, workspaces: readonly string[]): readonly string[] {
  return ['DEL', `${PREFIX}${jobId}`, ...workspaces.map((workspace) => `${PREFIX}${workspace}:${jobId}`)]
}

async function scan(redis: RedisConnection): Promise<string[]> {
  const names = new Set<string>()
  let cursor = '0'
  do {
    const [next, page] = (await redis.command('SCAN', cursor, 'MATCH', `${PREFIX}*`, 'COUNT', 2000)) as [
      Buffer,
      Buffer[],
    ]
    cursor = next.toString()
    for (const name of page) names.add(name.toString())
  } while (cursor !== '0')
  return [...names]
}

async function readBatch(redis: RedisConnection, names: readonly string[]): Promise<(Stored | undefined)[]> {
  const types = await redis.pipeline(names.map((name) => ['TYPE', name]))
  const replies = await redis.pipeline(
    names.flatMap(
      (name, i) =>
        [
          [String(types[i]) === 'hash' ? 'HGETALL' : 'GET', name],
          ['PEXPIRETIME', name],
        ] as const,
    ),
  )
  return names.map((_, i) => {
    const [value, expiry] = [valueOf(replies[2 * i]), replies[2 * i + 1]]
    if (typeof expiry !== 'number' || expiry === -2 || value === undefined) return undefined
    return { type: String(types[i]), value, workspace: workspaceOf(value), expiresAt: expiry === -1 ? null : expiry }
  })
}

function valueOf(reply: Reply | undefined): Value | undefined {
  if (Buffer.isBuffer(reply)) return reply.toString()
  if (!Array.isArray(reply) || reply.length === 0) return undefined
  const fields: Record<string, string> = {}
  for (let i = 0; i + 1 < reply.length; i += 2) fields[String(reply[i])] = String(reply[i + 1])
  return fields
}

function workspaceOf(value: Value): string {
  try {
    const fields = typeof value === 'string' ? (JSON.parse(value) as Record<string, unknown>) : value
    return String(fields['workspace_id'])
  } catch {
    return ''
  }
}

async function readQueues(redis: RedisConnection, controlPrefix: string): Promise<Pick<Keys, 'waiting' | 'dead'>> {
  const waiting = new Map<string, number>()
  let dead = 0
  for (const queue of Object.values(QUEUES)) {
    const [wait, held, bad] = await redis.pipeline([
      ['LRANGE', queue, 0, -1],
      ['LRANGE', `${controlPrefix}processing:${queue}`, 0, -1],
      ['LLEN', `${controlPrefix}dead:${queue}`],
    ])
    for (const entry of [...list(wait), ...list(held)]) {
      const jobId = entry.slice(entry.indexOf(':') + 1)
      waiting.set(jobId, (waiting.get(jobId) ?? 0) + 1)
    }
    dead += Number(bad)
  }
  return { waiting, dead }
}

function list(reply: Reply | undefined): string[] {
  return Array.isArray(reply) ? (reply as Reply[]).map(String) : []
}

async function time(redis: RedisConnection): Promise<number> {
  const [seconds, micros] = (await redis.command('TIME')) as [Buffer, Buffer]
  return Number(seconds) * 1000 + Number(micros) / 1000
}
