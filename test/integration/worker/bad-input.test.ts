import { jest } from '@jest/globals'
import type {
  BackfillResult,
  PreflightResult,
  PurgeResult,
  VerifyResult,
  WorkSpec,
} from '../../../src/protocol/work.ts'
import { controlKeys } from '../../../src/protocol/control-keys.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import { keysOfEachType } from '../redis/support/key-types.ts'
import { control, World } from './world.ts'

jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())

const KINDS = ['preflight', 'backfill', 'verify', 'repair', 'purge'] as const
const phaseOf = (kind: WorkSpec['kind']) => (kind === 'preflight' || kind === 'purge' ? 'Legacy' : 'BackfillVerify')
const bytes = (...values: number[]): Buffer => Buffer.from(values)
const legacyKey = (id: string | Buffer): Buffer => Buffer.concat([Buffer.from('ai:job:'), Buffer.from(id)])
/** Control, format and other characters that change how a line looks, and the mark of broken UTF-8. */
// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]/

/** Type and contents, byte for byte. Dumps of equal hashes may differ in the order of their fields. */
async function contents(key: string | Buffer): Promise<string> {
  const type = await world.redis.type(key)
  if (type !== 'hash') return `${type} ${(await world.redis.dumpBuffer(key))?.toString('hex')}`
  const parts = (await world.redis.callBuffer('HGETALL', key)) as Buffer[]
  const fields = parts.flatMap((name, i) =>
    i % 2 === 0 ? [`${name.toString('hex')}=${parts[i + 1]?.toString('hex')}`] : [],
  )
  return `${type} ${fields.sort().join()}`
}

/** Every key of the database but our own with type, expiry and contents, all byte for byte. */
async function everything(own = false): Promise<Map<string, string>> {
  const keys = await world.redis.keysBuffer('*')
  const shown = keys.filter((key) => own || !key.toString().startsWith('keyshift:'))
  return new Map(
    await Promise.all(
      shown.map(async (key): Promise<[string, string]> => {
        const [what, expiry] = await Promise.all([contents(key), world.redis.pexpiretime(key)])
        return [key.toString('hex'), `${what} ${expiry}`]
      }),
    ),
  )
}

interface Results {
  readonly preflight: PreflightResult
  readonly backfill: BackfillResult
  readonly verify: VerifyResult
  readonly purge: PurgeResult
}

/** Every kind of work in the order of a walk there and back; each one's result. */
async function runAll(more: Partial<WorkSpec> = {}, between?: () => Promise<void>): Promise<Results> {
  const of = async <K extends keyof Results>(kind: K): Promise<Results[K]> => {
    await world.record(phaseOf(kind), 5, 4)
    return world.run<Results[K]>(world.spec(kind, { allowTarget: true, ...more }))
  }
  const preflight = await of('preflight')
  const backfill = await of('backfill')
  const verify = await of('verify')
  await between?.()
  return { preflight, backfill, verify, purge: await of('purge') }
}

const MEGABYTE = 'x'.repeat(1024 * 1024)
const names: readonly (readonly [string, Buffer, RegExp])[] = [
  ['empty', Buffer.from(''), /is empty/],
  ['of 1 MB', Buffer.from(MEGABYTE), /is too long/],
  ['of 1 MB in letters of two bytes', Buffer.from('é'.repeat(512 * 1024)), /is too long/],
  ['of 1 MB of broken bytes', Buffer.alloc(1024 * 1024, 0x80), /is too long/],
  ['with two delimiters', Buffer.from('a:b:c'), /contains ":"/],
  ['that ends with the delimiter', Buffer.from('a:'), /contains ":"/],
  ['with a byte that is no UTF-8', bytes(0xff), /is not UTF-8/],
  ['with a lone surrogate', bytes(0xed, 0xa0, 0x80), /is not UTF-8/],
  ['with an overlong delimiter', bytes(0x61, 0xc0, 0xba, 0x62), /is not UTF-8/],
  [
    'with a character cut short and an escape sequence',
    bytes(0x1b, 0x5b, 0x33, 0x31, 0x6d, 0xf0, 0x9f),
    /is not UTF-8/,
  ],
  ['with a delimiter behind a command of a terminal', Buffer.from('\u009b31m:\u202e:\r\n'), /contains ":"/],
]

test.each(names)(
  'a job id %s: counted and named by each worker, in words that are safe to print, and left as it is',
  async (_what, id, why) => {
    await world.reset('Legacy')
    await world.loadHashes(20)
    const key = legacyKey(id)
    await world.redis.call('HSET', key, 'workspace_id', 'w1', 'n', bytes(0, 255))
    const before = await everything()
    const { preflight, backfill, verify, purge } = await runAll()
    expect(preflight).toMatchObject({ legacy: 20, malformed: 1, foreign: 0, target: 0 })
    expect(backfill).toMatchObject({ copied: 20, malformed: 1 })
    expect(verify).toMatchObject({ compared: 20, malformed: 1, missing: 0, different: 0, orphan: 0, foreign: 0 })
    expect(purge).toEqual({ kind: 'purge', deleted: 20 })
    for (const { malformedKeys } of [preflight, verify]) {
      expect(malformedKeys).toHaveLength(1)
      expect(malformedKeys[0]?.why).toMatch(why)
      expect(malformedKeys[0]?.key.length).toBeLessThanOrEqual(200)
      expect(malformedKeys[0]?.key).not.toMatch(UNSAFE)
    }
    expect(await everything()).toEqual(before)
    for (const kind of KINDS.filter((one) => one !== 'repair')) {
      const { result = '' } = await world.fields(`${kind}-1`)
      expect(result.length).toBeLessThan(4096)
    }
  },
)

test('hundreds of broken names of 1 KB give twenty samples, and a result of a few KB', async () => {
  await world.reset('Legacy')
  const pipeline = world.redis.pipeline()
  for (let i = 0; i < 500; i += 1) pipeline.hset(`ai:job:\u0001${i}:${'€'.repeat(330)}:x`, { workspace_id: 'w1' })
  await pipeline.exec()
  const before = await everything()
  const { preflight, backfill, verify } = await runAll({ allowEmpty: true })
  expect([preflight.malformed, backfill.malformed, verify.malformed]).toEqual([500, 500, 500])
  expect([preflight.malformedKeys.length, verify.malformedKeys.length]).toEqual([20, 20])
  expect(JSON.stringify(preflight).length).toBeLessThan(16 * 1024)
  expect(await everything()).toEqual(before)
})

test('odd ids that are good move byte for byte, each to a target of its own, and come back', async () => {
  const odd = [
    ...['{', '}', '{job_id}', '*', '?', '[a]', '\\', '\\*', '^', '"', "'", ' ', '\0', '\n', '\u001b[31m', '%s', '%d'],
    ...[
      'admin',
      'аdmin',
      'é',
      'e\u0301',
      '\u00c5',
      '\u212b',
      '\u200badmin',
      '\u202eadmin',
      '😀',
      '\ufeff',
      '__proto__',
      '-1',
    ],
    ...['constructor', 'keyshift', '9007199254740993', 'x'.repeat(512), '../..', '$(id)'],
  ]
  await world.reset('Legacy')
  for (const id of odd) await world.redis.hset(legacyKey(id), 'workspace_id', `${id}|w`.slice(-512), 'id', id)
  const before = await everything()
  const { preflight, backfill, verify, purge } = await runAll({}, async () => {
    for (const id of odd) {
      const target = `ai:job:${`${id}|w`.slice(-512)}:${id}`
      expect(await contents(target)).toBe(await contents(legacyKey(id)))
    }
  })
  expect(preflight).toMatchObject({ legacy: odd.length, malformed: 0, foreign: 0 })
  expect(backfill).toMatchObject({ copied: odd.length, malformed: 0 })
  expect(verify).toMatchObject({ compared: odd.length, missing: 0, different: 0, orphan: 0, malformed: 0, foreign: 0 })
  expect(purge.deleted).toBe(odd.length)
  expect(await everything()).toEqual(before)
})

test.each([
  ['*', 'all:'],
  ['?i:', 'ai:'],
  ['[ab]:', 'a:'],
  ['a\\:', 'a:'],
  ['a\\*:', 'a*:'],
  ['^a:', 'a:'],
  ['[^a]:', 'b:'],
  ['a[b-d]*?\\[:', 'ab[:'],
])(
  'in templates that begin with %s those characters stand for themselves: keys with %s are never met',
  async (begin, other) => {
    await world.reset('Legacy')
    const templates = { legacy: `${begin}{job_id}`, target: `${begin}{workspace_id}/{job_id}` }
    await world.redis.hset(`${begin}j1`, { workspace_id: 'w1' })
    await world.redis.hset(`${other}j2`, { workspace_id: 'w2' })
    const before = await everything()
    const keys = controlKeys(controlPrefix(templates.legacy, templates.target))
    const result: unknown[] = []
    for (const kind of KINDS) {
      await world.redis.hset(keys.record, { phase: phaseOf(kind), epoch: '5' })
      await world.redis.set(keys.fence, '4')
      await world.run(world.spec(kind, { ...templates, allowTarget: true }))
      result.push(JSON.parse((await world.redis.hget(keys.work(`${kind}-1`), 'result')) ?? 'null'))
    }
    expect(result).toMatchObject([
      { legacy: 1, malformed: 0, blockers: [] },
      { copied: 1 },
      { compared: 1, missing: 0, different: 0 },
      { left: 0, removed: 0 },
      { deleted: 1 },
    ])
    expect(await everything()).toEqual(before)
  },
)

const nested = (depth: number, text = '1') => `${'['.repeat(depth)}${text}${']'.repeat(depth)}`
/** A stored text, and the workspace that it names or why none can be told. */
const texts: readonly (readonly [
  string,
  string | Buffer,
  { readonly workspace: string } | { readonly why: string },
])[] = [
  ['a whole number of 2^53+1', '{"workspace_id":"w1","n":9007199254740993}', { workspace: 'w1' }],
  [
    'numbers that a decoder would round',
    '{"n":[1.0,1e400,18446744073709551615],"workspace_id":"w1"}',
    { workspace: 'w1' },
  ],
  ['spaces and an order of its own', ' {\n "z" : {} , "workspace_id"\t:"w1", "a":[ ] }\r\n', { workspace: 'w1' }],
  ['1 MB', `{"workspace_id":"w1","x":"${'x'.repeat(1024 * 1024)}"}`, { workspace: 'w1' }],
  ['depth 900', `{"workspace_id":"w1","x":${nested(900)}}`, { workspace: 'w1' }],
  ['the field also further down', '{"x":{"workspace_id":"w2"},"workspace_id":"w1"}', { workspace: 'w1' }],
  ['the field twice', '{"workspace_id":"w2","workspace_id":"w1"}', { workspace: 'w1' }],
  [
    'the field twice, once written with an escape',
    '{"workspace_id":"w2","work\\u0073pace_id":"w1"}',
    { workspace: 'w1' },
  ],
  [
    '__proto__ and toString',
    '{"__proto__":{"workspace_id":"w2"},"toString":1,"workspace_id":"w1"}',
    { workspace: 'w1' },
  ],
  [
    'another field that is broken UTF-8',
    Buffer.concat([Buffer.from('{"workspace_id":"w1","x":"'), bytes(0xff), Buffer.from('"}')]),
    { workspace: 'w1' },
  ],
  [
    'the field twice, the last one null',
    '{"workspace_id":"w1","workspace_id":null}',
    { why: 'workspace_id is not a text' },
  ],
  ['the field in other letters', '{"Workspace_ID":"w1"}', { why: 'no workspace_id' }],
  ['the field in __proto__ alone', '{"__proto__":{"workspace_id":"w1"}}', { why: 'no workspace_id' }],
  ['a number for a workspace', '{"workspace_id":7}', { why: 'workspace_id is not a text' }],
  ['null for a workspace', '{"workspace_id":null}', { why: 'workspace_id is not a text' }],
  ['an object for a workspace', '{"workspace_id":{"id":"w1"}}', { why: 'workspace_id is not a text' }],
  ['a list for a workspace', '{"workspace_id":["w1"]}', { why: 'workspace_id is not a text' }],
  ['true for a workspace', '{"workspace_id":true}', { why: 'workspace_id is not a text' }],
  ['an empty workspace', '{"workspace_id":""}', { why: 'workspace_id is empty' }],
  ['a workspace with the delimiter', '{"workspace_id":"w1\\u003aw2"}', { why: 'workspace_id contains ":"' }],
  ['a workspace of 1 MB', `{"workspace_id":"${'w'.repeat(1024 * 1024)}"}`, { why: 'workspace_id is too long' }],
  ['a lone surrogate for a workspace', '{"workspace_id":"\\ud800"}', { why: 'JSON cannot be decoded' }],
  [
    'broken UTF-8 for a workspace',
    Buffer.concat([Buffer.from('{"workspace_id":"'), bytes(0xff), Buffer.from('"}')]),
    { why: 'workspace_id is not UTF-8' },
  ],
  ['depth 2000', `{"workspace_id":"w1","x":${nested(2000)}}`, { why: 'JSON cannot be decoded' }],
  ['a text cut short', '{"workspace_id":"w1"', { why: 'JSON cannot be decoded' }],
  ['something after the end', '{"workspace_id":"w1"}{"workspace_id":"w2"}', { why: 'JSON cannot be decoded' }],
  [
    'something after the end, behind NUL',
    '{"workspace_id":"w1"}\0{"workspace_id":"w2"}',
    { why: 'JSON cannot be decoded' },
  ],
  ['a byte order mark', '\ufeff{"workspace_id":"w1"}', { why: 'JSON cannot be decoded' }],
  ['no value', '', { why: 'JSON cannot be decoded' }],
  ['null', 'null', { why: 'no JSON object' }],
  ['a text in JSON', '"w1"', { why: 'no JSON object' }],
  ['a list', '["workspace_id","w1"]', { why: 'no workspace_id' }],
  ['gzip', bytes(0x1f, 0x8b, 8, 0, 0, 0), { why: 'JSON cannot be decoded' }],
]
const hashes: readonly (readonly [
  string,
  readonly (string | Buffer)[],
  { readonly workspace: string } | { readonly why: string },
])[] = [
  [
    'odd fields',
    ['workspace_id', 'w1', '', '', '\0', bytes(0, 255), '__proto__', 'x', 'WORKSPACE_ID', 'w2'],
    { workspace: 'w1' },
  ],
  [
    'a field of 1 MB and one with a name of 1 MB',
    ['workspace_id', 'w1', 'x', MEGABYTE, MEGABYTE, 'x'],
    { workspace: 'w1' },
  ],
  ['a workspace with spaces and braces', ['workspace_id', ' {w} '], { workspace: ' {w} ' }],
  ['a workspace that is NUL', ['workspace_id', '\0'], { workspace: '\0' }],
  ['the field in other letters', ['Workspace_id', 'w1'], { why: 'no workspace_id' }],
  ['an empty workspace', ['workspace_id', ''], { why: 'workspace_id is empty' }],
  ['a workspace with the delimiter', ['workspace_id', 'w1:j'], { why: 'workspace_id contains ":"' }],
  ['a workspace that is no UTF-8', ['workspace_id', bytes(0xed, 0xb0, 0x80)], { why: 'workspace_id is not UTF-8' }],
]

describe.each([
  ...texts.map(([what, text, is]) => ({
    what: `a text with ${what}`,
    plant: () => world.redis.set('ai:job:odd', text),
    is,
  })),
  ...hashes.map(([what, fields, is]) => ({
    what: `a hash with ${what}`,
    plant: () => world.redis.call('HSET', 'ai:job:odd', ...fields),
    is,
  })),
])('$what', ({ plant, is }) => {
  const name =
    'workspace' in is
      ? `is moved byte for byte to ${JSON.stringify(is.workspace)}, and verify agrees`
      : `is malformed to each worker (${is.why}), and stays`
  test(name, async () => {
    await world.reset('Legacy')
    await plant()
    await world.redis.pexpire('ai:job:odd', 3_600_000)
    const before = await everything()
    const { preflight, backfill, verify, purge } = await runAll({}, async () => {
      if ('why' in is) return
      const target = `ai:job:${is.workspace}:odd`
      expect(await contents(target)).toBe(await contents('ai:job:odd'))
      expect(await world.redis.pexpiretime(target)).toBe(await world.redis.pexpiretime('ai:job:odd'))
      expect((await everything()).size).toBe(2)
    })
    const malformed = 'why' in is ? 1 : 0
    expect(preflight).toMatchObject({ legacy: 1 - malformed, malformed })
    expect(backfill).toMatchObject({ copied: 1 - malformed, malformed })
    expect(verify).toMatchObject({ compared: 1 - malformed, missing: 0, different: 0, orphan: 0, malformed })
    expect(purge.deleted).toBe(1 - malformed)
    const why = 'why' in is ? [{ key: 'ai:job:odd', why: is.why }] : []
    expect([preflight.malformedKeys, verify.malformedKeys]).toEqual([why, why])
    expect(await everything()).toEqual(before)
  })
})

/** One key of each type. */
const TYPES: ReturnType<typeof keysOfEachType> = {
  ...keysOfEachType(() => world.redis),
  stream: (key) => world.redis.xadd(key, '*', 'workspace_id', 'w1'),
}
const others = (type: string) => Object.keys(TYPES).filter((one) => one !== type)

test('keys of every type under a legacy name are counted with their type and stay as they are', async () => {
  await world.reset('Legacy')
  for (const [type, make] of Object.entries(TYPES)) await make(`ai:job:${type}`)
  const before = await everything()
  const { preflight, backfill, verify } = await runAll({ allowEmpty: true })
  expect([preflight.malformed, backfill.malformed, verify.malformed]).toEqual([6, 6, 6])
  expect(preflight.malformedKeys).toEqual(verify.malformedKeys)
  expect(preflight.malformedKeys.map(({ why }) => why)).toEqual([
    'no workspace_id',
    ...['list', 'set', 'stream'].map((type) => `wrong type: ${type}`),
    'JSON cannot be decoded',
    'wrong type: zset',
  ])
  expect(await everything()).toEqual(before)
})

test('keys of every type under a target name without a legacy key are foreign, and stay as they are', async () => {
  await world.reset('Legacy')
  await world.redis.hset('ai:job:good', { workspace_id: 'w1' })
  for (const [type, make] of Object.entries(TYPES)) await make(`ai:job:w1:${type}`)
  const before = await everything()
  const { preflight, verify } = await runAll()
  expect(preflight).toMatchObject({ foreign: 6, target: 0, legacy: 1 })
  expect(preflight.foreignKeys.map(({ key }) => key)).toEqual(
    Object.keys(TYPES)
      .map((type) => `ai:job:w1:${type}`)
      .sort(),
  )
  expect(verify).toMatchObject({ foreign: 6, compared: 1, missing: 0, different: 0, orphan: 0 })
  await world.record('BackfillVerify', 5, 4)
  await world.run(world.spec('repair'))
  const after = await everything()
  expect(after.delete(Buffer.from('ai:job:w1:good').toString('hex'))).toBe(true)
  expect(after).toEqual(before)
})

describe.each(KINDS)('%s', (kind) => {
  test.each([
    ['fence', control.fence, 'string'],
    ['record', control.record, 'hash'],
    ['work hash', control.work(`${kind}-1`), 'hash'],
  ])(
    'with a %s of another type: an error that names key and type, and nothing is changed',
    async (_what, key, right) => {
      for (const type of others(right)) {
        await world.reset(phaseOf(kind))
        await world.loadHashes(5)
        await world.redis.copy('ai:job:j1', 'ai:job:w1:j1')
        await world.redis.del(key)
        await TYPES[type]?.(key)
        const before = await everything(true)
        const error = await world.run(world.spec(kind, { allowTarget: true })).catch((failed: unknown) => failed)
        expect(error).toMatchObject({ name: 'WorkFailed' })
        expect((error as Error).message).toContain(`${key} is a ${type}`)
        expect((error as Error).message).toMatch(/Keyshift keeps a (string|hash) there: (delete|rename) it/)
        expect(await everything(true)).toEqual(before)
      }
    },
  )
})

test.each(['nan', 'inf', '1e999', '0x10', '-1', '5 ', '', '4.5'])(
  'a fence that says %j is none: from epoch 2 on nothing runs, and the Job says so',
  async (fence) => {
    await world.reset('BackfillVerify')
    await world.loadHashes(5)
    await world.redis.set(control.fence, fence)
    const before = await everything(true)
    const running = world.run(world.spec('backfill'), { limits: { giveUpMs: 1 } })
    await expect(running).rejects.toThrow(/there is no fence/)
    expect(await everything(true)).toEqual(before)
  },
)
