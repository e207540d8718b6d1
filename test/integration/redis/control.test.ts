import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { controlKeys, type RecordFields } from '../../../src/protocol/control-keys.ts'
import { Connection, parseRedisAddress } from '../../../src/redis/connection.ts'
import {
  deleteWork,
  markBackfilled,
  pruneMembers,
  raiseFence,
  startWork,
  readControl,
  readWork,
  writeRecord,
} from '../../../src/redis/control.ts'
import { startTestRedis, until, type TestRedis } from './support/redis.ts'

jest.setTimeout(30_000)
const LONG = { deadlineMs: 5000 }
const keys = controlKeys('keyshift:test:')
const record = (epoch: number, more: Partial<RecordFields> = {}): RecordFields => ({
  cluster: 'c1',
  owner: 'prod/jobs',
  phase: 'DualWrite',
  step: '0',
  epoch: String(epoch),
  hash: `h${epoch}`,
  document: `doc ${epoch}`,
  revision: '0',
  account: '{}',
  ...more,
})

let redis: TestRedis
let c: Connection
beforeAll(async () => {
  redis = await startTestRedis()
  c = new Connection({ address: parseRedisAddress(redis.address), name: 'keyshift-operator' })
})
afterAll(async () => {
  await c.close()
  await redis.stop()
})
beforeEach(() => redis.raw.flushall())

describe('the fence', () => {
  test('is only ever raised', async () => {
    expect(await raiseFence(c, keys, 4, LONG)).toMatchObject({ fence: 4, confirmed: true })
    expect(await raiseFence(c, keys, 3, LONG)).toMatchObject({ fence: 4, confirmed: true })
    expect(await redis.raw.get(keys.fence)).toBe('4')
  })

  describe('with a replica', () => {
    let replica: TestRedis
    beforeEach(async () => {
      replica = await startTestRedis(['--replicaof', '127.0.0.1', String(redis.port)])
      await until('it is up', async () => (await redis.raw.info('replication')).includes('state=online'))
    })
    afterEach(() => replica.stop())

    test('is confirmed once the replica has it', async () => {
      expect(await raiseFence(c, keys, 4, LONG)).toMatchObject({
        fence: 4,
        replicas: { connected: 1, acknowledged: 1, behind: [] },
        confirmed: true,
      })
      expect(await replica.raw.get(keys.fence)).toBe('4')
    })

    test('is not confirmed while the replica does not answer, also where it was raised before', async () => {
      const { pid } = /process_id:(?<pid>\d+)/.exec(await replica.raw.info('server'))?.groups ?? {}
      process.kill(Number(pid), 'SIGSTOP')
      try {
        for (const deadlineMs of [400, 400])
          expect(await raiseFence(c, keys, 4, { deadlineMs })).toMatchObject({
            fence: 4,
            replicas: { connected: 1, acknowledged: 0 },
            confirmed: false,
          })
      } finally {
        process.kill(Number(pid), 'SIGCONT')
      }
      expect(await raiseFence(c, keys, 4, LONG)).toMatchObject({ confirmed: true })
    })
  })
})

describe('the record', () => {
  test('is written where it is absent, older, or the same', async () => {
    expect(await writeRecord(c, keys, record(1), LONG)).toEqual({ ok: true })
    expect(await writeRecord(c, keys, record(1, { revision: '2', account: '{"x":1}' }), LONG)).toEqual({ ok: true })
    expect(await writeRecord(c, keys, record(3), LONG)).toEqual({ ok: true })
    expect((await readControl(c, keys, LONG)).record).toEqual(record(3))
  })

  test.each([
    ['a higher epoch stands', record(2), { ok: false, reason: 'Newer', epoch: 3, revision: 2 }],
    [
      'a higher revision of the epoch stands',
      record(3, { revision: '1', account: '{"old":1}' }),
      { ok: false, reason: 'Newer', epoch: 3, revision: 2 },
    ],
    ['the epoch came with another hash', record(3, { hash: 'other' }), { ok: false, reason: 'OtherHash' }],
    [
      'another cluster holds it',
      record(9, { cluster: 'c2' }),
      { ok: false, reason: 'OtherOwner', cluster: 'c1', owner: 'prod/jobs' },
    ],
    [
      'another resource holds it',
      record(9, { owner: 'dev/jobs' }),
      { ok: false, reason: 'OtherOwner', cluster: 'c1', owner: 'prod/jobs' },
    ],
  ])('is left where %s', async (_, next, result) => {
    await writeRecord(c, keys, record(3, { revision: '2' }), LONG)
    expect(await writeRecord(c, keys, next, LONG)).toEqual(result)
    expect((await readControl(c, keys, LONG)).record).toEqual(record(3, { revision: '2' }))
  })

  const taken = record(4, { cluster: 'c2', owner: 'dev/jobs' })
  test.each<[string, () => Promise<unknown>]>([
    ['of another owner', () => writeRecord(c, keys, record(3), LONG)],
    ['of the same epoch and another hash', () => writeRecord(c, keys, record(4, { hash: 'other' }), LONG)],
    ['with fields of another version', () => redis.raw.hset(keys.record, 'theirs', '1')],
    ['that is no hash', () => redis.raw.set(keys.record, 'x')],
  ])('taken over, one %s gives way whole', async (_, put) => {
    await put()
    expect(await writeRecord(c, keys, taken, { ...LONG, takeOver: true })).toEqual({ ok: true })
    expect(await redis.raw.hgetall(keys.record)).toEqual(taken)
  })

  test('taken over, one that has gone on since does not give way', async () => {
    await writeRecord(c, keys, record(5), LONG)
    expect(await writeRecord(c, keys, taken, { ...LONG, takeOver: true })).toMatchObject({ reason: 'Newer', epoch: 5 })
    expect((await readControl(c, keys, LONG)).record).toEqual(record(5))
  })

  test('is left where its key holds something else', async () => {
    await redis.raw.set(keys.record, 'x')
    expect(await writeRecord(c, keys, record(1), LONG)).toEqual({ ok: false, reason: 'WrongType' })
  })
})

test('an empty Redis reads as nothing there', async () => {
  const seen = await readControl(c, keys, LONG)
  expect(seen).toMatchObject({ members: [], backfilled: false, fallbackReads: 0, illegalIds: { count: 0 } })
  expect(seen.fence).toBeUndefined()
  expect(seen.record).toBeUndefined()
  expect(seen.runId).toMatch(/^[0-9a-f]{40}$/)
  expect(seen.lineage).toMatch(/^[0-9a-f]{40}$/)
})

test('members come with their leases, lapsed ones without, unreadable ones apart', async () => {
  const member = { podUid: 'u1', podName: 'api-1', version: '0.1.0', registeredAt: 1_700_000_000_000 }
  await redis.raw.hset(keys.members, 'm1', JSON.stringify(member), 'm2', JSON.stringify(member), 'm3', 'rubbish')
  await redis.raw.set(keys.lease('m1'), '{"epoch":4,"hash":"h4"}')
  await redis.raw.set(keys.fence, '3')
  await redis.raw.set(keys.fallbackReads, '7')
  await redis.raw.hset(keys.illegalIds, { count: '2', lastAt: '1', example: 'a:b', member: 'm1' })
  const seen = await readControl(c, keys, LONG)
  expect(seen).toMatchObject({
    fence: 3,
    fallbackReads: 7,
    illegalIds: { count: 2, ageMs: seen.now - 1, example: 'a:b', member: 'm1' },
    unreadableMembers: ['m3'],
  })
  expect(Math.abs(seen.now - Date.now())).toBeLessThan(60_000)
  expect([...seen.members].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
    { id: 'm1', record: member, lease: { epoch: 4, hash: 'h4' } },
    { id: 'm2', record: member },
  ])
  expect(await pruneMembers(c, keys, ['m1', 'gone'], LONG)).toBe(1)
  expect(await redis.raw.exists(keys.lease('m1'))).toBe(0)
  expect(await redis.raw.hkeys(keys.members)).toEqual(expect.arrayContaining(['m2', 'm3']))
})

test('the mark of a completed backfill begins the fallback counter anew', async () => {
  await redis.raw.set(keys.fallbackReads, '9')
  expect(await markBackfilled(c, keys, true, LONG)).toBe(true)
  expect(await readControl(c, keys, LONG)).toMatchObject({ backfilled: true, fallbackReads: 0 })
  await redis.raw.incr(keys.fallbackReads)
  expect(await markBackfilled(c, keys, true, LONG)).toBe(false)
  expect(await readControl(c, keys, LONG)).toMatchObject({ backfilled: true, fallbackReads: 1 })
  expect(await markBackfilled(c, keys, false, LONG)).toBe(true)
  expect(await markBackfilled(c, keys, false, LONG)).toBe(false)
  expect(await readControl(c, keys, LONG)).toMatchObject({ backfilled: false, fallbackReads: 0 })
})

test('the hash of a worker Job is read and deleted', async () => {
  await redis.raw.hset(keys.work('job-1'), { state: 'done', done: '5' })
  expect(await readWork(c, keys, 'job-1', LONG)).toEqual({ state: 'done', done: '5' })
  await deleteWork(c, keys, 'job-1', LONG)
  expect(await readWork(c, keys, 'job-1', LONG)).toEqual({})
})

test('a Job about to be made takes over the checkpoint of an attempt without a result, and nothing else', async () => {
  const [first, second] = [keys.work('jobs-verify-1'), keys.work('jobs-verify-2')]
  const work = { jobName: 'jobs-verify-2', run: 'u/2', resumes: 'jobs-verify-1' }
  await redis.raw.hset(first, { kind: 'verify', run: 'u/1', state: 'failed', error: 'x', cursor: '7', done: '30' })
  await redis.raw.hset(second, { kind: 'verify', run: 'u0/2', state: 'done', result: '{}' })
  await startWork(c, keys, work, LONG)
  const taken = { kind: 'verify', run: 'u/2', state: '', error: '', result: '', cursor: '7', done: '30' }
  expect(await redis.raw.hgetall(second)).toEqual(taken)
  await redis.raw.hset(second, { state: 'running', cursor: '9' })
  await startWork(c, keys, work, LONG)
  expect(await redis.raw.hgetall(second)).toEqual({ ...taken, state: 'running', cursor: '9' })
  await redis.raw.hset(first, { state: 'done', result: '{}' })
  await startWork(c, keys, { ...work, run: 'u/3' }, LONG)
  expect(await redis.raw.hgetall(second)).toEqual({ run: 'u/3', state: '', error: '', result: '' })
})
