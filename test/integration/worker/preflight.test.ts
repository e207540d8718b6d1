import { jest } from '@jest/globals'
import type { PreflightResult, WorkSpec } from '../../../src/protocol/work.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { aclRules, keyshiftRights } from '../../../src/redis/rights.ts'
import { control, LEGACY, TARGET, World, type RunOptions } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())
beforeEach(async () => {
  await world.reset('Legacy', 1, null)
  await world.redis.config('SET', 'maxmemory', '1gb')
  await world.redis.config('SET', 'maxmemory-policy', 'noeviction')
  await world.redis.config('SET', 'save', '3600 1')
})

const preflight = (overrides: Partial<WorkSpec> = {}, options: RunOptions = {}) =>
  world.run<PreflightResult>(world.spec('preflight', { onMalformed: 'Block', assume: {}, ...overrides }), options)
const reasons = (list: readonly { readonly reason: string }[]): string[] => list.map(({ reason }) => reason)
const r = () => world.redis

test('nothing to say of a healthy Redis with well-formed jobs, and nothing is written', async () => {
  await world.loadHashes(300)
  await r().set('ai:job:s1', '{"workspace_id":"w1"}')
  const before = await world.snapshot()
  expect(await preflight()).toEqual({
    kind: 'preflight',
    blockers: [],
    warnings: [
      {
        reason: 'PatternScans',
        message: expect.stringMatching(/SCAN MATCH ai:job:\* meets .* from DualWrite on/) as string,
      },
    ],
    legacy: 301,
    target: 0,
    malformed: 0,
    foreign: 0,
    malformedKeys: [],
    foreignKeys: [],
  })
  expect(await world.snapshot()).toEqual(before)
})

test('runs before there is a record, and while there is one in Legacy', async () => {
  await world.loadHashes(10)
  await r().del(control.record)
  expect((await preflight()).legacy).toBe(10)
  await world.record('DualWrite', 5, 4)
  await expect(preflight({ jobName: 'preflight-2' })).rejects.toThrow('preflight is not allowed in phase DualWrite')
})

describe('one fault, one blocker', () => {
  beforeEach(() => world.loadHashes(100))

  const cases: [string, () => Promise<unknown>, Partial<WorkSpec>, string[], RegExp][] = [
    [
      'an eviction policy',
      () => r().config('SET', 'maxmemory-policy', 'allkeys-lru'),
      {},
      ['EvictionPolicy'],
      /noeviction/,
    ],
    ['no maxmemory', () => r().config('SET', 'maxmemory', '0'), {}, ['UnknownMaxmemory'], /redis\.assume\.maxmemory/],
    [
      'no maxmemory, but a statement',
      () => r().config('SET', 'maxmemory', '0'),
      { assume: { maxmemory: 1e9 } },
      [],
      /^$/,
    ],
    [
      'too little stated memory',
      () => r().config('SET', 'maxmemory', '0'),
      { assume: { maxmemory: 1e6 } },
      ['NotEnoughMemory'],
      /100 copies of about \d+ bytes .* raise maxmemory/,
    ],
    [
      'a target key',
      () => r().hset('ai:job:w1:j1', 'workspace_id', 'w1'),
      {},
      ['TargetKeysPresent'],
      /1 keys look like target keys.* keyshift\.dev\/purge, which deletes those that equal their legacy key/,
    ],
    [
      'a target key of an earlier run',
      () => r().hset('ai:job:w1:j1', 'workspace_id', 'w1'),
      { allowTarget: true },
      [],
      /^$/,
    ],
    [
      'a malformed job',
      () => r().hset('ai:job:bad', 'x', '1'),
      {},
      ['MalformedJobs'],
      /1 jobs .* ai:job:bad \(no workspace_id\); .* Quarantine/,
    ],
    [
      'a foreign key',
      () => r().hset('ai:job:j1:progress', 'n', '1'),
      {},
      ['ForeignKeys'],
      /ai:job:j1:progress \(no workspace_id\)/,
    ],
    [
      'a job id with the delimiter',
      () => r().hset('ai:job:report:2026', 'workspace_id', 'w1'),
      {},
      ['ForeignKeys'],
      /ai:job:report:2026/,
    ],
    [
      'a foreign key that is named',
      () => r().hset('ai:job:j1:progress', 'n', '1'),
      { ignore: ['ai:job:*:progress'] },
      [],
      /^$/,
    ],
    [
      'a queue that is none',
      () => r().set('ai:queue', 'x'),
      { queues: ['ai:queue'] },
      ['QueueWrongType'],
      /ai:queue, which is a string/,
    ],
    ['a queue', () => r().rpush('ai:job:queue', 'x'), { queues: ['ai:job:queue', 'ai:absent'] }, [], /^$/],
  ]
  test.each(cases)('%s', async (_name, plant, overrides, expected, message) => {
    await plant()
    const { blockers } = await preflight(overrides)
    expect(reasons(blockers)).toEqual(expected)
    expect(blockers[0]?.message ?? '').toMatch(message)
  })
})

test('no legacy key is a wrong template until allowEmpty says otherwise', async () => {
  await r().set('other', 'x')
  expect(reasons((await preflight()).blockers)).toEqual(['NoLegacyKeys'])
  expect((await preflight({ allowEmpty: true, jobName: 'preflight-2' })).blockers).toEqual([])
})

test('malformed jobs under Quarantine are listed, and warn only', async () => {
  await world.loadHashes(5)
  for (let i = 0; i < 30; i += 1) await r().rpush(`ai:job:bad${String(i).padStart(2, '0')}`, 'x')
  const result = await preflight({ onMalformed: 'Quarantine' })
  expect(result.blockers).toEqual([])
  expect(reasons(result.warnings)).toEqual(['MalformedJobs', 'PatternScans'])
  expect(result.malformed).toBe(30)
  expect(result.malformedKeys).toHaveLength(20)
  expect(result.malformedKeys[0]?.why).toBe('wrong type: list')
})

test('all faults at once give all blockers at once', async () => {
  await r().config('SET', 'maxmemory', '0')
  await r().config('SET', 'maxmemory-policy', 'allkeys-random')
  await r().hset('ai:job:bad', 'x', '1')
  await r().hset('ai:job:w1:j1', 'workspace_id', 'w1')
  await r().hset('ai:job:w1:x', 'workspace_id', 'w2')
  expect(reasons((await preflight()).blockers).sort()).toEqual([
    'EvictionPolicy',
    'ForeignKeys',
    'MalformedJobs',
    'NoLegacyKeys',
    'TargetKeysPresent',
    'UnknownMaxmemory',
  ])
})

test('warns of missing persistence, of min-replicas-to-write, and of jobs too large for a batch', async () => {
  await world.loadHashes(5)
  await r().set('ai:job:big', JSON.stringify({ workspace_id: 'w1', x: 'x'.repeat(1_100_000) }))
  await r().config('SET', 'save', '')
  const first = await preflight()
  expect(reasons(first.warnings)).toEqual(['NoPersistence', 'OversizeJobs', 'PatternScans'])
  expect(first.warnings[1]?.message).toContain('ai:job:big')
  expect(first.blockers).toEqual([])
  await r().config('SET', 'save', '3600 1')
  await r().config('SET', 'min-replicas-to-write', '1')
  try {
    // Nothing can be written, not even a result: the program fails with the server's words.
    await expect(preflight({ jobName: 'preflight-2' }, { limits: { giveUpMs: 0 } })).rejects.toThrow('NOREPLICAS')
  } finally {
    await r().config('SET', 'min-replicas-to-write', '0')
  }
})

describe('[X1] rights of the Redis user', () => {
  const grant = async (rights: readonly string[]): Promise<void> => {
    await r().call('ACL', 'SETUSER', 'worker', 'reset', 'on', '>secret', ...rights)
  }
  const templates = parseTemplates(LEGACY, TARGET)
  const least = (): string[] => aclRules(keyshiftRights({ templates, workspaceField: 'workspace_id', queues: [] }))
  const asWorker: RunOptions = { credentials: () => Promise.resolve({ username: 'worker', password: 'secret' }) }
  const missing = (result: PreflightResult): string =>
    result.blockers.find(({ reason }) => reason === 'MissingRights')?.message.replace(/.*ACL SETUSER worker /, '') ?? ''
  const runAll = async (): Promise<void> => {
    await world.record('BackfillVerify', 5, 4)
    await world.run(world.spec('backfill'), asWorker)
    await world.run(world.spec('verify'), asWorker)
    await world.record('Legacy', 7, 6)
    await world.run(world.spec('purge'), asWorker)
  }
  beforeEach(() => world.loadHashes(60))
  afterAll(() => r().call('ACL', 'DELUSER', 'worker'))

  test('the named rights suffice for every kind of work', async () => {
    await r().hset('ai:job:big', {
      workspace_id: 'w1',
      ...Object.fromEntries(Array.from({ length: 900 }, (_, i) => [i, i])),
    })
    await r().set('ai:job:s', '{"workspace_id":"w1"}')
    await r().call('SCRIPT', 'FLUSH')
    await grant(least())
    expect(missing(await preflight({}, asWorker))).toBe('')
    await runAll()
    expect(await world.keys('ai:job:*:*')).toEqual([])
  })

  test.each(
    [
      '+copy',
      '+unlink',
      '+pexpiretime',
      '+hget',
      '+hgetall',
      '+hscan',
      '+memory|usage',
      '+strlen',
      '+type',
      '+time',
    ].map((right) => [right]),
  )('without %s it is named', async (right) => {
    await grant(least().filter((granted) => granted !== right))
    const result = await preflight({}, asWorker)
    expect(missing(result)).toBe(right)
  })

  test('all missing rights and keys are named at once, without a pass over the keyspace', async () => {
    await grant(least().filter((granted) => !['+copy', '+scan', '~ai:job:*'].includes(granted)))
    const result = await preflight({}, asWorker)
    expect(missing(result).split(' ').sort()).toEqual(['+copy', '+scan', '~ai:job:*'])
    expect(result.legacy).toBe(0)
    expect(reasons(result.blockers)).toEqual(['MissingRights'])
  })

  test('where ACL DRYRUN is refused the commands are tried, and change nothing', async () => {
    const few = least().filter((granted) => !granted.startsWith('+acl') && granted !== '+copy' && granted !== '+hlen')
    await grant(few)
    const before = await world.snapshot()
    const result = await preflight({}, asWorker)
    expect(result.blockers.map(({ message }) => message)).toEqual([expect.stringMatching(/\+hlen \+copy$/)])
    expect(await world.snapshot()).toEqual(before)
    await grant(least().filter((granted) => !granted.startsWith('+acl')))
    expect((await preflight({ jobName: 'preflight-2' }, asWorker)).blockers).toEqual([])
  })

  test('what CONFIG is refused for is unknown, and never taken as fine', async () => {
    await grant(least().filter((granted) => granted !== '+config|get'))
    expect(reasons((await preflight({}, asWorker)).warnings)).toEqual(['UnknownPersistence', 'PatternScans'])
  })

  test.each(['backfill', 'verify', 'purge'] as const)('%s does not begin without them', async (kind) => {
    await world.record(kind === 'purge' ? 'Legacy' : 'BackfillVerify', 5, 4)
    await grant(least().filter((granted) => granted !== '+copy'))
    const before = await world.snapshot()
    await expect(world.run(world.spec(kind), asWorker)).rejects.toThrow('lacks rights: ACL SETUSER worker +copy')
    expect(await world.snapshot()).toEqual(before)
  })

  test('a right taken away in the middle ends the work at once', async () => {
    await world.record('BackfillVerify', 5, 4)
    await grant(least())
    let batches = 0
    const after = async (name: string): Promise<void> => {
      if (name === 'worker-backfill-batch' && (batches += 1) === 2) await r().call('ACL', 'SETUSER', 'worker', '-copy')
    }
    const running = world.run(world.spec('backfill', { maxKeysPerSecond: 50 }), { ...asWorker, after })
    await expect(running).rejects.toThrow(/can't run this command/)
  })
})

test('Redis Cluster is a blocker, told by plain commands', async () => {
  const cluster = await World.start(['--cluster-enabled', 'yes'])
  try {
    await cluster.redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    for (let i = 0; i < 1000 && !/cluster_state:ok/.test(String(await cluster.redis.call('CLUSTER', 'INFO'))); i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const result = await cluster.run<PreflightResult>(cluster.spec('preflight', { assume: {} }))
    expect(reasons(result.blockers)).toContain('RedisCluster')
    expect(await cluster.fields('preflight-1')).toMatchObject({ state: 'done', kind: 'preflight' })
  } finally {
    await cluster.stop()
  }
}, 30_000)
