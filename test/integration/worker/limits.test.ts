import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { VerifyResult } from '../../../src/protocol/work.ts'
import { World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await World.start()
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
  const value = 'x'.repeat(90_000)
  for (let i = 0; i < 400; i += 1) await world.redis.hset(`ai:job:j${i}`, { workspace_id: 'w1', value })
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
