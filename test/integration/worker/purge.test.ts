import { jest } from '@jest/globals'
import type { PurgeResult } from '../../../src/protocol/work.ts'
import { World } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())
beforeEach(() => world.reset('BackfillVerify'))

test('deletes well-formed target keys alone, strays included', async () => {
  await world.loadHashes(500)
  const before = await world.snapshot()
  await world.run(world.spec('backfill'))
  await world.redis.set('ai:job:w1:stray', '{"workspace_id":"w1"}')
  const foreign = {
    'ai:job:j1:progress': { workspace_id: 'w1' },
    'ai:job:j2:notes': { text: 'x' },
    'ai:job:w1:kept': { workspace_id: 'w1' },
  }
  for (const [key, fields] of Object.entries(foreign)) await world.redis.hset(key, fields)
  await world.redis.rpush('ai:job:w1:list', 'x')
  await world.record('Legacy', 12, 11)
  const result = await world.run<PurgeResult>(world.spec('purge', { ignore: ['ai:job:*:kept'] }))
  expect(result).toEqual({ kind: 'purge', deleted: 501 })
  const after = await world.snapshot()
  expect(after).toMatchObject(before)
  expect(
    Object.keys(after)
      .filter((key) => !(key in before))
      .sort(),
  ).toEqual([...Object.keys(foreign), 'ai:job:w1:list'].sort())
})

test('[D8] of the same names in another db and of names that only end alike nothing is changed, nor of their control keys', async () => {
  const { redis } = world
  await world.loadHashes(20)
  await world.run(world.spec('backfill'))
  await redis.hset('xai:job:w1:j1', { workspace_id: 'w1' })
  await redis.select(1)
  await redis.hset('ai:job:j1', { workspace_id: 'w1' })
  await redis.hset('ai:job:w1:j1', { workspace_id: 'w1' })
  await redis.pexpire('ai:job:w1:j1', 3_600_000)
  await world.record('DualWrite', 7, 6)
  const bytes = async () => {
    const keys = (await redis.keys('*')).sort()
    return Promise.all(keys.map(async (key) => [key, await redis.dumpBuffer(key), await redis.pexpiretime(key)]))
  }
  const neighbour = await bytes()
  await redis.select(0)
  await world.record('Legacy', 12, 11)
  expect(await world.run<PurgeResult>(world.spec('purge'))).toEqual({ kind: 'purge', deleted: 20 })
  expect(await redis.hgetall('xai:job:w1:j1')).toEqual({ workspace_id: 'w1' })
  await redis.select(1)
  expect(await bytes()).toEqual(neighbour)
  await redis.select(0)
})

test('where no run is known, nothing is deleted but copies: the rest may be jobs whose ids have the delimiter in them', async () => {
  const { redis } = world
  const job = { workspace_id: 'w1', v: '1' }
  await redis.hset('ai:job:copied', job)
  await redis.hset('ai:job:w1:copied', job)
  await redis.hset('ai:job:changed', job)
  await redis.hset('ai:job:w1:changed', { ...job, v: '2' })
  await redis.hset('ai:job:expiring', job)
  await redis.hset('ai:job:w1:expiring', job)
  await redis.expire('ai:job:w1:expiring', 1000)
  await redis.hset('ai:job:w1:alone', job)
  const before = await world.keys('ai:job:*')
  await world.record('Legacy', 1, 1)
  const result = await world.run<PurgeResult>(world.spec('purge', { allowTarget: false }))
  expect(result).toEqual({ kind: 'purge', deleted: 1 })
  expect((await world.keys('ai:job:*')).sort()).toEqual(before.filter((key) => key !== 'ai:job:w1:copied').sort())
})

test.each(['DualWrite', 'ReadRouting', 'BackfillVerify'] as const)('deletes nothing in phase %s', async (phase) => {
  await world.redis.hset('ai:job:w1:j1', { workspace_id: 'w1' })
  await world.record(phase, 5, 4)
  await expect(world.run(world.spec('purge'))).rejects.toThrow(`purge is not allowed in phase ${phase}`)
  expect(await world.keys('ai:job:*')).toEqual(['ai:job:w1:j1'])
})

test('deletes nothing while the record lies below the fence', async () => {
  await world.redis.hset('ai:job:w1:j1', { workspace_id: 'w1' })
  await world.record('Legacy', 3, 4)
  await expect(world.run(world.spec('purge'), { limits: { giveUpMs: 0 } })).rejects.toThrow('below the fence')
  expect(await world.keys('ai:job:*')).toEqual(['ai:job:w1:j1'])
})
