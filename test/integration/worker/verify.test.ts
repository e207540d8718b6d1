import { jest } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { VerifyResult } from '../../../src/protocol/work.ts'
import { World } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())
beforeEach(async () => {
  await world.reset('BackfillVerify')
  await world.loadHashes(200)
  for (let i = 0; i < 50; i += 1) {
    await world.redis.set(`ai:job:s${i}`, JSON.stringify({ workspace_id: `w${i % 5}`, n: i }), 'PX', 900_000 + i)
  }
  await world.run(world.spec('backfill'))
})

const verify = (direction: 'Both' | 'TargetToLegacy' = 'Both', overrides = {}) =>
  world.run<VerifyResult>(world.spec('verify', { direction, ...overrides }))
const clean = { missing: 0, different: 0, orphan: 0, malformed: 0, foreign: 0, findings: [], malformedKeys: [] }

type Plant = () => Promise<unknown>
const r = () => world.redis
const planted: [string, Plant, Partial<VerifyResult>, Partial<VerifyResult>][] = [
  [
    'a legacy job without its target',
    () => r().del('ai:job:w1:j1'),
    { missing: 1, findings: [{ key: 'ai:job:j1', why: 'no target key' }] },
    {},
  ],
  [
    'a target without its legacy job',
    () => r().del('ai:job:j1'),
    { orphan: 1, findings: [{ key: 'ai:job:w1:j1', why: 'no legacy key' }] },
    { orphan: 1, findings: [{ key: 'ai:job:w1:j1', why: 'no legacy key' }] },
  ],
  [
    'one field with another value',
    () => r().hset('ai:job:w1:j1', 'status', 'other'),
    { different: 1, findings: [{ key: 'ai:job:j1', why: 'different value' }] },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'different value' }] },
  ],
  [
    'a field more in the target',
    () => r().hset('ai:job:w1:j1', 'extra', ''),
    { different: 1, findings: [{ key: 'ai:job:j1', why: 'different value' }] },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'different value' }] },
  ],
  [
    'a field under another name',
    async () => {
      await r().hdel('ai:job:w1:j1', 'n')
      await r().hset('ai:job:w1:j1', 'm', '1')
    },
    { different: 1, findings: [{ key: 'ai:job:j1', why: 'different value' }] },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'different value' }] },
  ],
  [
    'an expiry that only the legacy job has',
    () => r().persist('ai:job:w3:j3'),
    { different: 1, findings: [{ key: 'ai:job:j3', why: 'different expiry' }] },
    { different: 1, findings: [{ key: 'ai:job:w3:j3', why: 'different expiry' }] },
  ],
  [
    'expiries one millisecond apart',
    async () => r().pexpireat('ai:job:w3:j3', (await r().pexpiretime('ai:job:j3')) + 1),
    { different: 1, findings: [{ key: 'ai:job:j3', why: 'different expiry' }] },
    { different: 1, findings: [{ key: 'ai:job:w3:j3', why: 'different expiry' }] },
  ],
  [
    'a JSON text with other bytes, though equal as JSON',
    () => r().set('ai:job:w1:s1', '{"workspace_id": "w1","n":1}', 'KEEPTTL'),
    { different: 1, findings: [{ key: 'ai:job:s1', why: 'different value' }] },
    { different: 1, findings: [{ key: 'ai:job:w1:s1', why: 'different value' }] },
  ],
  [
    'a hash on one side and a text on the other',
    async () => {
      await r().del('ai:job:w1:j1')
      await r().set('ai:job:w1:j1', '{"workspace_id":"w1"}')
    },
    { different: 1, findings: [{ key: 'ai:job:j1', why: 'different type' }] },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'different type' }] },
  ],
  [
    'a legacy job that names another workspace than its target',
    () => r().hset('ai:job:j1', 'workspace_id', 'w2'),
    {
      missing: 1,
      different: 1,
      findings: [
        { key: 'ai:job:j1', why: 'no target key' },
        { key: 'ai:job:w1:j1', why: 'the legacy key names no such workspace' },
      ],
    },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'the legacy key names no such workspace' }] },
  ],
  [
    'a legacy job that became malformed, its target still there',
    () => r().hdel('ai:job:j1', 'workspace_id'),
    {
      malformed: 1,
      different: 1,
      findings: [{ key: 'ai:job:w1:j1', why: 'its legacy key is malformed: no workspace_id' }],
      malformedKeys: [{ key: 'ai:job:j1', why: 'no workspace_id' }],
    },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'its legacy key is malformed: no workspace_id' }] },
  ],
  [
    'a list in the place of a legacy job',
    async () => {
      await r().del('ai:job:j1')
      await r().rpush('ai:job:j1', 'x')
    },
    {
      malformed: 1,
      different: 1,
      findings: [{ key: 'ai:job:w1:j1', why: 'its legacy key is malformed: wrong type: list' }],
      malformedKeys: [{ key: 'ai:job:j1', why: 'wrong type: list' }],
    },
    { different: 1, findings: [{ key: 'ai:job:w1:j1', why: 'its legacy key is malformed: wrong type: list' }] },
  ],
  [
    'a key that only looks like a target',
    () => r().hset('ai:job:j1:progress', { workspace_id: 'w1' }),
    { foreign: 1 },
    { foreign: 1 },
  ],
  ['nothing', () => Promise.resolve(), {}, {}],
  [
    'fields put in in another order',
    async () => {
      const fields = Object.entries(await r().hgetall('ai:job:w1:j1')).reverse()
      await r().del('ai:job:w1:j1')
      await r().hset('ai:job:w1:j1', ...fields.flat())
    },
    {},
    {},
  ],
]

describe.each(planted)('planted: %s', (_name, plant, both, targetToLegacy) => {
  test('found from both sides, and nothing else', async () => {
    await plant()
    expect(await verify('Both')).toMatchObject({ ...clean, ...both })
  })
  test('found from the target alone, and nothing else', async () => {
    await plant()
    expect(await verify('TargetToLegacy')).toMatchObject({ ...clean, ...targetToLegacy })
  })
})

test('hashes of thousands of fields: equal in any order, and one field of another value is found', async () => {
  const fields = Array.from({ length: 5000 }, (_, i) => [`f${i}`, `v${i}`])
  await r().hset('ai:job:big', 'workspace_id', 'w1', ...fields.flat())
  await r().hset('ai:job:w1:big', ...fields.toReversed().flat(), 'workspace_id', 'w1')
  expect(await verify()).toMatchObject(clean)
  await r().hset('ai:job:w1:big', 'f4321', 'x')
  await r().del('keyshift-nothing')
  expect(await world.run(world.spec('verify', { jobName: 'verify-2' }))).toMatchObject({
    ...clean,
    different: 1,
    findings: [{ key: 'ai:job:big', why: 'different value' }],
  })
})

test('one missing and one orphan do not make up for each other', async () => {
  await r().del('ai:job:w1:j1', 'ai:job:j2')
  expect(await verify()).toMatchObject({ ...clean, missing: 1, orphan: 1, findings: expect.any(Array) as [] })
})

test('the first twenty of each sort are listed, all are counted', async () => {
  for (let i = 0; i < 50; i += 1) await r().del(`ai:job:w${i % 20}:j${i}`)
  const result = await verify()
  expect(result.missing).toBe(50)
  expect(result.findings).toHaveLength(20)
})

test('names that are no text are shown with their bytes, and cut', async () => {
  await r().call('HSET', Buffer.from([...Buffer.from('ai:job:'), 0xff, 0x0a, 0x41]), 'a', '1')
  await r().hset(`ai:job:${'é'.repeat(250)}`, { a: '1' })
  const { malformedKeys } = await verify()
  expect(malformedKeys.map(({ key }) => key).sort()).toEqual(['ai:job:\\xff\\x0aA', `ai:job:${'é'.repeat(192)}…`])
})

test('jobs that expire while it runs are no findings', async () => {
  const pairs = `#!lua
    for i = 1, 200 do
      local at = tonumber(ARGV[1]) + i % 40
      for _, key in ipairs({ 'ai:job:e' .. i, 'ai:job:w1:e' .. i }) do
        redis.call('HSET', key, 'workspace_id', 'w1')
        redis.call('PEXPIREAT', key, at)
      end
    end`
  for (let round = 0; round < 30; round += 1) {
    await r().eval(pairs, 0, String(Date.now() + 1))
    const result = await world.run<VerifyResult>(world.spec('verify', { jobName: `verify-${round}` }))
    expect(result).toMatchObject(clean)
    expect(result.compared).toBeGreaterThanOrEqual(250)
  }
})

test('works over maxmemory, where writes are refused', async () => {
  const used = Number(/used_memory:(\d+)/.exec(await r().info('memory'))?.[1])
  await r().config('SET', 'maxmemory', String(used - 1000))
  try {
    expect(await verify()).toMatchObject(clean)
  } finally {
    await r().config('SET', 'maxmemory', '0')
  }
})

test('decodes JSON only to read: no worker script encodes it', () => {
  const lua = join(import.meta.dirname, '../../../src/redis/lua')
  for (const name of ['worker-backfill-batch', 'worker-verify-batch', 'lib/worker-value', 'lib/worker-compare']) {
    expect(readFileSync(join(lua, `${name}.lua`), 'utf8')).not.toContain('cjson.encode')
  }
})
