import { describe, expect, test } from '@jest/globals'
import { Engine, type Operation } from '../../../src/client/engine.ts'
import { Inflight } from '../../../src/client/inflight.ts'
import { makeMetrics } from '../../../src/client/metrics.ts'
import { Readiness } from '../../../src/client/readiness.ts'
import { Routing } from '../../../src/client/routing.ts'
import { makeDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { Connection, parseRedisAddress, type CallOptions } from '../../../src/redis/connection.ts'
import { NotReady, Refused, UnknownOutcome } from '../../../src/redis/errors.ts'

const [legacy, target] = ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}']
const templates = parseTemplates(legacy, target)
const routing = (epoch: number): Routing => {
  const input = { name: 'm', canaryBy: 'Job', legacy, target, workspaceField: 'workspace_id', queues: [] } as const
  return new Routing(templates, makeDocument(input, routingState('Legacy', 0, 0), epoch))
}

function makeEngine() {
  const readiness = new Readiness()
  const inflight = new Inflight()
  readiness.follow(routing(1))
  readiness.unblock()
  const engine = new Engine({
    connection: new Connection({ address: parseRedisAddress('redis://127.0.0.1:1/0'), name: 'none' }),
    readiness,
    inflight,
    metrics: makeMetrics(undefined, async () => new Map()),
    readRouting: async () => undefined,
    deadlineMs: 1000,
    log: () => undefined,
  })
  return { readiness, inflight, engine }
}

test('an operation begins under the routing in force when it is sent, never under one that was reported as left', async () => {
  const { readiness, inflight, engine } = makeEngine()
  const epochs: number[] = []
  const run = engine.run({
    name: 'get',
    workspaceId: 'w1',
    read: true,
    send: async ({ epoch }) => {
      epochs.push(epoch)
      return { status: 'OK', rest: [] }
    },
  })
  readiness.follow(routing(2))
  const reported = inflight.reportable(2)
  await run
  expect({ reported, epochs }).toEqual({ reported: 2, epochs: [2] })
})

test.each<[string, (abort: AbortController) => Error]>([
  ['was never sent', () => new NotReady('no connection')],
  ['was refused', () => new Refused('NOPERM', 'no right')],
  ['was given up by its caller', (abort) => (abort.abort(), new NotReady('no connection'))],
])('a write whose first try has no outcome is unknown, though the next one %s', async (_, second) => {
  const { engine } = makeEngine()
  const abort = new AbortController()
  let tries = 0
  const run = engine.run(
    {
      name: 'update',
      workspaceId: 'w1',
      read: false,
      remembered: true,
      send: async () => {
        tries += 1
        throw tries === 1 ? new UnknownOutcome('cut') : second(abort)
      },
    },
    { deadlineMs: 300, signal: abort.signal },
  )
  await expect(run).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME', message: 'cut' })
  expect(tries).toBeGreaterThan(1)
})

test.each(['NOT_FOUND', 'EXISTS', 'DENIED', 'CONFLICT', 'OPERATION_REUSED'])(
  'nor does a caller hear that nothing was done where the next one meets %s',
  async (status) => {
    const { engine } = makeEngine()
    let tries = 0
    const run = engine.run({
      name: 'create',
      workspaceId: 'w1',
      read: false,
      remembered: true,
      send: async () => {
        tries += 1
        if (tries === 1) throw new UnknownOutcome('cut')
        return { status, rest: [] }
      },
    })
    await expect(run).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME', message: 'cut' })
    expect(tries).toBe(2)
  },
)

test.each([
  ['a read', { read: true }, 2],
  ['a write that Redis remembers', { read: false, remembered: true }, 2],
  ['a write', { read: false }, 1],
])('after a cut %s is sent again only where that is safe', async (_, kind, sends) => {
  const { engine } = makeEngine()
  let tries = 0
  const run = engine.run({
    name: 'op',
    workspaceId: 'w1',
    ...kind,
    send: async () => {
      tries += 1
      if (tries === 1) throw new UnknownOutcome('cut')
      return { status: 'OK', rest: [] }
    },
  })
  await (sends === 1 ? expect(run).rejects.toBeInstanceOf(UnknownOutcome) : run)
  expect(tries).toBe(sends)
})

describe('a write with almost nothing left of its deadline would only end the socket of others:', () => {
  const write = (sent: CallOptions[]): Operation => ({
    name: 'update',
    workspaceId: 'w1',
    read: false,
    send: async (_routing, _connection, options) => {
      sent.push(options)
      return { status: 'OK', rest: [] }
    },
  })

  test('it is not sent', async () => {
    const { engine, readiness } = makeEngine()
    const sent: CallOptions[] = []
    readiness.block('CONNECTING', 'for a while')
    const run = engine.run(write(sent), { deadlineMs: 500 })
    setTimeout(() => readiness.unblock(), 460)
    await expect(run).rejects.toBeInstanceOf(NotReady)
    expect(sent).toEqual([])
  })

  test('the connection holds it back as well, by the deadline of the whole operation', async () => {
    const { engine, readiness } = makeEngine()
    const sent: CallOptions[] = []
    readiness.block('CONNECTING', 'for a while')
    const run = engine.run(write(sent), { deadlineMs: 10_000 })
    setTimeout(() => readiness.unblock(), 100)
    await run
    expect(sent).toMatchObject([{ spareMs: 50, read: false }])
  })
})
