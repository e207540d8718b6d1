import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals'
import { UnknownOutcome } from '../../../src/client/index.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import { MAJORS } from '../redis/support/redis.ts'
import { documentOf } from './support/routing.ts'
import { noUnhandledRejections } from './support/unhandled.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)
noUnhandledRejections()
let world: World
const proxies: Proxy[] = []
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
afterEach(async () => {
  await world.closeClients()
  for (const proxy of proxies.splice(0)) await proxy.close()
  await world.redis.raw.flushall()
})

test.each(MAJORS)(
  'K7 over $major 500 reads of 50 workspaces with late replies, aborts and deadlines never cross',
  async ({ Redis }) => {
    await world.settle(documentOf(5, 'BackfillVerify'))
    const proxy = await startProxy(world.redis.port)
    proxies.push(proxy)
    const direct = world.client('hash')
    for (let w = 0; w < 50; w += 1)
      for (let j = 0; j < 2; j += 1)
        await direct.forWorkspace(`w${w}`).create(`j${w}-${j}`, { owner: `w${w}/j${w}-${j}` })
    const client = world.client('hash', { redis: { address: `redis://127.0.0.1:${proxy.port}/0`, Redis } })
    // The server knows the script from here on.
    await client.forWorkspace('w0').get('j0-0')
    let seed = 7
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    proxy.delayReplies(() => random() * 3000)
    let answered = 0
    const get = async (i: number): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, random() * 2000))
      const [w, j] = [i % 50, i % 2]
      const abort = new AbortController()
      if (i % 5 === 0) setTimeout(() => abort.abort(), random() * 3000)
      const job = await client
        .forWorkspace(`w${w}`)
        .get(`j${w}-${j}`, { deadlineMs: 20 + random() * 6000, signal: abort.signal })
        .catch(() => undefined)
      if (job === undefined) return
      answered += 1
      expect(job.value).toEqual({ workspace_id: `w${w}`, owner: `w${w}/j${w}-${j}` })
    }
    await Promise.all(Array.from({ length: 500 }, (_, i) => get(i)))
    expect(answered).toBeGreaterThan(100)
    // A reply that belongs to another call, and an extra one that shifts all that follow: none of them may be believed.
    proxy.delayReplies(() => 0)
    const other = '*6\r\n$1\r\n1\r\n$2\r\nOK\r\n$6\r\ntarget\r\n$1\r\n0\r\n:-1\r\n*2\r\n$5\r\nowner\r\n$6\r\nstolen\r\n'
    for (const damage of [() => Buffer.from(other), (chunk: Buffer) => Buffer.concat([Buffer.from(other), chunk])]) {
      await client.ready()
      await client.forWorkspace('w1').get('j1-0')
      const sockets = proxy.connections()
      // A reply that comes late to a connection already given up may take the damage in its place.
      for (let tries = 0; tries < 10 && proxy.connections() === sockets; tries += 1) {
        proxy.damageNext(damage)
        expect((await client.forWorkspace('w2').get('j2-0'))?.value).toEqual({ workspace_id: 'w2', owner: 'w2/j2-0' })
      }
      expect(proxy.connections()).toBeGreaterThan(sockets)
    }
    // Half of a reply, then the next one.
    await client.ready()
    proxy.damageNext((chunk) => chunk.subarray(0, Math.floor(chunk.length / 2)))
    // Whoever waits for the missing bytes gives up; nobody gets what follows as the rest of an own reply.
    for (let round = 0; round < 2; round += 1)
      await Promise.all(
        [4, 5, 6, 7].map(async (w) => {
          const read = client.forWorkspace(`w${w}`).get(`j${w}-0`, { deadlineMs: 300 })
          const job = await read.catch((error: unknown) => expect(error).toBeInstanceOf(UnknownOutcome))
          if (job !== undefined) expect(job.value['owner']).toBe(`w${w}/j${w}-0`)
        }),
      )
  },
)
