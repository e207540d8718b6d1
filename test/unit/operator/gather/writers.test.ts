import { parseClientList } from '../../../../src/operator/gather/redis-clients.ts'
import { foreignWriters, type WritersInput } from '../../../../src/operator/gather/writers.ts'
import { parseTemplates } from '../../../../src/protocol/templates.ts'
import { Refused, UnknownOutcome } from '../../../../src/redis/errors.ts'
import { LEGACY, TARGET } from '../objects.ts'

const PLAIN = { id: '7', addr: '10.0.0.7:1000', name: '', age: '60', flags: 'N', user: 'default', db: '0', cmd: 'llen' }
const line = (fields: Record<string, string>): string =>
  Object.entries({ ...PLAIN, ...fields })
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
    expect(
      parseClientList(`${line({ id: '3', name: 'a=b', 'lib-name': 'redis-py', cmd: 'client|SETNAME' })}\n`),
    ).toEqual([
      {
        id: 3,
        address: '10.0.0.7:1000',
        name: 'a=b',
        user: 'default',
        flags: 'N',
        library: 'redis-py',
        db: '0',
        command: 'client|setname',
        age: 60,
      },
    ])
  })
})

describe('a connection', () => {
  const foreign = (text: string) => ({ writers: { known: true, value: [text] }, observers: [] })
  const observing = (text: string) => ({ writers: { known: true, value: [] }, observers: [text] })
  const nobody = { writers: { known: true, value: [] }, observers: [] }
  const table: readonly (readonly [string, string, readonly string[], object])[] = [
    ['whose user may write is a foreign writer', line({}), [], foreign('user default from 10.0.0.7')],
    [
      'with a name is named by it',
      line({ name: 'cron', 'lib-name': 'redis-py' }),
      [],
      foreign('user default from 10.0.0.7 name "cron" library redis-py'),
    ],
    [
      'whose user may only read is an observer',
      line({ user: 'reader' }),
      [],
      observing('user reader from 10.0.0.7: its user may not write jobs'),
    ],
    [
      'of an observing user is an observer',
      line({ user: 'app' }),
      ['app'],
      observing('user app from 10.0.0.7: in redis.observers'),
    ],
    [
      'of an observing client is an observer',
      line({ name: 'exporter' }),
      ['exporter'],
      observing('user default from 10.0.0.7 name "exporter": in redis.observers'),
    ],
    ['that works on another db is nobody', line({ db: '1' }), [], nobody],
    ['of a replica is an observer', line({ flags: 'S' }), [], observing('user default from 10.0.0.7: a replica')],
    ['under MONITOR is an observer', line({ flags: 'O' }), [], observing('user default from 10.0.0.7: MONITOR')],
    [
      'of a Sentinel is an observer',
      line({ name: 'sentinel-0a1b2c3d-cmd' }),
      [],
      observing('user default from 10.0.0.7 name "sentinel-0a1b2c3d-cmd": a Sentinel'),
    ],
    ['of a worker is nobody', line({ name: 'keyshift-worker:jobs-backfill-1' }), [], nobody],
    ['of a member is nobody', line({ name: 'keyshift-client:api-1' }), [], nobody],
    [
      'of a client that is no member is a foreign writer',
      line({ name: 'keyshift-client:ghost' }),
      [],
      foreign('user default from 10.0.0.7 name "keyshift-client:ghost"'),
    ],
    ['that has just come and reads is nobody yet', line({ age: '1' }), [], nobody],
    [
      'that has just come and writes is a foreign writer',
      line({ age: '0', cmd: 'hset' }),
      [],
      foreign('user default from 10.0.0.7'),
    ],
    [
      'that is idle since it came, long ago, is a foreign writer',
      line({ cmd: 'client|setinfo' }),
      [],
      foreign('user default from 10.0.0.7'),
    ],
    [
      'of a client that registers in this moment is nobody yet',
      line({ age: '0', cmd: 'evalsha', name: 'keyshift-client:b' }),
      [],
      nobody,
    ],
    // Its user, name and db may be others in a moment.
    ['that is about to log in is nobody yet', line({ age: '0', cmd: 'NULL' }), [], nobody],
  ]
  it.each(table)('%s (O13)', async (_, one, observers, expected) => {
    expect(await foreignWriters(input([MEMBER, one], { observers }))).toEqual(expected)
  })

  const goneTable: readonly (readonly [string, Record<string, string>, object])[] = [
    ['wrote is a foreign writer', { cmd: 'set' }, foreign('user default from 10.0.0.7')],
    ['read is nobody', { cmd: 'info' }, nobody],
    ['wrote elsewhere is nobody', { cmd: 'set', db: '1' }, nobody],
    [
      'observed is an observer',
      { cmd: 'info', user: 'reader' },
      observing('user reader from 10.0.0.7: its user may not write jobs'),
    ],
  ]
  it.each(goneTable)('that is gone and %s (O13)', async (_, fields, expected) => {
    const recent = parseClientList(line({ age: '0', ...fields }))
    expect(await foreignWriters(input([MEMBER], { recent }))).toEqual(expected)
  })

  it('counts once for each host, however many there are', async () => {
    const many = [1, 2, 3].map((port) => line({ id: String(port + 10), addr: `10.0.0.9:${port}` }))
    expect(await foreignWriters(input([MEMBER, ...many]))).toEqual(foreign('user default from 10.0.0.9'))
  })
})

describe('the writers are unknown', () => {
  it('where the server refuses to list them', async () => {
    const call = () => Promise.reject(new Refused('NOPERM', 'NOPERM no permissions to run client|list'))
    expect((await foreignWriters(input([], { call }))).writers).toMatchObject({
      known: false,
      reason: 'WritersUnknown',
      message: expect.stringMatching(/CLIENT\|LIST/) as string,
    })
  })

  it('behind a proxy: the own connection is not among them', async () => {
    const call: WritersInput['call'] = async ([, sub]) => (sub === 'LIST' ? MEMBER : 99)
    expect((await foreignWriters(input([], { call }))).writers).toMatchObject({
      known: false,
      message: expect.stringMatching(/proxy/) as string,
    })
  })

  it('behind a proxy: a live member has no connection of its name', async () => {
    expect((await foreignWriters(input([]))).writers).toMatchObject({
      known: false,
      message: expect.stringMatching(/api-1.*proxy/) as string,
    })
    const { writers } = await foreignWriters(input([], { members: [{ id: 'api-1', live: false }] }))
    expect(writers).toEqual({ known: true, value: [] })
  })
})

it('a connection lost meanwhile is an error, no answer', async () => {
  const call = () => Promise.reject(new UnknownOutcome('cut'))
  await expect(foreignWriters(input([], { call }))).rejects.toThrow('cut')
})
