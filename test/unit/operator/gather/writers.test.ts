import { foreignWriters, parseClientList, type WritersInput } from '../../../../src/operator/gather/writers.ts'
import { parseTemplates } from '../../../../src/protocol/templates.ts'
import { Refused, UnknownOutcome } from '../../../../src/redis/errors.ts'
import { LEGACY, TARGET } from '../objects.ts'

const line = (fields: Record<string, string>): string =>
  Object.entries({ id: '7', addr: '10.0.0.7:1000', name: '', flags: 'N', user: 'default', db: '0', ...fields })
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
const OWN = line({ id: '1', name: 'keyshift-operator' })

/** `may`: users that may write. */
const input = (
  lines: readonly string[],
  changes: Partial<WritersInput> = {},
  may: readonly string[] = ['default', 'app'],
): WritersInput => ({
  call: async ([command, sub, user]) => {
    if (command === 'ACL') return may.includes(user ?? '') ? 'OK' : `User ${user} has no permissions`
    return sub === 'LIST' ? [OWN, ...lines, ''].join('\n') : 1
  },
  templates: parseTemplates(LEGACY, TARGET),
  members: [{ id: 'api-1', live: true }],
  observers: [],
  ...changes,
})
const MEMBER = line({ id: '2', name: 'keyshift-client:api-1', user: 'app' })

describe('a line of CLIENT LIST', () => {
  it('is read by its names, whatever the order', () => {
    expect(parseClientList(`${line({ id: '3', name: 'a=b', 'lib-name': 'redis-py' })}\n`)).toEqual([
      { id: '3', address: '10.0.0.7:1000', name: 'a=b', user: 'default', flags: 'N', library: 'redis-py', db: '0' },
    ])
  })
})

describe('a connection', () => {
  const table: readonly (readonly [string, string, readonly string[], readonly string[]])[] = [
    ['whose user may write is a foreign writer', line({}), [], ['user default from 10.0.0.7']],
    [
      'with a name is named by it',
      line({ name: 'cron', 'lib-name': 'redis-py' }),
      [],
      ['user default from 10.0.0.7 name "cron" library redis-py'],
    ],
    ['whose user may only read is none', line({ user: 'reader' }), [], []],
    ['of an observing user is none', line({ user: 'app' }), ['app'], []],
    ['of an observing client is none', line({ name: 'exporter' }), ['exporter'], []],
    ['that works on another db is none', line({ db: '1' }), [], []],
    ['of a replica is none', line({ flags: 'S' }), [], []],
    ['of a Sentinel is none', line({ name: 'sentinel-0a1b2c3d-cmd' }), [], []],
    ['under MONITOR is none', line({ flags: 'O' }), [], []],
    ['of a worker is none', line({ name: 'keyshift-worker:jobs-backfill-1' }), [], []],
    ['of a member is none', line({ name: 'keyshift-client:api-1' }), [], []],
    [
      'of a client that is no member is a foreign writer',
      line({ name: 'keyshift-client:ghost' }),
      [],
      ['user default from 10.0.0.7 name "keyshift-client:ghost"'],
    ],
  ]
  it.each(table)('%s (O13)', async (_, one, observers, value) => {
    expect(await foreignWriters(input([MEMBER, one], { observers }))).toEqual({ known: true, value })
  })

  it('counts once for each host, however many there are', async () => {
    const many = [1, 2, 3].map((port) => line({ id: String(port + 10), addr: `10.0.0.9:${port}` }))
    expect(await foreignWriters(input([MEMBER, ...many]))).toEqual({
      known: true,
      value: ['user default from 10.0.0.9'],
    })
  })
})

describe('the writers are unknown', () => {
  it('where the server refuses to list them', async () => {
    const call = () => Promise.reject(new Refused('NOPERM', 'NOPERM no permissions to run client|list'))
    expect(await foreignWriters(input([], { call }))).toMatchObject({
      known: false,
      reason: 'WritersUnknown',
      message: expect.stringMatching(/CLIENT\|LIST/) as string,
    })
  })

  it('behind a proxy: the own connection is not among them', async () => {
    const call: WritersInput['call'] = async ([, sub]) => (sub === 'LIST' ? MEMBER : 99)
    expect(await foreignWriters(input([], { call }))).toMatchObject({
      known: false,
      message: expect.stringMatching(/proxy/) as string,
    })
  })

  it('behind a proxy: a live member has no connection of its name', async () => {
    expect(await foreignWriters(input([]))).toMatchObject({
      known: false,
      message: expect.stringMatching(/api-1.*proxy/) as string,
    })
    expect(await foreignWriters(input([], { members: [{ id: 'api-1', live: false }] }))).toEqual({
      known: true,
      value: [],
    })
  })
})

it('a connection lost meanwhile is an error, no answer', async () => {
  const call = () => Promise.reject(new UnknownOutcome('cut'))
  await expect(foreignWriters(input([], { call }))).rejects.toThrow('cut')
})
