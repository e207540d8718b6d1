import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { NotReady } from '../../../src/client/index.ts'
import { renderDocument, ROUTING_FILE } from '../../../src/protocol/document.ts'
import { until } from '../redis/support/redis.ts'
import { ClientProcess } from './support/process.ts'
import { documentOf, KEYS, MountedDir } from './support/routing.ts'
import { noUnhandledRejections } from './support/unhandled.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
noUnhandledRejections()
/** What kubelet's swap is followed within, with the default poll. */
const SOON_MS = 2000
let world: World
let dir: MountedDir
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.redis.raw.flushall()
  dir = new MountedDir()
})
afterEach(async () => {
  await world.closeClients()
  dir.remove()
})

describe.each([
  ['with a watch', false],
  ['without one, the inotify limit being reached', true],
])('K10 %s', (_, noWatch) => {
  test('every swap is followed within 2 s, and what cannot be followed is reported and changes nothing', async () => {
    dir.publish(documentOf(1, 'Legacy'))
    const client = new ClientProcess({ redis: world.redis.address, dir: dir.path, noWatch })
    const follows = (epoch: number): Promise<unknown> =>
      until(`epoch ${epoch}`, () => client.state?.epoch === epoch && client.state.ready, SOON_MS)
    try {
      await until('it is ready', () => client.state?.ready)
      await world.redis.raw.set(KEYS.fence, '1')
      for (let epoch = 2; epoch <= 6; epoch += 1) {
        dir.publish(documentOf(epoch, 'DualWrite', 10))
        await follows(epoch)
      }
      dir.publish(documentOf(7, 'DualWrite', 50))
      dir.publish(documentOf(8, 'DualWrite', 100))
      await follows(8)
      const nine = renderDocument(documentOf(9, 'ReadRouting', 50))
      for (const [harm, problem] of [
        [() => dir.swap(nine.slice(0, nine.length / 2)), /half-written/],
        [() => dir.publish(documentOf(3, 'DualWrite', 10)), /epoch 3 is lower than 8/],
        [() => dir.publish(documentOf(8, 'DualWrite', 50)), /epoch 8 came twice/],
        [() => dir.swap(undefined), /cannot read the routing file.*ENOENT/],
        [() => dir.remove(), /cannot read the routing file.*ENOENT/],
      ] as const) {
        harm()
        await until(`the report ${String(problem)}`, () => problem.test(client.state?.routingProblem ?? ''), SOON_MS)
        expect(client.state).toMatchObject({ ready: true, epoch: 8 })
        expect(client.logged.findLast((line) => line.startsWith('error'))).toMatch(problem)
        expect(await client.page()).toContain('keyshift_client_routing_problem{migration="ai-jobs"} 1')
      }
      dir.swap(nine)
      await follows(9)
      dir.publish(documentOf(10, 'ReadRouting', 100))
      await follows(10)
      expect(client.state?.routingProblem).toBeUndefined()
      const page = await client.page()
      expect(page).toContain('keyshift_client_routing_problem{migration="ai-jobs"} 0')
      expect(page).toContain('keyshift_client_epoch{migration="ai-jobs"} 10')
      expect(client.stderr).toBe('')
    } finally {
      await client.kill()
    }
  })
})

describe('K10 a process that starts with', () => {
  const text = renderDocument(documentOf(4, 'DualWrite', 10))
  const starts: [string, (path: string) => void, RegExp | undefined][] = [
    ['no directory', (path) => rmSync(path, { recursive: true }), undefined],
    ['an empty directory', () => undefined, undefined],
    ['a half-written file', (path) => writeFileSync(join(path, ROUTING_FILE), text.slice(0, 50)), /half-written/],
    ['an empty file', (path) => writeFileSync(join(path, ROUTING_FILE), ''), /not JSON/],
    ['a directory in place of the file', (path) => mkdirSync(join(path, ROUTING_FILE)), /EISDIR/],
    [
      'a document whose hash does not fit',
      (path) => writeFileSync(join(path, ROUTING_FILE), text.replace('"createTarget":10', '"createTarget":90')),
      /hash does not fit/,
    ],
  ]

  test.each(starts)(
    '%s, and a fence: is not ready, says why, and goes on with the document',
    async (_, start, problem) => {
      await world.redis.raw.set(KEYS.fence, '3')
      start(dir.path)
      const client = world.client('hash', { routingDir: dir.path })
      await expect(client.ready({ deadlineMs: 300 })).rejects.toThrow(/NO_ROUTING/)
      expect(client.state()).toMatchObject({ ready: false, reason: 'NO_ROUTING', epoch: 0 })
      if (problem !== undefined) expect(client.state().message).toMatch(problem)
      expect(client.state().routingProblem ?? '').toMatch(problem ?? /^$/)
      await expect(client.forWorkspace('w1').create('j1', {}, { deadlineMs: 50 })).rejects.toBeInstanceOf(NotReady)
      expect(await world.redis.raw.keys('ai:job:*')).toEqual([])
      dir.remove()
      dir.publish(documentOf(4, 'DualWrite', 10))
      await until('epoch 4', () => client.state().ready && client.state().epoch === 4, SOON_MS)
      expect(client.state().routingProblem).toBeUndefined()
      await client.forWorkspace('w1').create('j1', {})
    },
  )

  test.each(starts)('%s, and no fence: works as before, on legacy keys alone', async (_, start, problem) => {
    start(dir.path)
    const client = world.client('hash', { routingDir: dir.path })
    await client.forWorkspace('w1').create('j1', {})
    expect(client.state()).toMatchObject({ ready: true, unmanaged: true, epoch: 0 })
    expect(client.state().routingProblem ?? '').toMatch(problem ?? /^$/)
    expect(await world.redis.raw.keys('ai:job:*')).toEqual(['ai:job:j1'])
  })
})
