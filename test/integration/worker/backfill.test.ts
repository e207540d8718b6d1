import { jest } from '@jest/globals'
import type { BackfillResult, VerifyResult, WorkFields } from '../../../src/protocol/work.ts'
import { control, until, World } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())
beforeEach(() => world.reset('BackfillVerify'))

const backfill = (overrides = {}) => world.spec('backfill', overrides)
const run = (options = {}, overrides = {}) => world.run<BackfillResult>(backfill(overrides), options)
/** Proves with plain commands that each well-formed legacy key of a snapshot has an equal target. */
const equalPairs = async (legacy: readonly string[]): Promise<void> => {
  for (const key of legacy) {
    const raw = await world.redis.type(key)
    const ws =
      raw === 'hash'
        ? await world.redis.hget(key, 'workspace_id')
        : (JSON.parse((await world.redis.get(key)) ?? '') as { workspace_id: string }).workspace_id
    expect(await world.describe(`ai:job:${ws}:${key.slice('ai:job:'.length)}`)).toBe(await world.describe(key))
  }
}

describe('what is copied', () => {
  test('hashes and JSON strings with value, type and absolute expiry, in one keyspace', async () => {
    await world.loadHashes(60)
    await world.redis.set('ai:job:s1', '{"a":1.0,"workspace_id":"w1","n":12345678901234567890,"e":[]}', 'PX', 900_000)
    await world.redis.set('ai:job:s2', ' {"workspace_id" : "w\\u0031"} ')
    const legacy = await world.keys('ai:job:*')
    const before = await world.snapshot()
    expect(await run()).toEqual({ kind: 'backfill', passes: 2, copied: 62, present: 62, malformed: 0 })
    await equalPairs(legacy)
    const after = await world.snapshot()
    expect(Object.keys(after)).toHaveLength(124)
    expect(after).toMatchObject(before)
    expect(Number(after['ai:job:w1:s1']?.split(' ')[1])).toBeGreaterThan(Date.now())
  })

  test('large values, in batches that stop at their time', async () => {
    const fields = Object.fromEntries(Array.from({ length: 8_000 }, (_, i) => [`f${i}`, `v${i}`]))
    for (let i = 0; i < 5; i += 1) await world.redis.hset(`ai:job:big${i}`, { ...fields, workspace_id: 'w1' })
    await world.redis.set('ai:job:text', JSON.stringify({ workspace_id: 'w1', payload: 'x'.repeat(3_000_000) }))
    const legacy = await world.keys('ai:job:*')
    expect((await run({}, { maxRedisLatencyMs: 1 })).copied).toBe(6)
    await equalPairs(legacy)
  })

  test('every key, though each batch has time for a few only and leaves the rest of its page to the next', async () => {
    await world.loadHashes(300)
    const seen: number[] = []
    const result = await run(
      {
        after: (_name: string, reply: unknown) => {
          if (Array.isArray(reply) && reply[0] === 'OK') seen.push(Number(reply[1]))
        },
      },
      { maxRedisLatencyMs: 0.001 },
    )
    expect(result).toMatchObject({ copied: 300, present: 300 })
    expect(Math.max(...seen)).toBeLessThanOrEqual(3)
  })

  test('a target that is there is never touched, equal or not', async () => {
    await world.redis.hset('ai:job:j1', { workspace_id: 'w1', status: 'new' })
    await world.redis.hset('ai:job:w1:j1', { workspace_id: 'w1', status: 'old' })
    await world.redis.hset('ai:job:j2', { workspace_id: 'w1' })
    await world.redis.rpush('ai:job:w1:j2', 'a foreign list')
    const before = await world.snapshot()
    expect(await run()).toEqual({ kind: 'backfill', passes: 1, copied: 0, present: 2, malformed: 0 })
    expect(await world.snapshot()).toEqual(before)
  })

  test('malformed jobs of every sort are counted and left as they are', async () => {
    const r = world.redis
    await r.rpush('ai:job:list', 'x')
    await r.sadd('ai:job:set', 'x')
    await r.zadd('ai:job:zset', 1, 'x')
    await r.xadd('ai:job:stream', '*', 'workspace_id', 'w1')
    await r.hset('ai:job:h-none', { status: 'x' })
    await r.hset('ai:job:h-empty', { workspace_id: '' })
    await r.hset('ai:job:h-delimiter', { workspace_id: 'w1:w2' })
    await r.hset('ai:job:h-long', { workspace_id: 'w'.repeat(513) })
    await r.call('HSET', 'ai:job:h-bytes', 'workspace_id', Buffer.from([0xff, 0xfe]))
    await r.set('ai:job:t-none', '{"a":1}')
    await r.set('ai:job:t-number', '{"workspace_id":7}')
    await r.set('ai:job:t-null', '{"workspace_id":null}')
    await r.set('ai:job:t-array', '["workspace_id"]')
    await r.set('ai:job:t-scalar', '"w1"')
    await r.set('ai:job:t-cut', '{"workspace_id":"w1"')
    await r.set('ai:job:t-nested', `{"workspace_id":"w1","x":${'['.repeat(1100)}${']'.repeat(1100)}}`)
    await r.set('ai:job:t-empty', '')
    await r.hset('ai:job:a:b:c', { workspace_id: 'w1' })
    await r.hset('ai:job:', { workspace_id: 'w1' })
    await r.call('HSET', Buffer.from([...Buffer.from('ai:job:'), 0xc3, 0x28]), 'workspace_id', 'w1')
    await r.hset('ai:job:good', { workspace_id: 'w1' })
    const before = await world.snapshot()
    expect(await run()).toEqual({ kind: 'backfill', passes: 2, copied: 1, present: 1, malformed: 20 })
    const { 'ai:job:w1:good': made, ...rest } = await world.snapshot()
    expect(made).toBe(before['ai:job:good'])
    expect(rest).toEqual(before)
  })

  test('names in keys.ignore, declared queues and other keys are no jobs', async () => {
    await world.redis.hset('ai:job:j1:progress', { workspace_id: 'w1' })
    await world.redis.hset('ai:job:tmp-7', { workspace_id: 'w1' })
    await world.redis.hset('ai:job:tmp*8', { workspace_id: 'w1' })
    await world.redis.rpush('ai:job:queue', 'j1')
    await world.redis.set('ai:jobs', 'x')
    const ignore = ['ai:job:*:progress', 'ai:job:tmp-*', 'ai:job:tmp*8']
    expect(await run({}, { ignore, queues: ['ai:job:queue'] })).toMatchObject({ copied: 0, malformed: 0 })
  })

  test('[D8] the same names in another db and names that only end alike stay as they are', async () => {
    await world.loadHashes(50)
    await world.redis.hset('xai:job:j1', { workspace_id: 'w1' })
    await world.redis.select(1)
    await world.redis.hset('ai:job:j1', { workspace_id: 'w1' })
    const neighbour = await world.snapshot()
    await world.redis.select(0)
    await run()
    expect(await world.keys('xai:*')).toEqual(['xai:job:j1'])
    await world.redis.select(1)
    expect(await world.snapshot()).toEqual(neighbour)
    await world.redis.select(0)
  })
})

describe('[D9] passes and progress', () => {
  const sane = (f: Partial<WorkFields>): void => {
    if (f.state === 'running') expect(Number(f.done)).toBeLessThan(Number(f.total))
  }

  test('never complete while jobs keep coming; the count at the end is that of an independent scan', async () => {
    await world.loadHashes(2000)
    let round = 0
    const result = await run({
      after: async (name: string) => {
        if (name !== 'worker-backfill-batch') return
        round += 1
        // Behind the cursor's back: jobs that only the legacy schema has, as a lapsed writer would make.
        if (round <= 30) await world.loadHashes(200, `late${round}-`)
        const fields = await world.fields('backfill-1')
        sane(fields)
        expect(fields.state).toBe('running')
      },
    })
    const all = await world.keys('ai:job:*')
    const legacy = all.filter((key) => key.split(':').length === 3)
    expect(legacy).toHaveLength(2000 + 30 * 200)
    expect(all).toHaveLength(2 * legacy.length)
    expect(result.passes).toBeGreaterThan(1)
    expect(result).toMatchObject({ copied: legacy.length, present: legacy.length })
    expect(await world.fields('backfill-1')).toMatchObject({
      state: 'done',
      done: String(all.length),
      total: String(all.length),
    })
  })

  test('the estimate of the total comes near the truth half way', async () => {
    await world.loadHashes(5000)
    await world.redis.mset(Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`other:${i}`, 'x'])))
    await world.reset('DualWrite')
    await world.loadHashes(5000)
    await world.redis.mset(Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`other:${i}`, 'x'])))
    const estimates: number[] = []
    await world.run(world.spec('verify'), {
      after: async (name) => {
        const fields = await world.fields('verify-1')
        sane(fields)
        const done = Number(fields.done)
        if (name === 'worker-verify-batch' && done > 1500 && done < 4000) estimates.push(Number(fields.total))
      },
    })
    expect(estimates.length).toBeGreaterThan(0)
    for (const estimate of estimates) {
      expect(estimate).toBeGreaterThan(4000)
      expect(estimate).toBeLessThan(6000)
    }
  })
})

describe('the record and the fence', () => {
  test.each(['Legacy', 'DualWrite'] as const)('does nothing in phase %s and says so', async (phase) => {
    await world.loadHashes(10)
    await world.record(phase, 5, 4)
    const before = await world.snapshot()
    await expect(run()).rejects.toThrow(`backfill is not allowed in phase ${phase}`)
    expect(await world.snapshot()).toEqual(before)
  })

  test.each([
    ['the record lies below the fence', 5, 6, 'below the fence 6'],
    ['the fence is gone at epoch 2', 2, null, 'there is no fence'],
  ])('does nothing while %s, and gives up after its limit', async (_name, epoch, fence, message) => {
    await world.loadHashes(10)
    await world.record('BackfillVerify', epoch, fence)
    const before = await world.snapshot()
    await expect(run({ limits: { giveUpMs: 0 } })).rejects.toThrow(message)
    expect(await world.snapshot()).toEqual(before)
  })

  test('does nothing without a record', async () => {
    await world.loadHashes(10)
    await world.redis.del(control.record)
    await expect(run({ limits: { giveUpMs: 0 } })).rejects.toThrow('record is not there')
    expect(await world.keys('ai:job:*:*')).toEqual([])
  })

  test('goes on once a record that a failover took back is written again', async () => {
    await world.loadHashes(200)
    await world.record('BackfillVerify', 5, 6)
    let refusals = 0
    const result = await run({
      after: async (_name: string, reply: unknown) => {
        if (!Array.isArray(reply) || reply[0] !== 'STALE_RECORD') return
        refusals += 1
        if (refusals === 2) await world.record('BackfillVerify', 7, 6)
      },
    })
    expect(refusals).toBe(2)
    expect(result.copied).toBe(200)
    expect((await world.fields('backfill-1')).epoch).toBe('7')
  })

  test('stops between two batches when the phase is left', async () => {
    await world.loadHashes(2000)
    let batches = 0
    const running = run(
      {
        after: async () => {
          batches += 1
          if (batches === 2) await world.record('DualWrite', 9, 8)
        },
      },
      { maxKeysPerSecond: 10_000 },
    )
    await expect(running).rejects.toThrow('not allowed in phase DualWrite')
    const made = (await world.keys('ai:job:*:*')).length
    expect(made).toBeGreaterThan(0)
    expect(made).toBeLessThan(2000)
  })
})

describe('[I6] kills, restarts, several at once', () => {
  const identity = async (section: string, field: string): Promise<string> =>
    new RegExp(`${field}:(\\w+)`).exec(await world.redis.info(section))?.[1] ?? ''

  test('killed again and again, the program comes to the same end, and no batch is done twice', async () => {
    await world.loadHashes(6000)
    const legacy = await world.keys('ai:job:*')
    const spec = backfill({ maxKeysPerSecond: 20_000 })
    for (const mark of [500, 2500, 5000]) {
      const worker = world.spawn(spec)
      await until(
        `${mark} copies`,
        async () => Number((await world.redis.hget(control.work('backfill-1'), 'copied')) ?? 0) >= mark,
      )
      worker.child.kill('SIGKILL')
      expect((await worker.ended).signal).toBe('SIGKILL')
      expect((await world.fields('backfill-1')).state).toBe('running')
    }
    const last = world.spawn(backfill())
    expect(await last.ended).toMatchObject({ code: 0 })
    const fields = await world.fields('backfill-1')
    expect(JSON.parse(fields.result ?? '')).toEqual({
      kind: 'backfill',
      passes: 2,
      copied: 6000,
      present: 6000,
      malformed: 0,
    })
    expect(fields.lineage).toBe(await identity('replication', 'master_replid'))
    await equalPairs(legacy.filter((_, i) => i % 10 === 0))
    expect(await world.keys('ai:job:*:*')).toHaveLength(6000)
  }, 60_000)

  test('three at once share one pass', async () => {
    await world.loadHashes(3000)
    const results = await Promise.all([run(), run(), run()])
    for (const result of results)
      expect(result).toEqual({ kind: 'backfill', passes: 2, copied: 3000, present: 3000, malformed: 0 })
  })

  test('a finished work is not done again, and its result stays', async () => {
    await world.loadHashes(10)
    await run()
    const before = await world.fields('backfill-1')
    await world.loadHashes(10, 'later')
    await run()
    expect(await world.fields('backfill-1')).toEqual(before)
    expect(await world.keys('ai:job:*:later*')).toEqual([])
  })

  test('a finished work stays finished on another server process and lineage: the operator judges that', async () => {
    await world.loadHashes(10)
    await run()
    await world.redis.hset(control.work('backfill-1'), { lineage: 'f00', runId: 'f00' })
    const before = await world.fields('backfill-1')
    await run()
    expect(await world.fields('backfill-1')).toEqual(before)
  })

  /** Acts once, between the end of the last pass and the writing of the result. */
  const atTheEnd = (act: () => Promise<unknown>) => {
    let acted = false
    return async (_name: string, reply: unknown): Promise<void> => {
      if (acted || !Array.isArray(reply) || reply[0] !== 'ENDED') return
      acted = true
      await act()
    }
  }

  test('when a failover takes the end of the pass back, the work goes on instead of claiming it', async () => {
    await world.loadHashes(50)
    const result = await run({
      after: atTheEnd(async () => {
        await world.redis.del(...(await world.keys('ai:job:*:*')))
        await world.redis.hset(control.work('backfill-1'), { ended: '0', cursor: '0' })
      }),
    })
    expect(await world.keys('ai:job:*:*')).toHaveLength(50)
    expect(result.present).toBe(50)
  })

  test('the first result stays when a second worker comes to its end later', async () => {
    await world.loadHashes(50)
    const first = { kind: 'backfill', passes: 9, copied: 9, present: 9, malformed: 9 }
    const result = await run({
      after: atTheEnd(() =>
        world.redis.hset(control.work('backfill-1'), { state: 'done', result: JSON.stringify(first) }),
      ),
    })
    expect(result).toEqual(first)
  })

  test.each(['lineage', 'runId'])(
    'another %s begins the pass again, and the result names the new one',
    async (field) => {
      await world.loadHashes(1000)
      let batches = 0
      await run({
        after: async (name: string) => {
          batches += 1
          if (name !== 'worker-backfill-batch' || batches !== 4) return
          // As if this data had come from another server, which had other jobs behind the cursor.
          await world.redis.del(...(await world.keys('ai:job:*:*')))
          await world.redis.hset(control.work('backfill-1'), field, 'f00')
          await world.record('BackfillVerify', 8, 7)
        },
      })
      expect(await world.keys('ai:job:*:*')).toHaveLength(1000)
      expect(await world.fields('backfill-1')).toMatchObject({
        lineage: await identity('replication', 'master_replid'),
        runId: await identity('server', 'run_id'),
        epoch: '8',
      })
    },
  )

  test('a run that failed goes on when it is started again', async () => {
    await world.loadHashes(100)
    await world.redis.hset(control.work('backfill-1'), { kind: 'backfill', state: 'failed', error: 'x' })
    expect((await run()).copied).toBe(100)
    expect(await world.fields('backfill-1')).toMatchObject({ state: 'done', error: '' })
  })

  test('a name that belongs to another run is refused, and its result is not overwritten', async () => {
    await world.loadHashes(10)
    await run()
    await expect(world.run(world.spec('backfill', { run: 'run-2' }))).rejects.toThrow('another run')
    expect(await world.fields('backfill-1')).toMatchObject({ run: 'run-1', state: 'done' })
  })

  test('a pass that was begun under another question begins anew', async () => {
    await world.loadHashes(300)
    let batches = 0
    const dies = () => {
      if ((batches += 1) === 3) throw new Error('dies')
    }
    await world.run(world.spec('verify', { ignore: ['ai:job:*'] }), { after: dies }).catch(() => undefined)
    expect(Number((await world.fields('verify-1')).done)).toBeGreaterThan(0)
    const { missing } = await world.run<VerifyResult>(world.spec('verify'))
    expect(missing).toBe(300)
  })

  test('a name that belongs to another kind is refused', async () => {
    await world.redis.hset(control.work('backfill-1'), { kind: 'verify', state: 'running' })
    await expect(run()).rejects.toThrow('belongs to a Job of kind verify')
  })
})

test('beside writers that create, change, expire and delete jobs, every pair stays equal', async () => {
  await world.loadHashes(3000)
  // What any client does: one script that applies to each key that exists (maintain rule).
  const write = `#!lua
    local op = ARGV[1]
    if op == 'create' and redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
    for _, key in ipairs(KEYS) do
      if op == 'delete' then redis.call('DEL', key)
      elseif op == 'create' then redis.call('HSET', key, 'workspace_id', ARGV[2], 'n', ARGV[3])
      elseif redis.call('EXISTS', key) == 1 then
        if op == 'update' then redis.call('HSET', key, 'n', ARGV[3]) else redis.call('PEXPIREAT', key, ARGV[3]) end
      end
    end
    return 1`
  let over = false
  let writes = 0
  const writer = async (seed: number): Promise<void> => {
    for (let i = seed; !over && writes < 200_000; i += 7, writes += 1) {
      const n = (i * 7919) % 3500
      const op = ['update', 'delete', 'expire', 'create'][i % 4] ?? 'update'
      const value = op === 'expire' ? String(Date.now() + (i % 3 === 0 ? 20 : 60_000)) : String(i)
      await world.redis.eval(write, 2, `ai:job:j${n}`, `ai:job:w${n % 20}:j${n}`, op, `w${n % 20}`, value)
    }
  }
  const writers = [writer(1), writer(2), writer(3)]
  let verdict: VerifyResult
  try {
    await run({}, { maxKeysPerSecond: 10_000 })
    verdict = await world.run<VerifyResult>(world.spec('verify', { maxKeysPerSecond: 10_000 }))
  } finally {
    over = true
    await Promise.all(writers)
  }
  expect(writes).toBeGreaterThan(100)
  expect(verdict).toMatchObject({ missing: 0, different: 0, orphan: 0, malformed: 0, foreign: 0, findings: [] })
  expect(verdict.compared).toBeGreaterThan(1000)
}, 60_000)

test('holds above the memory watermark, and gives up with the reason', async () => {
  await world.loadHashes(100)
  const used = Number(/used_memory:(\d+)/.exec(await world.redis.info('memory'))?.[1])
  const options = { limits: { giveUpMs: 0 } }
  await expect(run(options, { assume: { maxmemory: Math.floor(used * 1.01) } })).rejects.toThrow('above the watermark')
  expect(await world.keys('ai:job:*:*')).toEqual([])
  expect((await run(options, { assume: { maxmemory: used * 4 } })).copied).toBe(100)
})
