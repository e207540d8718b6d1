import { KEY_PREFIX, WORKSPACES, hashFields, legacyKey, seededText } from './jobs.ts'
import type { Ledger } from './ledger.ts'
import type { Command, RedisConnection, Reply } from './resp.ts'
import { ReplyError } from './resp.ts'

export interface SeedSizes {
  /** Hash jobs, the malformed ones among them. */
  readonly jobs: number
  readonly docs: number
  readonly malformed: number
  /** Jobs that lie in the queue already, as the application of old left them. */
  readonly waiting: number
  /** Expiring jobs that end within `endingWithinMs`. */
  readonly ending: number
  readonly endingWithinMs: number
}

export const FULL_SIZES: SeedSizes = {
  jobs: 100_000,
  docs: 20_000,
  malformed: 50,
  waiting: 500,
  ending: 3_000,
  endingWithinMs: 180_000,
}
export const SHORT_SIZES: SeedSizes = {
  ...FULL_SIZES,
  jobs: 6_000,
  docs: 1_500,
  waiting: 100,
  ending: 400,
  endingWithinMs: 90_000,
}

/** A job whose workspace cannot be told. The bytes of `DUMP` show whether anybody touched it. */
export interface MalformedJob {
  readonly key: Buffer
  readonly dump: Buffer
}

export type Report = (done: number, total: number) => void

const BATCH = 1_000
const DAY_MS = 86_400_000

/** Milliseconds of Redis's own clock, against which all expiries are judged. */
export async function redisNow(redis: RedisConnection): Promise<number> {
  const reply = await redis.command('TIME')
  if (!Array.isArray(reply)) throw new Error('Redis did not tell its time')
  const [seconds, micros] = (reply as Reply[]).map((part) => Number(String(part)))
  return (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000)
}

/**
 * Hash jobs in the legacy schema over all workspaces, a third with an expiry. The first `waiting` lie in the queue, the
 * next `ending` end during the demo.
 */
export async function seedJobs(
  redis: RedisConnection,
  ledger: Ledger,
  sizes: SeedSizes,
  report: Report,
): Promise<void> {
  const now = await redisNow(redis)
  const queue = ledger.store.queue ?? ''
  await inBatches(redis, sizes.jobs - sizes.malformed, report, (i) => {
    const id = `seed-${i}`
    const workspace = WORKSPACES[i % WORKSPACES.length] ?? ''
    const waiting = i < sizes.waiting
    const expiresAt = expiryOf(i - sizes.waiting, sizes, now)
    ledger.add({ id, workspace, seeded: true, queued: waiting, expiresAt })
    const fields = { ...hashFields(workspace, id, 0), status: waiting ? 'queued' : 'done' }
    const commands: Command[] = [['HSET', legacyKey(id), ...Object.entries(fields).flat()]]
    if (expiresAt !== undefined) commands.push(['PEXPIREAT', legacyKey(id), expiresAt])
    if (waiting) commands.push(['LPUSH', queue, id])
    return commands
  })
}

/** JSON documents in the legacy schema, every tenth with an expiry. */
export async function seedDocs(
  redis: RedisConnection,
  ledger: Ledger,
  sizes: SeedSizes,
  report: Report,
): Promise<void> {
  const now = await redisNow(redis)
  await inBatches(redis, sizes.docs, report, (i) => {
    const id = `doc-${i}`
    const workspace = WORKSPACES[i % WORKSPACES.length] ?? ''
    const expiresAt = i % 10 === 0 ? now + DAY_MS + i : undefined
    ledger.add({ id, workspace, seeded: true, queued: false, expiresAt })
    const set = ['SET', legacyKey(id), seededText(workspace, id)]
    return [expiresAt === undefined ? set : [...set, 'PXAT', expiresAt]]
  })
}

// Waiting jobs have no expiry: a worker must be able to bring each of them to its end.
function expiryOf(i: number, sizes: SeedSizes, now: number): number | undefined {
  if (i < 0) return undefined
  if (i < sizes.ending) return now + 20_000 + Math.floor((i / sizes.ending) * (sizes.endingWithinMs - 20_000))
  return i % 3 === 0 ? now + DAY_MS + i * 10 : undefined
}

/** Jobs of every malformed sort in turn. */
export async function seedMalformed(redis: RedisConnection, count: number): Promise<MalformedJob[]> {
  const makers: readonly ((key: Buffer) => Command)[] = [
    (key) => ['HSET', key, 'payload', 'no workspace at all', 'status', 'done'],
    (key) => ['HSET', key, 'workspace_id', '', 'payload', 'an empty workspace'],
    (key) => ['HSET', key, 'workspace_id', 'w:01', 'payload', 'the delimiter in the workspace'],
    (key) => ['HSET', key, 'workspace_id', Buffer.from([0x77, 0xff, 0xfe]), 'payload', 'no UTF-8'],
    (key) => ['RPUSH', key, 'a list', 'where a hash should be'],
    (key) => ['SADD', key, 'a set'],
    (key) => ['SET', key, 'a string where a hash should be'],
    (key) => ['ZADD', key, 1, 'a sorted set'],
    (key) => [
      'HSET',
      Buffer.concat([key, Buffer.from([0xff, 0xc0])]),
      'workspace_id',
      'w-01',
      'payload',
      'a name that is no UTF-8',
    ],
  ]
  const commands = Array.from({ length: count }, (_, i) => {
    const make = makers[i % makers.length]
    if (make === undefined) throw new Error('no sort of malformed job')
    return make(Buffer.from(`${KEY_PREFIX}malformed-${i}`))
  })
  await send(redis, commands)
  const keys = commands.map((command) => Buffer.from(command[1] as Buffer))
  const dumps = await redis.pipeline(keys.map((key) => ['DUMP', key]))
  return keys.map((key, i) => {
    const dump = dumps[i]
    if (!Buffer.isBuffer(dump)) throw new Error(`malformed job ${key.toString('latin1')} was not written`)
    return { key, dump }
  })
}

async function inBatches(
  redis: RedisConnection,
  total: number,
  report: Report,
  commandsOf: (i: number) => readonly Command[],
): Promise<void> {
  for (let start = 0; start < total; start += BATCH) {
    const commands: Command[] = []
    for (let i = start; i < Math.min(start + BATCH, total); i++) commands.push(...commandsOf(i))
    await send(redis, commands)
    report(Math.min(start + BATCH, total), total)
  }
}

async function send(redis: RedisConnection, commands: readonly Command[]): Promise<void> {
  const refused = (await redis.pipeline(commands)).find((reply) => reply instanceof ReplyError)
  if (refused !== undefined) throw refused
}
