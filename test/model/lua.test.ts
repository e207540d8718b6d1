import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { controlKeys } from '../../src/protocol/control-keys.ts'
import { legacyKey, parseTemplates, targetKey } from '../../src/protocol/templates.ts'
import { Connection, parseRedisAddress } from '../../src/redis/connection.ts'
import * as scripts from '../../src/redis/scripts.ts'
import { startTestRedis, type TestRedis } from '../integration/redis/support/redis.ts'
import { INPUT, productRungs, routeOf, type Route } from './ladder.ts'
import { ALL_RULES } from './rules.ts'
import { OPERATIONS, run, type Answer, type Keys, type Operation } from './scripts.ts'
import { expiryOf, FRESH, NOTHING, value, versionOf, workspaceOf, type Value } from './state.ts'

jest.setTimeout(120_000)

const TEMPLATES = parseTemplates(INPUT.legacy, INPUT.target)
const CONTROL = controlKeys(TEMPLATES.controlPrefix)
const WORKSPACES = ['w1', 'w2'] as const
const JOB = 'j1'
const NAMES = [legacyKey(TEMPLATES, JOB), ...WORKSPACES.map((w) => targetKey(TEMPLATES, w, JOB))] as const
/** The one moment of expiry, ms. */
const MOMENT = Date.UTC(2100, 0, 1)
const CALL = { deadlineMs: 5000 }

let redis: TestRedis
let connection: Connection
beforeAll(async () => {
  redis = await startTestRedis()
  connection = new Connection({ address: parseRedisAddress(redis.address), name: 'model' })
})
afterAll(async () => {
  await connection.close()
  await redis.stop()
})

async function store({ legacy, targets }: Keys): Promise<void> {
  const pipeline = redis.raw
    .pipeline()
    .del(...NAMES)
    .set(CONTROL.fence, '2')
  ;[legacy, ...targets].forEach((v, i) => {
    if (v === NOTHING) return
    const name = NAMES[i] as string
    pipeline.hset(name, { workspace_id: WORKSPACES[workspaceOf(v) as 0 | 1], version: versionOf(v) })
    if (expiryOf(v) === 1) pipeline.pexpireat(name, MOMENT)
  })
  await pipeline.exec()
}

async function stored(): Promise<Keys> {
  const [legacy = NOTHING, ...targets] = await Promise.all(
    NAMES.map(async (name) => valueOf(await redis.raw.hgetall(name), await redis.raw.pexpiretime(name))),
  )
  return { legacy, targets: targets as [Value, Value], owner: NOTHING }
}

function valueOf(fields: Readonly<Record<string, string>>, expiry: number): Value {
  if (Object.keys(fields).length === 0) return NOTHING
  // An update writes a field of its own: what was different stays different.
  const version = Number(fields['version']) + (fields['updated'] === '1' ? FRESH : 0)
  return value(WORKSPACES.indexOf(fields['workspace_id'] as 'w1'), expiry === MOMENT ? 1 : 0, version)
}

async function call(operation: Operation, w: number, route: Route, expire: boolean, seen: number): Promise<Answer> {
  const workspaceId = WORKSPACES[w] as string
  const job: scripts.JobCall = {
    epoch: 2,
    workspaceId,
    workspaceField: 'workspace_id',
    type: 'hash',
    forbidden: TEMPLATES.forbidden,
    order: route.order,
    keys: CONTROL,
    legacyKey: NAMES[0],
    targetKey: NAMES[1 + w] as string,
    keepMs: 1000,
  }
  switch (operation) {
    case 'create': {
      const fields = ['workspace_id', workspaceId, 'version', String(FRESH)]
      const more = { toTarget: route.createTarget, expiry: { mode: 'none', ms: 0 }, value: fields } as const
      return { ok: (await scripts.createJob(connection, job, more, CALL)).status === 'OK' }
    }
    case 'get': {
      const { status, rest } = await scripts.getJob(connection, job, CALL)
      if (status !== 'OK') return { ok: false }
      const list = (rest[3] as unknown[]).map(String)
      const fields = Object.fromEntries(list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1] as string]] : [])))
      return { ok: true, got: valueOf(fields, Number(rest[2])) }
    }
    case 'update':
      return {
        ok: (await scripts.updateJob(connection, job, { expect: [], set: ['updated', '1'] }, CALL)).status === 'OK',
      }
    case 'compare': {
      const change = { expect: [['version', String(seen)]], set: ['updated', '1'] } as const
      return { ok: (await scripts.updateJob(connection, job, change, CALL)).status === 'OK' }
    }
    case 'delete':
      return { ok: (await scripts.deleteJob(connection, job, CALL)).status === 'OK' }
    case 'expire': {
      const at = expire ? ({ mode: 'at', ms: MOMENT } as const) : ({ mode: 'none', ms: 0 } as const)
      return { ok: (await scripts.expireJob(connection, job, at, CALL)).status === 'OK' }
    }
  }
}

/** Whether the model's expire sets an expiry here (or takes one away). */
function setsExpiry(before: Keys, after: Keys): boolean {
  return [before.legacy, ...before.targets].some((v, i) => {
    const now = [after.legacy, ...after.targets][i] as Value
    return v !== NOTHING && expiryOf(v) === 0 && expiryOf(now) === 1
  })
}

/** Version that a compare-and-set has read: some of the stored ones. */
const SEEN = 0
const LEGACIES = [NOTHING, value(0, 0, 0), value(0, 1, 0), value(1, 0, 0)]
const TARGETS_1 = [NOTHING, value(0, 0, 0), value(0, 1, 0), value(0, 0, 1)]
const TARGETS_2 = [NOTHING, value(1, 0, 0)]
const ROUTES = new Map<string, Route>()
for (const state of productRungs())
  for (const selected of [true, false]) {
    const route = routeOf(state, selected)
    ROUTES.set(`${route.order}${route.createTarget ? ', new jobs on both' : ''}`, route)
  }

describe('the scripts of the model are the scripts in Lua', () => {
  const cases = OPERATIONS.flatMap((operation) => [...ROUTES].map(([name, route]) => ({ operation, name, route })))
  test.each(cases)('$operation under $name', async ({ operation, route }) => {
    for (const legacy of LEGACIES)
      for (const first of TARGETS_1)
        for (const second of TARGETS_2)
          for (const w of [0, 1]) {
            const before: Keys = { legacy, targets: [first, second], owner: NOTHING }
            const after: Keys = { legacy, targets: [first, second], owner: NOTHING }
            const answer = run(operation, after, w, route, ALL_RULES, SEEN)
            await store(before)
            const real = await call(operation, w, route, setsExpiry(before, after), SEEN)
            expect({ before, w, answer: real, after: await stored() }).toEqual({ before, w, answer, after })
          }
  })
})
