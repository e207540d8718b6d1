import { afterAll, describe, expect, test } from '@jest/globals'
import { createKeyshiftClient, InvalidArgument } from '../../../src/client/index.ts'

const GOOD = {
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  encoding: 'hash',
  redis: { address: 'redis://127.0.0.1:1/0' },
} as const

test.each<[string, object, RegExp]>([
  ['an encoding that is none', { encoding: 'text' }, /hash or json/],
  ['a template with a brace', { legacy: 'ai:job:{job_id' }, /write placeholders as \{job_id\}/],
  ['equal templates', { target: GOOD.legacy }, /nothing to migrate/],
  ['an address with a password', { redis: { address: 'redis://:secret@redis:6379/0' } }, /never holds credentials/],
  ['an address without a db', { redis: { address: 'redis://redis:6379' } }, /with the db written/],
  ['no address', { redis: {} }, /either redis.address or redis.sentinel/],
  [
    'a Sentinel that is a URL',
    { redis: { sentinel: { masterName: 'm', addresses: ['redis://s:1'], db: 0 } } },
    /and no URL/,
  ],
  ['a deadline that is none', { deadlineMs: 0 }, /deadlineMs must be/],
  ['a deadline past what a timer takes', { deadlineMs: 2 ** 31 }, /deadlineMs must be/],
  ['a poll that would not stop', { pollMs: Number.NaN }, /pollMs must be/],
  ['a time to remember that is none', { operationTtlMs: -1 }, /operationTtlMs must be/],
  ['a name that is misspelled', { routingdir: '/etc/x' }, /has no option "routingdir": it takes legacy, .*routingDir/],
  ['a password beside the address', { redis: { ...GOOD.redis, password: 'secret' } }, /redis has no option "password"/],
  [
    'a URL in place of the options of Redis',
    { redis: 'redis://:secret@redis:6379/0' },
    /options of redis are an object/,
  ],
  [
    'a connection of the app',
    { redis: { connect: () => undefined } },
    /redis is no connection: the client makes its own/,
  ],
  ['no options of Redis', { redis: undefined }, /options of redis are an object: it takes address/],
  [
    'a Sentinel with a name of ioredis',
    { redis: { sentinel: { name: 'm', addresses: ['s:1'], db: 0 } } },
    /redis.sentinel has no option "name": it takes masterName/,
  ],
  [
    'an option of Node in tls',
    { redis: { ...GOOD.redis, tls: { rejectUnauthorized: false } } },
    /redis.tls has no option "rejectUnauthorized"/,
  ],
  [
    'credentials that are not asked for',
    { redis: { ...GOOD.redis, credentials: { password: 'secret' } } },
    /a function/,
  ],
  ['a registry that is none', { metrics: {} }, /metrics.registry.getSingleMetric must be a function/],
  ['half a codec', { encoding: 'json', codec: { parse: JSON.parse } }, /codec.stringify must be a function/],
  ['a logger in place of a function', { log: console }, /log must be a function/],
  ['a tracer in place of a function', { trace: {} }, /trace must be a function/],
])('%s is an InvalidArgument before anything is connected, and holds no secret', (_, wrong, message) => {
  const before = process.getActiveResourcesInfo().length
  let thrown: unknown
  try {
    createKeyshiftClient({ ...GOOD, ...wrong })
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(InvalidArgument)
  expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT', retry: 'never' })
  expect((thrown as Error).message).toMatch(message)
  expect((thrown as Error).message).not.toContain('secret')
  expect(process.getActiveResourcesInfo()).toHaveLength(before)
})

test('no options at all are refused with the names of those there are', () => {
  expect(() => (createKeyshiftClient as () => unknown)()).toThrow(/it takes legacy, target, encoding/)
})

describe('options of a call', () => {
  const loose = (encoding: 'hash' | 'json') => {
    const client = createKeyshiftClient<'hash' | 'json'>({ ...GOOD, encoding, deadlineMs: 200 })
    type Loose = Record<string, (...args: unknown[]) => Promise<unknown> & AsyncIterableIterator<unknown>>
    return { client, store: client.forWorkspace('w') as unknown as Loose, queue: client.queue('q') as unknown as Loose }
  }
  const hashes = loose('hash')
  const texts = loose('json')
  afterAll(() => Promise.all([hashes.client.close(), texts.client.close()]))

  test.each<[string, () => unknown, RegExp]>([
    ['create with ttl', () => hashes.store['create']?.('j', {}, { ttl: 1 }), /create has no option "ttl": .*ttlMs/],
    ['enqueue with que', () => hashes.store['enqueue']?.('j', {}, { que: 'q' }), /enqueue has no option "que"/],
    ['enqueue without a queue', () => hashes.store['enqueue']?.('j', {}), /queue is named by the key of a list/],
    ['push without a queue', () => hashes.store['push']?.('j'), /queue is named by the key of a list/],
    ['push with que', () => hashes.store['push']?.('j', { que: 'q' }), /push has no option "que"/],
    ['get with a number', () => hashes.store['get']?.('j', 5000), /options of get are an object/],
    ['get with null', () => hashes.store['get']?.('j', null), /options of get are an object/],
    ['update with expected', () => hashes.store['update']?.('j', { a: '1' }, { expected: {} }), /"expected": .*expect/],
    [
      'update of a text with expect',
      () => texts.store['update']?.('j', String, { expect: {} }),
      /"expect": .*maxTries/,
    ],
    [
      'mutate with operationID',
      () => hashes.store['mutate']?.('j', [['HDEL', 'a']], { operationID: 'x' }),
      /operationId/,
    ],
    ['delete with timeout', () => hashes.store['delete']?.('j', { timeout: 1 }), /delete has no option "timeout"/],
    [
      'expire with deadline',
      () => hashes.store['expire']?.('j', { ttlMs: 1 }, { deadline: 1 }),
      /"deadline": .*deadlineMs/,
    ],
    ['list with count', () => hashes.store['list']?.({ count: 1 }).next(), /list has no option "count": .*pageSize/],
    [
      'a controller for its signal',
      () => hashes.store['get']?.('j', { signal: new AbortController() }),
      /AbortController/,
    ],
    ['dequeue with a number', () => hashes.queue['dequeue']?.(5000), /options of dequeue are an object/],
    ['dequeue with wait', () => hashes.queue['dequeue']?.({ wait: 1 }), /dequeue has no option "wait": .*waitMs/],
    ['reap with waitMs', () => hashes.queue['reap']?.({ waitMs: 1 }), /reap has no option "waitMs": .*leaseMs/],
    ['ack with fail', () => hashes.queue['ack']?.({}, { fail: true }), /ack has no option "fail": .*failed/],
    ['nack with delay', () => hashes.queue['nack']?.({}, { delay: 1 }), /nack has no option "delay"/],
    ['ready with timeout', () => hashes.client.ready({ timeout: 1 } as object), /ready has no option "timeout"/],
  ])('%s rejects with InvalidArgument before anything is sent', async (_, call, message) => {
    const thrown: unknown = await Promise.resolve(call()).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(InvalidArgument)
    expect((thrown as Error).message).toMatch(message)
  })
})

test('a directory that is not there is told at once, and holds nothing', async () => {
  const said: unknown[] = []
  const client = createKeyshiftClient({ ...GOOD, routingDir: '/nowhere', log: (...entry) => said.push(entry) })
  expect(said).toContainEqual(['warn', expect.stringContaining('routingDir is no directory'), { dir: '/nowhere' }])
  await client.close()
})
