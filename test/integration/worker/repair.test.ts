import { jest } from '@jest/globals'
import { KEPT_MS, type RepairResult, type VerifyResult, type WorkSpec } from '../../../src/protocol/work.ts'
import { control, World } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())
beforeEach(async () => {
  await world.reset('BackfillVerify')
  await world.loadHashes(60)
  for (let i = 0; i < 30; i += 1) {
    await world.redis.set(`ai:job:s${i}`, JSON.stringify({ workspace_id: `w${i % 5}`, n: i }), 'PX', 900_000 + i)
  }
  await world.run(world.spec('backfill'))
})

const r = () => world.redis
const repair = (overrides: Partial<WorkSpec> = {}) => world.run<RepairResult>(world.spec('repair', overrides))
const verify = async (jobName: string) => {
  const { missing, different, orphan } = await world.run<VerifyResult>(world.spec('verify', { jobName }))
  return { missing, different, orphan }
}
const nothing = { copied: 0, replaced: 0, removed: 0, left: 0, findings: [], leftKeys: [] }
const kept = async () => (await world.keys(`${control.kept}*`)).map((key) => key.slice(control.kept.length))
const keptOf = async (key: string) => {
  const names = (await kept()).filter((name) => /^[0-9]+:/.test(name) && name.slice(name.indexOf(':') + 1) === key)
  expect(names).toHaveLength(1)
  return control.kept + (names[0] ?? '')
}

type Damage = () => Promise<unknown>
/** Each one is found by verify, and mended. `takes`: the key whose value is kept. */
const damages: readonly (readonly [string, Damage, Partial<RepairResult>, takes: string | undefined])[] = [
  [
    'a missing target',
    () => r().del('ai:job:w1:j1'),
    { copied: 1, findings: [{ key: 'ai:job:j1', why: 'copied: no target key' }] },
    undefined,
  ],
  [
    'a field with another value',
    () => r().hset('ai:job:w1:j1', 'status', 'other'),
    { replaced: 1, findings: [{ key: 'ai:job:j1', why: 'replaced: different value' }] },
    'ai:job:w1:j1',
  ],
  [
    'a target without its workspace',
    () => r().hdel('ai:job:w1:j1', 'workspace_id'),
    { replaced: 1, findings: [{ key: 'ai:job:j1', why: 'replaced: different value' }] },
    'ai:job:w1:j1',
  ],
  [
    'a list in the place of a target',
    async () => {
      await r().del('ai:job:w1:j1')
      await r().rpush('ai:job:w1:j1', 'x')
    },
    { replaced: 1, findings: [{ key: 'ai:job:j1', why: 'replaced: different type' }] },
    'ai:job:w1:j1',
  ],
  [
    'an expiry that only the target lost (D1)',
    () => r().set('ai:job:w1:s1', JSON.stringify({ workspace_id: 'w1', n: 1 })),
    { replaced: 1, findings: [{ key: 'ai:job:s1', why: 'replaced: different expiry' }] },
    'ai:job:w1:s1',
  ],
  [
    'an expiry that only the target has (D1)',
    () => r().pexpire('ai:job:w1:j1', 600_000),
    { replaced: 1, findings: [{ key: 'ai:job:j1', why: 'replaced: different expiry' }] },
    'ai:job:w1:j1',
  ],
  [
    'a target whose legacy key was deleted',
    () => r().del('ai:job:j1'),
    { removed: 1, findings: [{ key: 'ai:job:w1:j1', why: 'removed: no legacy key' }] },
    'ai:job:w1:j1',
  ],
  [
    'a job that was moved to another workspace',
    () => r().hset('ai:job:j1', 'workspace_id', 'w2'),
    {
      copied: 1,
      removed: 1,
      findings: [
        { key: 'ai:job:j1', why: 'copied: no target key' },
        { key: 'ai:job:w1:j1', why: 'removed: the legacy key names no such workspace' },
      ],
    },
    'ai:job:w1:j1',
  ],
]

test.each(damages)(
  '%s is put right, legacy is untouched, and what was there is kept',
  async (_, damage, result, takes) => {
    await damage()
    const [before, legacyBefore] = [takes === undefined ? '' : await world.describe(takes), await legacy()]
    expect(await verify('verify-1')).not.toEqual({ missing: 0, different: 0, orphan: 0 })
    expect(await repair()).toEqual({ kind: 'repair', direction: 'Both', ...nothing, ...result })
    expect(await verify('verify-2')).toEqual({ missing: 0, different: 0, orphan: 0 })
    expect(await legacy()).toEqual(legacyBefore)
    expect(await kept()).toHaveLength(takes === undefined ? 0 : 1)
    if (takes === undefined) return
    const copy = await keptOf(takes)
    const [, expiry] = before.split(' ')
    const limit = Date.now() + KEPT_MS
    expect((await world.describe(copy)).replace(/ \S+/, '')).toBe(before.replace(/ \S+/, ''))
    const keptUntil = await r().pexpiretime(copy)
    if (expiry === '-1') expect(keptUntil).toBeGreaterThan(limit - 60_000)
    else expect(keptUntil).toBe(Number(expiry))
  },
)

const legacy = async () =>
  Object.fromEntries(Object.entries(await world.snapshot()).filter(([key]) => key.split(':').length === 3))

test('[D1] both keys of a damaged job have the absolute expiry of before, in every phase that repairs', async () => {
  for (const phase of ['DualWrite', 'ReadRouting', 'BackfillVerify'] as const) {
    await world.record(phase, 5, 4)
    for (const [key, target] of [
      ['ai:job:s1', 'ai:job:w1:s1'],
      ['ai:job:j1', 'ai:job:w1:j1'],
    ] as const) {
      const expiry = await r().pexpiretime(key)
      if (key.includes('s1')) await r().set(target, '{"workspace_id":"w1"}')
      else await r().pexpire(target, 5000)
      await repair({ jobName: `repair-${phase}-${key.at(-2)}`, direction: 'TargetToLegacy' })
      expect([await r().pexpiretime(key), await r().pexpiretime(target)]).toEqual([expiry, expiry])
    }
  }
})

test('malformed and foreign keys, and targets whose legacy key is malformed, are left and named', async () => {
  await r().hdel('ai:job:j1', 'workspace_id')
  await r().hset('ai:job:j2:progress', { workspace_id: 'w9' })
  await r().rpush('ai:job:list', 'x')
  const before = await world.snapshot()
  expect(await repair()).toEqual({
    kind: 'repair',
    direction: 'Both',
    ...nothing,
    left: 4,
    leftKeys: [
      { key: 'ai:job:j1', why: 'no workspace_id' },
      { key: 'ai:job:j2:progress', why: 'its workspace_id is another one' },
      { key: 'ai:job:list', why: 'wrong type: list' },
      { key: 'ai:job:w1:j1', why: 'its legacy key is malformed: no workspace_id' },
    ],
  })
  expect(await world.snapshot()).toEqual(before)
})

test('a key that keys.ignore names is never replaced', async () => {
  await r().hset('ai:job:w1:j1', 'status', 'other')
  const before = await world.snapshot()
  expect(await repair({ ignore: ['ai:job:w1:*'] })).toMatchObject({
    ...nothing,
    left: 1,
    leftKeys: [{ key: 'ai:job:j1', why: 'different value, and keys.ignore names the target key' }],
  })
  expect(await world.snapshot()).toEqual(before)
})

test('nothing amiss: nothing is written', async () => {
  const before = await world.snapshot()
  expect(await repair()).toMatchObject(nothing)
  expect(await world.snapshot()).toEqual(before)
  expect(await kept()).toEqual([])
})

test('from the target alone it copies no job that backfill has not reached', async () => {
  await r().del('ai:job:w1:j1')
  await r().del('ai:job:j2')
  expect(await repair({ direction: 'TargetToLegacy' })).toMatchObject({ copied: 0, removed: 1 })
  expect(await r().exists('ai:job:w1:j1')).toBe(0)
})

test('the first twenty of each sort are listed, all are counted', async () => {
  for (let i = 0; i < 50; i += 1) await r().del(`ai:job:w${i % 20}:j${i}`)
  const { copied, findings } = await repair()
  expect([copied, findings.length]).toEqual([50, 20])
})

test('a second repair of the same key keeps both values', async () => {
  for (const status of ['one', 'two']) {
    await r().hset('ai:job:w1:j1', 'status', status)
    await repair({ jobName: `repair-${status}` })
  }
  const values = await Promise.all((await kept()).map((name) => r().hget(control.kept + name, 'status')))
  expect(values.sort()).toEqual(['one', 'two'])
})

test('does nothing in Legacy, nor while the record lies below the fence', async () => {
  await r().del('ai:job:j1')
  const before = await world.snapshot()
  await world.record('Legacy', 5, 4)
  await expect(repair()).rejects.toThrow('repair is not allowed in phase Legacy')
  await world.record('DualWrite', 3, 4)
  await expect(world.run(world.spec('repair', { jobName: 'repair-2' }), { limits: { giveUpMs: 0 } })).rejects.toThrow(
    'below the fence',
  )
  expect(await world.snapshot()).toEqual(before)
})

test('holds above the memory watermark, where it would keep copies', async () => {
  await r().hset('ai:job:w1:j1', 'status', 'other')
  const used = Number(/used_memory:(\d+)/.exec(await r().info('memory'))?.[1])
  await r().config('SET', 'maxmemory', String(used))
  try {
    await expect(world.run(world.spec('repair'), { limits: { giveUpMs: 0 } })).rejects.toThrow('raise maxmemory')
    expect(await r().hget('ai:job:w1:j1', 'status')).toBe('other')
  } finally {
    await r().config('SET', 'maxmemory', '0')
  }
})
