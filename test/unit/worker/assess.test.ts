import { PREFLIGHT_REASONS } from '../../../src/api/preflight-reasons.ts'
import type { WorkSpec } from '../../../src/protocol/work.ts'
import { assessKeyspace, assessServer, NO_SCAN, type Keyspace } from '../../../src/worker/preflight/assess.ts'
import type { Rights } from '../../../src/worker/rights.ts'
import { memoryLimit, parseInfo } from '../../../src/worker/server-facts.ts'
import { allRights, EVERY_FINDING, facts, info, keys, spec } from './preflight-cases.ts'

const reasons = (list: readonly { reason: string }[]) => list.map(({ reason }) => reason)

describe('the server', () => {
  const cases: [string, Record<string, string | undefined>, Partial<WorkSpec>, string[]][] = [
    ['a healthy one', {}, {}, []],
    ['Redis 6', { redis_version: '6.2.14' }, {}, ['RedisTooOld']],
    ['Redis 7.0', { redis_version: '7.0.0' }, {}, []],
    ['Redis 10', { redis_version: '10.0.0' }, {}, []],
    ['no version', { redis_version: undefined }, {}, ['UnknownServer']],
    ['a cluster', { cluster_enabled: '1' }, {}, ['RedisCluster']],
    ['no word on clusters', { cluster_enabled: undefined }, {}, ['UnknownServer']],
    ['a replica', { role: 'slave' }, {}, ['NotPrimary']],
    ['no role', { role: undefined }, {}, ['NotPrimary']],
    ['an eviction policy', { maxmemory_policy: 'volatile-ttl' }, {}, ['EvictionPolicy']],
    [
      'an eviction policy, whatever is stated',
      { maxmemory_policy: 'volatile-ttl' },
      { assume: { maxmemoryPolicy: 'noeviction' } },
      ['EvictionPolicy'],
    ],
    ['no word on policy', { maxmemory_policy: undefined }, {}, ['UnknownEvictionPolicy']],
    ['no word on policy, stated', { maxmemory_policy: undefined }, { assume: { maxmemoryPolicy: 'noeviction' } }, []],
    [
      'no word on policy, stated badly',
      { maxmemory_policy: undefined },
      { assume: { maxmemoryPolicy: 'allkeys-lru' } },
      ['EvictionPolicy'],
    ],
  ]
  test.each(cases)('%s', (_name, given, stated, expected) => {
    expect(reasons(assessServer({ ...spec, ...stated }, facts(info(given)), allRights).blockers)).toEqual(expected)
  })

  test('without INFO nothing is taken as fine', () => {
    const { blockers } = assessServer(spec, facts(undefined), {
      known: true,
      user: 'w',
      missing: ['+info'],
      advised: [],
    })
    expect(reasons(blockers)).toEqual(['UnknownServer', 'MissingRights'])
    for (const { reason } of blockers) expect(NO_SCAN.has(reason)).toBe(true)
  })

  test('rights that cannot be told are a blocker, missing ones name the command that grants them', () => {
    const judge = (rights: Rights) => assessServer(spec, facts(info()), rights).blockers
    expect(judge({ known: false, why: 'x' })).toEqual([
      {
        reason: 'UnknownRights',
        message: 'the rights of the Redis user cannot be told: x; allow it ACL WHOAMI and ACL DRYRUN',
      },
    ])
    expect(judge({ known: true, user: 'w', missing: ['+copy', '~a:*'], advised: [] })[0]?.message).toBe(
      'the Redis user w lacks rights: ACL SETUSER w +copy ~a:*',
    )
  })

  test.each([
    ['AOF', '1', '', []],
    ['snapshots', '0', '3600 1', []],
    ['nothing', '0', '', ['NoPersistence']],
    ['no AOF and no answer', '0', undefined, ['UnknownPersistence']],
  ])('persistence by %s', (_name, aof, save, expected) => {
    const { warnings } = assessServer(spec, facts(info({ aof_enabled: aof }), { save }), allRights)
    expect(reasons(warnings)).toEqual(expected)
  })

  test('min-replicas-to-write warns while it is set', () => {
    const { warnings } = assessServer(spec, facts(info({ min_slaves_good_slaves: '2' })), allRights)
    expect(reasons(warnings)).toEqual(['MinReplicasToWrite'])
  })
})

describe('the keyspace', () => {
  const judge = (k: Keyspace, stated: Partial<WorkSpec> = {}, i = info()) =>
    reasons(assessKeyspace({ ...spec, ...stated }, i, k).blockers)

  test.each([
    // 100 keys of 1,000 bytes and 10 % beside 500,000: 610,000.
    ['fits to the byte', '610000', []],
    ['misses by one byte', '609999', ['NotEnoughMemory']],
  ])('memory that %s', (_name, maxmemory, expected) => {
    expect(judge(keys(), {}, info({ maxmemory }))).toEqual(expected)
  })

  test('targets that are there need no more memory', () => {
    expect(judge(keys({ target: 100 }), { allowTarget: true }, info({ maxmemory: '500001' }))).toEqual([])
    expect(judge(keys({ target: 200 }), { allowTarget: true }, info({ maxmemory: '500001' }))).toEqual([])
  })

  test.each([
    ['nothing said, nothing stated', '0', {}, ['UnknownMaxmemory']],
    ['nothing said, enough stated', '0', { assume: { maxmemory: 610_000 } }, []],
    ['said, and more stated: the server is believed', '600000', { assume: { maxmemory: 1e9 } }, ['NotEnoughMemory']],
  ])('maxmemory: %s', (_name, maxmemory, stated, expected) => {
    expect(judge(keys(), stated, info({ maxmemory }))).toEqual(expected)
  })

  test('an empty keyspace has no average to go by', () => {
    expect(judge(keys({ legacy: 0 }, { sampled: 0, sampledBytes: 0 }), { allowEmpty: true })).toEqual([])
  })

  test.each([
    ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}', ['PatternScans']],
    ['ai:{job_id}:job', 'ai:{workspace_id}:{job_id}:job', ['PatternScans']],
    ['ai:{job_id}:job', 'ai:{workspace_id}:{job_id}:v2', []],
    ['job:{job_id}', 'jobs:{workspace_id}:{job_id}', []],
  ])('D6 who lists %s by its pattern is warned of %s where it fits', (legacy, target, expected) => {
    expect(reasons(assessKeyspace({ ...spec, legacy, target }, info(), keys()).warnings)).toEqual(expected)
  })

  test('at most five samples stand in a message', () => {
    const samples = Array.from({ length: 9 }, (_, i) => ({ key: `k${i}`, why: 'y' }))
    const { blockers } = assessKeyspace(spec, info(), keys({ malformed: 9, malformedKeys: samples }))
    expect(blockers[0]?.message).toContain('k4 (y), …')
    expect(blockers[0]?.message).not.toContain('k5')
  })
})

test('INFO is read by field; comments and empty lines are none', () => {
  const read = parseInfo('# Memory\r\nused_memory:12\r\n\r\nexecutable:/a:b\r\n')
  expect([...read]).toEqual([
    ['used_memory', '12'],
    ['executable', '/a:b'],
  ])
  expect(memoryLimit(read, undefined)).toBeUndefined()
  expect(memoryLimit(read, 5)).toBe(5)
})

describe('every reason of preflight', () => {
  const { blockers, warnings } = EVERY_FINDING
  test('is in the list, which holds no other', () => {
    expect([...new Set(reasons([...blockers, ...warnings]))].sort()).toEqual(Object.keys(PREFLIGHT_REASONS).sort())
  })

  test.each(Object.entries(PREFLIGHT_REASONS))(
    '%s says what it means, and what to do beyond the message',
    (reason, info) => {
      expect(info.meaning).toMatch(/(\w+\W+){3}/)
      expect(info.action).toMatch(/^\w+(\W+\w+)+/)
      expect(info.action).not.toMatch(/^See the message/)
      expect(warnings.some((one) => one.reason === reason) && !blockers.some((one) => one.reason === reason)).toBe(
        info.meaning.startsWith('Warning: '),
      )
    },
  )
})
