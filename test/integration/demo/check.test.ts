import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, type CheckedStore } from '../../../demo/check.ts'
import { hashFields, legacyKey, seededText, targetKey } from '../../../demo/jobs.ts'
import { Ledger, type Entry } from '../../../demo/ledger.ts'
import { RedisConnection } from '../../../demo/resp.ts'
import { SABOTAGES, harmOf, sabotage } from '../../../demo/sabotage.ts'
import { SHORT_SIZES, seedDocs, seedJobs, seedMalformed } from '../../../demo/seed.ts'
import { HARMS, type Harm } from '../../../demo/violations.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'

const sizes = { ...SHORT_SIZES, jobs: 1_000, docs: 300, malformed: 18, waiting: 10, ending: 0 }

let dir: string
let server: LocalRedis
let jobs: CheckedStore
let docs: CheckedStore

/** What a finished migration left: every job copied to its target key by hand, some of them updated or deleted before. */
beforeEach(async () => {
  const open = (db: number) => RedisConnection.open({ host: '127.0.0.1', port: server.port, db })
  jobs = { redis: await open(0), ledger: new Ledger('jobs'), malformed: [] }
  docs = { redis: await open(1), ledger: new Ledger('docs'), malformed: [] }
  await jobs.redis.command('FLUSHALL')
  jobs = { ...jobs, malformed: await seedMalformed(jobs.redis, sizes.malformed) }
  await seedJobs(jobs.redis, jobs.ledger, sizes, () => {})
  await seedDocs(docs.redis, docs.ledger, sizes, () => {})
  for (const entry of jobs.ledger.all())
    if (entry.queued) await jobs.redis.command('HSET', legacyKey(entry.id), 'status', 'done')
  for (const entry of [...jobs.ledger.all()].slice(20, 40)) await update(entry)
  for (const entry of [...jobs.ledger.all()].slice(40, 50)) await remove(entry)
  for (const store of [jobs, docs]) for (const entry of store.ledger.all()) await copy(store, entry)
})

afterEach(() => {
  jobs.redis.close()
  docs.redis.close()
})

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keyshift-demo-check-'))
  server = await startRedis({ dir })
})

afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

const keysOf = (entry: Entry): [string, string] => [legacyKey(entry.id), targetKey(entry.workspace, entry.id)]

async function copy({ redis }: CheckedStore, entry: Entry): Promise<void> {
  const [legacy, target] = keysOf(entry)
  await redis.command('COPY', legacy, target)
}

async function update(entry: Entry): Promise<void> {
  entry.acked = entry.issued = 1
  await jobs.redis.command(
    'HSET',
    legacyKey(entry.id),
    ...Object.entries(hashFields(entry.workspace, entry.id, 1)).flat(),
  )
}

async function remove(entry: Entry): Promise<void> {
  entry.state = 'deleted'
  await jobs.redis.command('DEL', legacyKey(entry.id))
}

const nth = (store: CheckedStore, n: number): Entry => [...store.ledger.all()][n] as Entry

it('finds nothing where every job is on both schemas as the record has it', async () => {
  for (const store of [jobs, docs]) {
    const result = await check(store)
    expect(result.violations.kept).toEqual([])
    expect(result.malformedKept).toBe(store.malformed.length)
  }
  expect((await check(jobs)).compared).toBe(sizes.jobs - sizes.malformed - 10)
  expect((await check(docs)).keys).toBe(2 * sizes.docs)
})

const harms: readonly { when: string; harm: Harm; also?: readonly Harm[]; act: () => Promise<unknown> }[] = [
  {
    when: 'a job is gone from both schemas',
    harm: 'lost',
    act: () => jobs.redis.command('DEL', ...keysOf(nth(jobs, 100))),
  },
  { when: 'the legacy key is gone', harm: 'lost', act: () => jobs.redis.command('DEL', keysOf(nth(jobs, 100))[0]) },
  {
    when: 'the target key of a document is gone',
    harm: 'lost',
    act: () => docs.redis.command('DEL', keysOf(nth(docs, 9))[1]),
  },
  {
    when: 'both keys show an older version',
    harm: 'stale',
    act: async () => {
      const entry = nth(jobs, 25)
      const old = Object.entries(hashFields(entry.workspace, entry.id, 0)).flat()
      for (const key of keysOf(entry)) await jobs.redis.command('HSET', key, ...old)
    },
  },
  {
    when: "the worker's write is missing on one schema",
    harm: 'stale',
    also: ['different'],
    act: () => jobs.redis.command('HSET', keysOf(nth(jobs, 3))[1], 'status', 'queued'),
  },
  {
    when: 'a deleted job is back',
    harm: 'resurrected',
    act: () => jobs.redis.command('HSET', keysOf(nth(jobs, 45))[1], 'v', '0'),
  },
  {
    when: 'a key is there that nobody wrote',
    harm: 'resurrected',
    act: () => jobs.redis.command('HSET', legacyKey('ghost'), 'v', '0'),
  },
  {
    when: "a job lies under another workspace's name",
    harm: 'leaked',
    act: () => jobs.redis.command('COPY', keysOf(nth(jobs, 0))[0], targetKey('w-02', nth(jobs, 0).id)),
  },
  {
    when: 'a job says it belongs to another workspace',
    harm: 'leaked',
    also: ['different'],
    act: () => jobs.redis.command('HSET', keysOf(nth(jobs, 0))[1], 'workspace_id', 'w-02'),
  },
  {
    when: 'a field differs',
    harm: 'different',
    act: () => jobs.redis.command('HSET', keysOf(nth(jobs, 60))[1], 'payload', 'x'),
  },
  {
    when: 'an update was counted twice, on both schemas',
    harm: 'different',
    act: async () => {
      for (const key of keysOf(nth(jobs, 25))) await jobs.redis.command('HINCRBY', key, 'updates', 1)
    },
  },
  {
    when: 'a field is too many',
    harm: 'different',
    act: () => jobs.redis.command('HSET', keysOf(nth(jobs, 60))[1], 'more', 'x'),
  },
  {
    when: 'a document was parsed and printed again',
    harm: 'different',
    act: () => {
      const { workspace, id } = nth(docs, 5)
      const printed = JSON.stringify(JSON.parse(seededText(workspace, id)))
      return docs.redis.command('SET', targetKey(workspace, id), printed)
    },
  },
  {
    when: 'one key never expires',
    harm: 'different',
    act: () => docs.redis.command('PERSIST', keysOf(nth(docs, 10))[1]),
  },
  {
    when: 'both keys lost their expiry',
    harm: 'different',
    act: async () => {
      for (const key of keysOf(nth(docs, 10))) await docs.redis.command('PERSIST', key)
    },
  },
]

it.each(harms)('counts $harm when $when', async ({ harm, also = [], act }) => {
  await act()
  const results = [await check(jobs), await check(docs)]
  const seen = HARMS.filter((h) => results.some((r) => r.violations.counts[h] > 0))
  expect(seen).toEqual(HARMS.filter((h) => h === harm || also.includes(h)))
})

describe('a write without an answer', () => {
  const write = async (entry: Entry, keys: readonly string[], v: number): Promise<void> => {
    const fields = Object.entries(hashFields(entry.workspace, entry.id, v)).flat()
    for (const key of keys) await jobs.redis.command('HSET', key, ...fields)
  }
  const expire = async (keys: readonly string[], at: number): Promise<void> => {
    for (const key of keys) await docs.redis.command('PEXPIREAT', key, at)
  }
  const cases: readonly { when: string; counts: Harm | 'nothing'; act: () => Promise<unknown> }[] = [
    {
      when: 'a create that did not happen',
      counts: 'nothing',
      act: () => {
        nth(jobs, 100).unknown = 'create'
        return jobs.redis.command('DEL', ...keysOf(nth(jobs, 100)))
      },
    },
    {
      when: 'a create that happened',
      counts: 'nothing',
      act: async () => void (nth(jobs, 100).unknown = 'create'),
    },
    {
      when: 'a create that happened on one schema',
      counts: 'lost',
      act: () => {
        nth(jobs, 100).unknown = 'create'
        return jobs.redis.command('DEL', keysOf(nth(jobs, 100))[1])
      },
    },
    {
      when: 'a delete that happened on one schema',
      counts: 'lost',
      act: () => {
        nth(jobs, 100).unknown = 'delete'
        return jobs.redis.command('DEL', keysOf(nth(jobs, 100))[0])
      },
    },
    {
      when: 'an update that did not happen',
      counts: 'nothing',
      act: async () => void (nth(jobs, 25).issued = 2),
    },
    {
      when: 'an update that happened',
      counts: 'nothing',
      act: () => {
        nth(jobs, 25).issued = 2
        return write(nth(jobs, 25), keysOf(nth(jobs, 25)), 2)
      },
    },
    {
      when: 'an update that happened on one schema',
      counts: 'different',
      act: () => {
        nth(jobs, 25).issued = 2
        return write(nth(jobs, 25), [keysOf(nth(jobs, 25))[1]], 2)
      },
    },
    {
      when: 'an expiry that happened',
      counts: 'nothing',
      act: () => {
        nth(docs, 10).otherExpiry = Date.now() + 90_000_000
        return expire(keysOf(nth(docs, 10)), nth(docs, 10).otherExpiry ?? 0)
      },
    },
    {
      when: 'an expiry that happened on one schema',
      counts: 'different',
      act: () => {
        nth(docs, 10).otherExpiry = Date.now() + 90_000_000
        return expire([keysOf(nth(docs, 10))[1]], nth(docs, 10).otherExpiry ?? 0)
      },
    },
    {
      when: 'an expiry of which a third value is there',
      counts: 'different',
      act: () => {
        nth(docs, 10).otherExpiry = Date.now() + 90_000_000
        return expire(keysOf(nth(docs, 10)), Date.now() + 95_000_000)
      },
    },
  ]

  it.each(cases)('$when: the check counts $counts', async ({ counts, act }) => {
    await act()
    const results = [await check(jobs), await check(docs)]
    const seen = HARMS.filter((h) => results.some((r) => r.violations.counts[h] > 0))
    expect(seen).toEqual(counts === 'nothing' ? [] : [counts])
  })
})

it('sees a malformed job that was touched', async () => {
  await jobs.redis.command('HSET', jobs.malformed[0]?.key ?? '', 'seen', '1')
  expect((await check(jobs)).malformedKept).toBe(sizes.malformed - 1)
})

it.each(SABOTAGES)('--sabotage %s turns the check red, and undone it is green again', async (kind) => {
  const damage = await sabotage(kind, jobs.redis, jobs.ledger)
  const { violations } = await check(jobs)
  expect(violations.counts[harmOf(kind)]).toBeGreaterThan(0)
  await damage.undo()
  expect((await check(jobs)).violations.total).toBe(0)
})
