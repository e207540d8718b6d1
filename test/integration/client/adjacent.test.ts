import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import type { JobStore } from '../../../src/client/index.ts'
import { documentOf, KEYS, MountedDir } from './support/routing.ts'
import { World } from './support/world.ts'
import type { Phase } from '../../../src/protocol/phases.ts'

/**
 * Two clients under two adjacent routing states, taking turns at random, against a map in memory: what one was told is
 * done, the other reads (I2); both keys of a job are equal after each operation (I1).
 */
jest.setTimeout(120_000)
const NAME = [
  'Legacy 0',
  'DualWrite 10',
  'DualWrite 60',
  'DualWrite 100',
  'ReadRouting 50',
  'ReadRouting 100',
  'BackfillVerify 0',
]
const docAt = (state: string, epoch: number) => {
  const [phase, percent] = state.split(' ') as [Phase, string]
  return documentOf(epoch, phase, Number(percent))
}
const PAIRS = NAME.slice(1).flatMap((to, i) => {
  const from = NAME[i] ?? ''
  return [
    [from, to],
    [to, from],
  ] as const
})
// Between these two the walk back makes one step.
PAIRS.push(['ReadRouting 50', 'DualWrite 100'], ['DualWrite 100', 'Legacy 0'])

const JOBS = ['a', 'b', 'c', 'd']
const operation = fc.record({
  by: fc.constantFrom(0, 1),
  job: fc.constantFrom(...JOBS),
  what: fc.constantFrom('create', 'get', 'get', 'update', 'mutate', 'delete', 'expire', 'list'),
  workspace: fc.constantFrom('w1', 'w1', 'w1', 'w2'),
})
const LATER = 4_000_000_000_000

let world: World
const dirs = [new MountedDir(), new MountedDir()] as const
beforeAll(async () => {
  world = await World.start()
})
afterEach(() => world.closeClients())
afterAll(async () => {
  await world.stop()
  for (const dir of dirs) dir.remove()
})

describe.each(PAIRS)('%s beside %s', (from, to) => {
  test('every acknowledged write is read by both, and keys never part', async () => {
    dirs[0].publish(docAt(from, 20))
    dirs[1].publish(docAt(to, 21))
    const clients = dirs.map((dir) => world.client('hash', { routingDir: dir.path }))
    await world.redis.raw.set(KEYS.fence, '20')
    for (const client of clients) await client.ready()
    const property = fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      fc.subarray(JOBS),
      async (operations, legacyOnly) => {
        const model = new Map<string, { workspace: string; v: string; expires: boolean }>()
        for (const job of JOBS) await world.redis.raw.del(`ai:job:${job}`, `ai:job:w1:${job}`, `ai:job:w2:${job}`)
        for (const job of legacyOnly) {
          await world.redis.raw.hset(`ai:job:${job}`, { workspace_id: 'w1', v: '0' })
          model.set(job, { workspace: 'w1', v: '0', expires: false })
        }
        let serial = 0
        for (const { by, job, what, workspace } of operations) {
          const store = clients[by]?.forWorkspace(workspace) as JobStore<'hash'>
          const known = model.get(job)
          const mine = known?.workspace === workspace ? known : undefined
          const v = String((serial += 1))
          if (what === 'create') {
            const made = await store.create(job, { v }).then(
              () => true,
              () => false,
            )
            expect(made).toBe(known === undefined)
            if (made) model.set(job, { workspace, v, expires: false })
          } else if (what === 'get') {
            expect((await store.get(job))?.value['v']).toBe(mine?.v)
          } else if (what === 'update') {
            expect(await store.update(job, { v })).toBe(mine !== undefined)
            if (mine !== undefined) mine.v = v
          } else if (what === 'mutate') {
            const next = mine === undefined ? undefined : String(Number(mine.v) + 1)
            expect((await store.mutate(job, [['HINCRBY', 'v', 1]]))?.[0]).toBe(next)
            if (mine !== undefined && next !== undefined) mine.v = next
          } else if (what === 'delete') {
            expect(await store.delete(job)).toBe(mine !== undefined)
            if (mine !== undefined) model.delete(job)
          } else if (what === 'expire') {
            expect(await store.expire(job, { expiresAt: LATER })).toBe(mine !== undefined)
            if (mine !== undefined) mine.expires = true
          } else {
            const seen: string[] = []
            for await (const one of store.list()) seen.push(`${one.jobId}=${one.value['v']}`)
            const wanted = [...model].filter(([, m]) => m.workspace === workspace).map(([j, m]) => `${j}=${m.v}`)
            expect(seen.sort()).toEqual(wanted.sort())
          }
          const { legacy, target } = await world.pair(model.get(job)?.workspace ?? workspace, job)
          if (legacy !== null && target !== null) expect(target).toEqual(legacy)
          const now = model.get(job)
          expect(legacy?.value).toEqual(now === undefined ? undefined : { workspace_id: now.workspace, v: now.v })
          if (now !== undefined) expect(legacy?.expiresAt).toBe(now.expires ? LATER : -1)
          if (now === undefined) expect(target).toBeNull()
        }
      },
    )
    await fc.assert(property, { numRuns: 25 })
  })
})
