import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { PreflightResult, VerifyResult } from '../../../src/protocol/work.ts'
import { Connection, parseRedisAddress } from '../../../src/redis/connection.ts'
import { DEFAULT_WORKER_LIMITS } from '../../../src/worker/context.ts'
import { verifyResult } from '../../../src/worker/kinds/verify.ts'
import { finishWork, readWorkHash } from '../../../src/worker/work-hash.ts'
import { parseWork } from '../../../src/worker/work-spec.ts'
import { World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await World.start(['--enable-debug-command', 'yes'])
})
afterAll(() => world.stop())
beforeEach(() => world.reset('BackfillVerify'))

test('hashes of thousands of fields in compact encoding, which HSCAN gives whole, are compared', async () => {
  const verify = (jobName: string) => world.run<VerifyResult>(world.spec('verify', { jobName }))
  await world.redis.config('SET', 'hash-max-listpack-entries', '20000')
  const fields = Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [`f${i}`, '1']))
  await world.redis.hset('ai:job:big', { workspace_id: 'w1', ...fields })
  await world.redis.copy('ai:job:big', 'ai:job:w1:big')
  expect(await verify('verify-1')).toMatchObject({ compared: 1, different: 0 })
  await world.redis.hset('ai:job:w1:big', 'f11999', '2')
  expect(await verify('verify-2')).toMatchObject({ compared: 1, different: 1 })
})

test('backfill stops at the watermark, not at the limit where the application could write no more', async () => {
  // So much that what a batch of 5 ms can copy is less than lies between watermark and limit.
  const value = 'x'.repeat(200_000)
  for (let i = 0; i < 2000; i += 1) await world.redis.hset(`ai:job:j${i}`, { workspace_id: 'w1', value })
  const memory = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await world.redis.info('memory'))?.[1])
  // Room for half of the copies.
  const limit = Math.floor((await memory()) * 1.5)
  await world.redis.config('SET', 'maxmemory', String(limit))
  try {
    await expect(world.run(world.spec('backfill'), { limits: { giveUpMs: 300 } })).rejects.toThrow(
      'above the watermark',
    )
    expect(await memory()).toBeLessThan(limit)
  } finally {
    await world.redis.config('SET', 'maxmemory', '0')
  }
})

test('a result is not written over a pass that another worker has made since it was read', async () => {
  const spec = world.spec('verify')
  await world.redis.hset('ai:job:j1', { workspace_id: 'w1' })
  await world.redis.copy('ai:job:j1', 'ai:job:w1:j1')
  const atEnd = (act: () => Promise<void>) => async (name: string, reply: unknown) => {
    if (name === 'worker-verify-batch' && Array.isArray(reply) && reply[0] === 'ENDED') await act()
  }
  const dies = atEnd(() => Promise.reject(new Error('dies before it writes a result')))
  await world.run(spec, { after: dies }).catch(() => undefined)
  const redis = new Connection({ address: parseRedisAddress(spec.redis), name: 'a' })
  const io = { redis, work: parseWork(JSON.stringify(spec)), limits: DEFAULT_WORKER_LIMITS }
  const read = await readWorkHash(io)
  await world.redis.call('DEBUG', 'CHANGE-REPL-ID')
  await world.redis.hset('ai:job:w1:j1', 'x', '1')
  await world.run(spec, { after: dies }).catch(() => undefined)
  expect(await finishWork(io, verifyResult(read, spec), read)).toBe('NOT_ENDED')
  const now = await readWorkHash(io)
  expect(await finishWork(io, verifyResult(now, spec), now)).toBe('OK')
  expect(JSON.parse((await world.fields(spec.jobName)).result ?? '')).toMatchObject({ different: 1 })
  await redis.close()
})

test('a queue whose type may not be asked for is not taken as fine', async () => {
  await world.reset('Legacy', 1, 1)
  await world.redis.hset('ai:job:j1', { workspace_id: 'w1' })
  await world.redis.call('ACL', 'SETUSER', 'worker', 'on', '>p', '~ai:job:*', '~keyshift:*', '+@all')
  await world.redis.set('the-queue', 'no list')
  const credentials = () => Promise.resolve({ username: 'worker', password: 'p' })
  const result = await world.run<PreflightResult>(world.spec('preflight', { queues: ['the-queue'] }), { credentials })
  expect(result.warnings.map(({ reason }) => reason)).toContain('UnknownQueueType')
})
