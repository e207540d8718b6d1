import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { InvalidId, JobExists } from '../../../src/client/index.ts'
import type { RoutingDocument } from '../../../src/protocol/document.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
afterEach(() => world.closeClients())

const odd = [':', '{', '}', '*', '?', '[', ']', '\\', '\0', ' ', 'é', '\ud800', 'w', 'j', 'workspace_id', '{job_id}']
const parts = fc.array(fc.constantFrom(...odd), { maxLength: 3 }).map((list) => list.join(''))
/** Often such as spell each other's keys and entries. */
const id = fc.oneof(parts, fc.constantFrom('w', 'j', 'w:j', 'j:w', 'w:w:j'))

/** Each close to another one. */
const CLOSE: [string, string][] = [
  ['w', 'j'],
  ['x', 'w:j'],
  ['w', 'w:j'],
  ['w:j', 'x'],
  ['w', 'x:j'],
  [':', ':'],
  [':', ''],
  [':', '\ud800'],
  ['w', '\ufffd'],
]

/** Each refused, or kept as itself alone: what is stored for it names it, and no other has the same name anywhere. */
async function each(doc: RoutingDocument, fence: number, pairs: readonly (readonly [string, string])[]): Promise<void> {
  await world.redis.raw.flushall()
  await world.settle(doc)
  await world.redis.raw.set(KEYS.fence, String(fence))
  const client = world.client('hash')
  await client.ready()
  const made: [string, string][] = []
  for (const [w, j] of pairs) {
    const error: unknown = await client
      .forWorkspace(w)
      .enqueue(j, { is: JSON.stringify([w, j]) }, { queue: 'ai:queue' })
      .catch((thrown: unknown) => thrown)
    if (error === undefined) made.push([w, j])
    // Job ids are unique over all workspaces.
    else if (error instanceof JobExists) expect(made.some(([, other]) => other === j)).toBe(true)
    else expect(error).toBeInstanceOf(InvalidId)
  }
  const { raw } = world.redis
  const entries = await raw.lrange('ai:queue', 0, -1)
  expect(new Set(entries).size).toBe(made.length)
  expect(await raw.hlen(KEYS.queued('ai:queue'))).toBe(made.length)
  for (const [w, j] of made)
    expect((await client.forWorkspace(w).get(j))?.value).toEqual({ workspace_id: w, is: JSON.stringify([w, j]) })
  for (const w of new Set(made.map(([workspace]) => workspace))) {
    const listed: string[] = []
    for await (const job of client.forWorkspace(w).list()) listed.push(job.jobId)
    expect(listed.sort()).toEqual(made.flatMap(([workspace, j]) => (workspace === w ? [j] : [])).sort())
  }
  const consumed: unknown[] = []
  for (let delivery = await client.queue('ai:queue').dequeue(); delivery !== undefined;) {
    consumed.push([delivery.workspaceId, delivery.jobId])
    expect((await delivery.read())?.value['is']).toBe(JSON.stringify([delivery.workspaceId, delivery.jobId]))
    await delivery.ack()
    delivery = await client.queue('ai:queue').dequeue()
  }
  expect(consumed).toEqual(made)
  expect(await raw.hgetall(KEYS.depth)).toEqual({})
  for (const [w, j] of made) expect(await client.forWorkspace(w).delete(j)).toBe(true)
  expect(await raw.keys('ai:*')).toEqual([])
  await client.close()
}

test.each<[string, RoutingDocument, number]>([
  ['Legacy before any target key', documentOf(3, 'Legacy', 0, false), 2],
  ['Legacy after a walk back', documentOf(9, 'Legacy'), 9],
  ['DualWrite', documentOf(3, 'DualWrite', 100), 3],
  ['BackfillVerify', documentOf(6, 'BackfillVerify', 100), 6],
])('K12 in %s, any (workspace, job) is refused or has keys and entries of its own', async (_, doc, fence) => {
  const pairs = fc.array(fc.tuple(id, id), { minLength: 20, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(pairs, (list) => each(doc, fence, list)),
    { numRuns: 5, examples: [[CLOSE]] },
  )
})
