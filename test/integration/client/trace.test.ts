import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals'
import type { TracedEnd, TracedOperation } from '../../../src/client/index.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(30_000)
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  await world.settle(documentOf(5, 'BackfillVerify'))
})
afterEach(() => world.closeClients())

type Span = TracedOperation & { end?: TracedEnd; ends: number }

/** Every operation that the client told of. */
function spans() {
  const seen: Span[] = []
  const trace = (operation: TracedOperation) => {
    const span: Span = { ...operation, ends: 0 }
    seen.push(span)
    return (end: TracedEnd): void => {
      span.end = end
      span.ends += 1
    }
  }
  return { seen, trace }
}

test('each operation is told of once at its begin and once at its end, with name, workspace, outcome and epoch', async () => {
  const { seen, trace } = spans()
  const client = world.client('hash', { trace })
  const store = client.forWorkspace('w1')
  await store.enqueue('j1', { a: '1' }, { queue: 'ai:queue' })
  await store.create('j1', {}).catch(() => undefined)
  await store.get('none')
  await store.update('j1', { a: '2' }, { expect: { a: '3' } }).catch(() => undefined)
  await client.forWorkspace('w2').get('j1')
  await store.get('a:b').catch(() => undefined)
  await client.queue('ai:none').dequeue()
  expect(seen.map(({ name, workspaceId, end, ends }) => [name, workspaceId, end?.outcome, end?.epoch, ends])).toEqual([
    ['create', 'w1', 'OK', 5, 1],
    ['create', 'w1', 'EXISTS', 5, 1],
    ['get', 'w1', 'NOT_FOUND', 5, 1],
    ['update', 'w1', 'CONFLICT', 5, 1],
    ['get', 'w2', 'DENIED', 5, 1],
    ['get', 'w1', 'INVALID_ID', 5, 1],
    ['reap', undefined, 'OK', 5, 1],
    ['dequeue', undefined, 'EMPTY', 5, 1],
  ])
  expect(seen.map(({ end }) => end?.retries)).toEqual(seen.map(() => 0))
  expect(seen[5]?.end?.error).toMatchObject({ code: 'INVALID_ID' })
})

test('retries and the epoch of the last try are told, and an abort is one', async () => {
  const { seen, trace } = spans()
  const store = world.client('hash', { trace }).forWorkspace('w1')
  await store.create('j1', {})
  await world.redis.raw.set(KEYS.fence, '6')
  const reading = store.get('j1', { deadlineMs: 20_000 })
  setTimeout(() => world.dir.publish(documentOf(6, 'BackfillVerify')), 100)
  await reading
  expect(seen[1]?.end).toMatchObject({ outcome: 'OK', epoch: 6 })
  expect(seen[1]?.end?.retries).toBeGreaterThan(0)
  const reason = new Error('no longer wanted')
  await expect(store.get('j1', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  expect(seen[2]?.end).toEqual({ outcome: 'ABORTED', error: reason, epoch: 6, retries: 0 })
})

test('a hook that throws, at either end, changes no operation and is logged', async () => {
  const said: string[] = []
  const log = (_: string, message: string): void => void said.push(message)
  for (const trace of [
    () => {
      throw new Error('begin')
    },
    () => () => {
      throw new Error('end')
    },
  ]) {
    const store = world.client('hash', { trace, log }).forWorkspace('w1')
    await store.create(`j${said.length}`, {})
  }
  expect(said.filter((message) => message === 'the trace hook threw')).toHaveLength(2)
  expect(await world.redis.raw.keys('ai:job:w1:*')).toHaveLength(2)
})
