import { Redis } from 'ioredis'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../../local/redis.ts'
import { fromWire, jsonToWire, toWire, type KeyState, type Span, type Wire } from './wire.ts'

/** A Redis of its own on which script calls are tried one by one. */
export interface Bench {
  /** Empties the db and stores these keys. */
  load(states: readonly KeyState[]): Promise<void>
  /** Runs a script between two looks at the clock. */
  run(
    source: string,
    keys: readonly string[],
    argv: readonly (string | Buffer)[],
  ): Promise<{ reply: unknown; span: Span }>
  /** Every key there is, by name. `spans`: of all that was run since `load`. */
  state(spans: readonly Span[]): Promise<KeyState[]>
  stop(): Promise<void>
}

export async function startBench(): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-vectors-'))
  const server = await startRedis({ dir })
  const redis = new Redis({ port: server.port, host: '127.0.0.1', protocol: 2 })
  return {
    load: async (states) => {
      await redis.flushdb()
      for (const state of states) await store(redis, state)
    },
    run: async (source, keys, argv) => {
      // As one step, so that the two looks at the clock lie as close as can be.
      const replies = await redis
        .multi()
        .time()
        .callBuffer('EVAL', source, keys.length, ...keys, ...argv)
        .time()
        .exec()
      const [[, before], [error, reply], [, after]] = replies as [
        [null, string[]],
        [Error | null, unknown],
        [null, string[]],
      ]
      if (error !== null) throw error
      return { reply, span: { from: ms(before), to: ms(after) } }
    },
    state: async (spans) => {
      const states: KeyState[] = []
      for (const key of (await redis.keys('*')).sort()) states.push(await read(redis, key, spans))
      return states
    },
    stop: async () => {
      redis.disconnect()
      await server.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

const ms = ([seconds, micros]: readonly string[]): number => Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)

async function store(redis: Redis, { key, type, value, expiresAt }: KeyState): Promise<void> {
  const items = (Array.isArray(value) ? value.flat() : [value]).map((item) => fromWire(item))
  if (type === 'string') await redis.call('SET', key, items[0] ?? '')
  if (type === 'list') await redis.call('RPUSH', key, ...items)
  if (type === 'hash') await redis.call('HSET', key, ...items)
  if (type === 'zset')
    for (let i = 0; i < items.length; i += 2) await redis.call('ZADD', key, items[i + 1] ?? '', items[i] ?? '')
  if (typeof expiresAt === 'number') await redis.pexpireat(key, expiresAt)
}

async function read(redis: Redis, key: string, spans: readonly Span[]): Promise<KeyState> {
  const type = (await redis.type(key)) as KeyState['type']
  const expiry = await redis.pexpiretime(key)
  return {
    key,
    type,
    value: await readValue(redis, key, type, spans),
    ...(expiry < 0 ? {} : { expiresAt: toWire(expiry, spans) }),
  }
}

async function readValue(redis: Redis, key: string, type: KeyState['type'], spans: readonly Span[]): Promise<Wire> {
  if (type === 'string') {
    const bytes = (await redis.callBuffer('GET', key)) as Buffer
    return key.includes(':lease:') ? jsonToWire(bytes.toString(), spans) : toWire(bytes, spans)
  }
  if (type === 'list') return toWire(await redis.callBuffer('LRANGE', key, 0, -1), spans)
  const command = type === 'hash' ? ['HGETALL', key] : ['ZRANGE', key, 0, -1, 'WITHSCORES']
  const flat = (await redis.callBuffer(command[0] as string, ...command.slice(1))) as Buffer[]
  const pairs: [Wire, Wire][] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const [name, second] = [flat[i] as Buffer, flat[i + 1] as Buffer]
    pairs.push([
      toWire(name, spans),
      key.endsWith(':members') ? jsonToWire(second.toString(), spans) : toWire(second, spans),
    ])
  }
  // Redis keeps no order of fields that one could rely on.
  return type === 'hash' ? pairs.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : pairs
}
