import { jest } from '@jest/globals'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { keptOf } from '../../../src/api/kept.ts'
import type { Status } from '../../../src/api/status.ts'
import type { Decision, Observations } from '../../../src/decision/types.ts'
import { observeRedis, observeWork } from '../../../src/operator/gather/redis.ts'
import { redisTrouble } from '../../../src/operator/redis-trouble.ts'
import { controlKeys } from '../../../src/protocol/control-keys.ts'
import { canonicalJson, documentHash } from '../../../src/protocol/document.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import { Connection, parseRedisPlace } from '../../../src/redis/connection.ts'
import { keysOfEachType } from '../redis/support/key-types.ts'
import {
  CLUSTER,
  conditionText,
  condition,
  documentIn,
  observe,
  resourceOf,
  run,
  specOf,
  statusAt,
} from '../../unit/decision/builders.ts'

jest.setTimeout(60_000)

const dir = mkdtempSync(join(tmpdir(), 'keyshift-hostile-'))
const keys = controlKeys(controlPrefix('ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}'))
const others: Parameters<typeof observeRedis>[2] = () =>
  Promise.resolve({ writers: { known: true, value: [] }, rightsMissing: [] })
let server: LocalRedis
let redis: Redis
let connection: Connection
beforeAll(async () => {
  server = await startRedis({ dir })
  redis = new Redis(server.port, '127.0.0.1')
  connection = new Connection({
    address: parseRedisPlace(`redis://127.0.0.1:${server.port}/0`),
    name: 'keyshift-operator',
    credentials: undefined,
  })
}, 30_000)
afterAll(async () => {
  redis.disconnect()
  await connection.close()
  await server.stop('KILL')
  rmSync(dir, { recursive: true, force: true })
})

// At 10 % no worker Job is due.
const status = statusAt('DualWrite', { epoch: 5, percent: 10 })
const doc = documentIn(status)
const account = JSON.stringify(keptOf(status))
const record = {
  cluster: CLUSTER,
  owner: 'prod/ai-jobs',
  phase: 'DualWrite',
  step: '0',
  epoch: '5',
  revision: '0',
  hash: doc.hash,
  document: status.routing ?? '',
  account,
}

/** A sound Redis of epoch 5 with one member that follows. */
async function plant(): Promise<void> {
  await redis.flushall()
  await redis.hset(keys.record, record)
  await redis.set(keys.fence, '4')
  await redis.hset(keys.members, 'm-a', '{"podUid":"uid-a","podName":"a","version":"1","registeredAt":1}')
  await redis.set(keys.lease('m-a'), `{"epoch":5,"hash":"${doc.hash}"}`, 'PX', 600_000)
}

/** What the operator decides on what Redis holds. A refusal of Redis is an observation, too. */
async function pass(before: Status | undefined, seen: Partial<Observations> = {}, now?: number): Promise<Decision> {
  const resource = resourceOf(specOf(), before)
  const observed = await observeRedis(connection, resource, others).then(
    (value) => ({ known: true, value }) as const,
    (error: unknown) => redisTrouble(error, resource.spec.redis),
  )
  const configMap = {
    known: true,
    value: { exists: true, immutable: false, document: status.routing ?? '' },
  } as const
  return run(before, observe({ redis: observed, configMap, ...seen }), now === undefined ? {} : { now })
}

/** Nothing is published, raised or written over; the reason and what to do are said. */
function expectHeld(decision: Decision, before: Status | undefined, reason: string, says: RegExp): void {
  expect(conditionText(decision, 'Ready')).toBe(`False ${reason}`)
  expect(condition(decision, 'Ready').message).toMatch(says)
  expect(condition(decision, 'Ready').message.length).toBeLessThanOrEqual(2048)
  expect(decision.actions).toEqual([])
  expect(decision.status.epoch).toBe(before?.epoch)
  expect(decision.status.routing).toBe(before?.routing)
}

const altered = (over: object): string => {
  const { hash: _hash, ...body } = { ...doc, ...over }
  return canonicalJson({ ...body, hash: documentHash(body) })
}
const MEGABYTE = 'x'.repeat(1024 * 1024)
const HOSTILE_JSON: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['null', 'null'],
  ['a number', '7'],
  ['a list', '[]'],
  ['an empty object', '{}'],
  ['broken bytes', '\ufffd\ufffd'],
  ['1 MB', MEGABYTE],
  ['1 MB in JSON', JSON.stringify({ x: MEGABYTE })],
  ['depth 2000', `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`],
  ['depth 100,000', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ['__proto__', '{"__proto__":{"epoch":9,"podUid":"u","history":[]},"constructor":1}'],
]

describe('the record', () => {
  it('sound, of a status that was lost: it goes on from it', async () => {
    await plant()
    const decision = await pass(undefined)
    expect(decision.status).toMatchObject({ epoch: 5, routing: status.routing })
  })

  it.each([
    ['document', record.document],
    ['account', record.account],
  ])(
    'its %s cut at each byte, and no status: the migration holds, and nothing is written over it',
    async (field, whole) => {
      await plant()
      for (let size = 0; size < whole.length; size += 1) {
        await redis.hset(keys.record, field, whole.slice(0, size))
        expectHeld(
          await pass(undefined),
          undefined,
          'StateConflict',
          /the record in Redis \(epoch 5\).*cannot be read.*adopt-epoch: "5"/,
        )
      }
    },
  )

  it.each([
    ...HOSTILE_JSON.flatMap(
      ([what, text]) =>
        [
          [`a document that is ${what}`, { document: text }, /cannot be read/],
          // Every field of an account may be missing.
          ...(text === '{}' ? [] : [[`an account that is ${what}`, { account: text }, /cannot be read|later version/]]),
        ] as [string, object, RegExp][],
    ),
    ['a document of a phase to come', { document: altered({ phase: 'Archive' }) }, /cannot be read/],
    ['a document of another epoch', { document: altered({ epoch: 6 }) }, /cannot be read/],
    [
      'an account with a field to come',
      { account: JSON.stringify({ ...keptOf(status), later: 1 }) },
      /a later version of Keyshift has written the record.*run that version/,
    ],
    [
      'an account with a field to come further down',
      { account: account.replace('"history":[{', '"history":[{"later":1,') },
      /a later version of Keyshift/,
    ],
    ['an account with wrong types', { account: JSON.stringify({ ...keptOf(status), history: 'x' }) }, /cannot be read/],
    ['an epoch of 1e3', { epoch: '1e3' }, /cannot be read/],
    ['an endless epoch', { epoch: 'Infinity' }, /cannot be read/],
    ['an epoch below 0', { epoch: '-5' }, /cannot be read/],
    ['an epoch that no number holds', { epoch: '9007199254740993' }, /cannot be read/],
    ['no epoch', { epoch: '' }, /cannot be read/],
    ['an owner of 1 MB', { owner: MEGABYTE }, /are managed by xxx/],
    ['an owner with an escape sequence', { owner: 'a\u001b[2J\u202eb' }, /managed by a\\u001b\[2J\\u202eb/],
    ['another cluster', { cluster: '__proto__' }, /in another cluster/],
  ] as [string, object, RegExp][])('with %s, and no status: the migration holds', async (_what, over, says) => {
    await plant()
    await redis.hset(keys.record, over)
    expectHeld(await pass(undefined), undefined, 'StateConflict', says)
  })

  it('of a later version is not written over, also where status is there', async () => {
    await plant()
    await redis.hset(keys.record, 'account', JSON.stringify({ ...keptOf(status), later: 1 }))
    expectHeld(await pass(status), status, 'StateConflict', /a later version of Keyshift/)
  })

  it.each(HOSTILE_JSON.filter(([, text]) => text !== '{}'))(
    'damaged (%s) beside a sound status is written again from that, and nothing else is done',
    async (_what, text) => {
      await plant()
      await redis.hset(keys.record, { document: text })
      const decision = await pass(status)
      expect(decision.actions).toMatchObject([{ type: 'WriteRecord', document: status.routing, epoch: 5 }])
      expect(decision.status).toMatchObject({ epoch: 5, routing: status.routing })
    },
  )
})

describe('the fence', () => {
  it.each([
    [
      '99999999999999999999',
      /the fence in Redis stands at 100000000000000000000, above epoch 5, which is no epoch: put it right by hand/,
    ],
    ['9007199254740991', /stands at 9007199254740991.*put it right by hand/],
    ['12', /stands at 12, above epoch 5; nothing is published.*adopt-epoch: "12"/],
  ])('at %s: the migration holds', async (fence, says) => {
    await plant()
    await redis.set(keys.fence, fence)
    expectHeld(await pass(status), status, 'StateConflict', says)
  })

  it.each(['nan', 'inf', '1e9', '0x10', '-1', '', MEGABYTE])(
    'that is no number (case %#) counts as gone: it is raised again, and no step is taken',
    async (fence) => {
      await plant()
      await redis.set(keys.fence, fence)
      const decision = await pass(status)
      expect(decision.actions).toEqual([{ type: 'RaiseFence', epoch: 4 }])
      expect(decision.status.epoch).toBe(5)
    },
  )
})

describe('members', () => {
  it.each([
    ...HOSTILE_JSON,
    ['a pod UID that is a number', '{"podUid":1,"podName":"a","registeredAt":1}'],
    ['no name', '{"podUid":"u"}'],
  ] as const)('whose record is %s but whose lease lives count as live, in a pod of nobody', async (_what, text) => {
    await plant()
    await redis.hset(keys.members, 'm-odd', text)
    expect((await pass(status)).status.epoch).toBe(5)
    await redis.set(keys.lease('m-odd'), '{"epoch":4,"hash":"old"}')
    const decision = await pass(status)
    expect(conditionText(decision, 'Converged')).toBe('False MembersBehind')
    expect(condition(decision, 'Converged').message).toContain('m-odd (epoch 4')
  })

  it.each(HOSTILE_JSON)('whose lease is %s have let it lapse', async (_what, text) => {
    await plant()
    await redis.set(keys.lease('m-a'), text)
    expect(conditionText(await pass(status), 'Converged')).toBe('False PodsLapsed')
  })

  it('with names of 1 MB and escape sequences are shown in words that are short and safe to print', async () => {
    await plant()
    const podName = `\u001b]0;x\u0007\u202e\n${MEGABYTE}`
    await redis.hset(keys.members, 'm-a', JSON.stringify({ podUid: 'u', podName, version: '1', registeredAt: 1 }))
    await redis.set(keys.lease('m-a'), '{"epoch":4,"hash":"old"}')
    const decision = await pass(status)
    const text = JSON.stringify(decision.status)
    expect(text.length).toBeLessThan(16 * 1024)
    // eslint-disable-next-line no-control-regex
    expect(condition(decision, 'Converged').message).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u202e]/)
  })
})

it.each([-3_600_000, 3_600_000])(
  'a clock of the operator that is off by %i ms against Redis ends no member before its time',
  async (off) => {
    await plant()
    const [seconds] = await redis.time()
    const record = { podUid: 'gone', podName: 'g', version: '1', registeredAt: Number(seconds) * 1000 }
    await redis.hset(keys.members, 'm-new', JSON.stringify(record))
    await redis.hset(keys.members, 'm-old', JSON.stringify({ ...record, registeredAt: record.registeredAt - 600_000 }))
    const { actions } = await pass(status, {}, Number(seconds) * 1000 + off)
    expect(actions.filter(({ type }) => type === 'PruneMembers')).toEqual([{ type: 'PruneMembers', ids: ['m-old'] }])
  },
)

describe('counters', () => {
  it.each([
    [{ count: 'x', lastAt: 'y' }],
    [{ count: '-1' }],
    [{ count: '1e400', lastAt: '9e99', example: MEGABYTE, member: MEGABYTE }],
    [{ example: 'a:b' }],
  ])('of illegal ids with odd fields (case %#) count as one seen just now, or as none', async (fields) => {
    await redis.flushall()
    await redis.hset(keys.illegalIds, fields as object)
    const { illegalIds } = await observeRedis(connection, resourceOf(), others)
    expect(illegalIds.count).toBe('count' in fields ? 1 : 0)
    expect(illegalIds.ageMs ?? 0).toBe(0)
  })

  it('of fallback reads that is no number is not taken for 0', async () => {
    await plant()
    await redis.set(keys.fallbackReads, 'x')
    expect(await observeRedis(connection, resourceOf(), others)).toMatchObject({ fallbackReads: 1 })
  })
})

describe('the progress of a worker', () => {
  const fields = { kind: 'verify', run: 'u1/', state: 'done', done: '5', total: '5', epoch: '5', lineage: 'l' }
  const seen = async (over: object) => {
    await redis.flushall()
    await redis.hset(keys.work('j'), { ...fields, ...over })
    return observeWork(connection, resourceOf(), ['j'])
  }
  const good = {
    kind: 'verify',
    direction: 'Both',
    ...{ compared: 1, missing: 0, different: 0, orphan: 0, malformed: 0, foreign: 0 },
    findings: [],
    malformedKeys: [],
  }

  it('with a whole result has it', async () => {
    expect(await seen({ result: JSON.stringify(good) })).toMatchObject([{ state: 'done', done: 5, result: good }])
  })

  it('with its result cut at each byte has none: nothing is proven by it', async () => {
    const whole = JSON.stringify(good)
    for (let size = 0; size < whole.length; size += 1) {
      const [work] = await seen({ result: whole.slice(0, size) })
      expect(work).toMatchObject({ state: 'done' })
      expect(work?.result).toBeUndefined()
    }
  })

  it.each([
    ...HOSTILE_JSON,
    ['of another kind', '{"kind":"purge","deleted":1}'],
    ['a count below 0', JSON.stringify({ ...good, different: -1 })],
    ['a count in a text', JSON.stringify({ ...good, different: '0' })],
    ['a count left out', JSON.stringify({ ...good, different: undefined })],
    ['findings of other types', JSON.stringify({ ...good, findings: [{ key: 1 }] })],
    ['thousands of findings', JSON.stringify({ ...good, findings: Array(5000).fill({ key: 'k', why: 'w' }) })],
  ] as [string, string][])('with a result that is %s has none', async (_what, result) => {
    const [work] = await seen({ result })
    expect(work?.result).toBeUndefined()
  })

  it.each([{ kind: '__proto__' }, { kind: 'archive' }, { state: 'sleeping' }, { kind: '' }])(
    'of a kind or state to come (%j) is not there',
    async (over) => {
      expect(await seen(over)).toEqual([])
    },
  )

  it('with numbers that are none counts 0', async () => {
    expect(await seen({ done: 'Infinity', total: '-1', epoch: '1e300', rate: 'x', pass: '1.5' })).toMatchObject([
      { done: 0, total: 0, epoch: 0, rate: 0, pass: 0 },
    ])
  })
})

describe('keys of another type', () => {
  const TYPES = keysOfEachType(() => redis)
  it.each([
    ['fence', keys.fence, 'string'],
    ['record', keys.record, 'hash'],
    ['members', keys.members, 'hash'],
    ['lease of a member', keys.lease('m-a'), 'string'],
    ['fallback reads', keys.fallbackReads, 'string'],
    ['illegal ids', keys.illegalIds, 'hash'],
  ])('in the place of the %s hold the migration, named with their type', async (_what, key, right) => {
    for (const type of Object.keys(TYPES).filter((one) => one !== right)) {
      await plant()
      await redis.del(key)
      await TYPES[type]?.(key)
      const says = new RegExp(`${key} is a ${type}, and Keyshift keeps a ${right} there: delete it or rename it`)
      expectHeld(await pass(status), status, 'RedisRefused', says)
      expectHeld(await pass(undefined), undefined, 'RedisRefused', says)
    }
  })

  it('in the place of the progress of a worker are named with their type', async () => {
    for (const type of Object.keys(TYPES).filter((one) => one !== 'hash')) {
      await redis.flushall()
      await TYPES[type]?.(keys.work('j'))
      await expect(observeWork(connection, resourceOf(), ['j'])).rejects.toThrow(`${keys.work('j')} is a ${type}`)
    }
  })
})

describe('status and ConfigMap, where nothing else is left', () => {
  const only = (document?: string) =>
    ({
      configMap: {
        known: true,
        value: { exists: true, immutable: false, ...(document === undefined ? {} : { document }) },
      },
    }) as const

  it('a routing cut at each byte holds: nothing begins anew over it', async () => {
    await redis.flushall()
    const whole = status.routing ?? ''
    for (let size = 1; size < whole.length; size += 1) {
      const cut = { ...status, routing: whole.slice(0, size) }
      expectHeld(await pass(cut, only()), cut, 'StateConflict', /status.routing cannot be read.*apply it again/)
    }
  })

  it.each([
    ...HOSTILE_JSON.filter(([, text]) => text !== '' && text !== '{}'),
    ['cut short', record.document.slice(0, 99)],
  ] as [string, string][])('a ConfigMap that is %s holds: it may be of a migration on its way', async (_what, text) => {
    await redis.flushall()
    expectHeld(
      await pass(undefined, only(text)),
      undefined,
      'StateConflict',
      /ConfigMap ai-jobs-routing holds a routing.json that cannot be read/,
    )
  })

  it.each(['', '{}', ' {} \n'])('a ConfigMap that the application made with %j is a beginning', async (text) => {
    await redis.flushall()
    expect((await pass(undefined, only(text))).status.epoch).toBe(1)
  })

  it.each(HOSTILE_JSON)('a ConfigMap that is %s beside a sound status is written again', async (_what, text) => {
    await plant()
    expect((await pass(status, only(text))).actions).toMatchObject([
      { type: 'ApplyConfigMap', document: status.routing },
    ])
  })
})
