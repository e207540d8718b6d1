import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals'
import { InvalidArgument, Occupied, type Codec, type Store } from '../../../src/client/index.ts'
import { documentOf } from './support/routing.ts'
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

interface Work {
  readonly n: bigint
}
/** Of 64-bit numbers, in a form of its own. */
const codec: Codec<Work> = {
  parse: (text) => {
    const n = /"n" : (\d+)/.exec(text)?.[1]
    if (n === undefined) throw new SyntaxError('no n')
    return { n: BigInt(n) }
  },
  stringify: ({ n }) => `{ "workspace_id":"w1", "n" : ${n} }`,
}
const BIG = 9_007_199_254_740_993n

test('what the codec writes is stored byte for byte, and comes back as what it reads: get, update, list, queue', async () => {
  const client = world.client('json', { codec } as never)
  const store = client.forWorkspace('w1') as unknown as Store<Work, 'json'>
  await store.enqueue('j1', { n: BIG }, { queue: 'ai:queue' })
  expect(await store.get('j1')).toEqual({ jobId: 'j1', value: { n: BIG } })
  expect(await store.update('j1', ({ n }) => ({ n: n + 2n }))).toBe(true)
  const { legacy, target } = await world.pair('w1', 'j1')
  expect(legacy?.value).toBe(codec.stringify({ n: BIG + 2n }))
  expect(target).toEqual(legacy)
  const listed = []
  for await (const job of store.list()) listed.push(job.value)
  expect(listed).toEqual([{ n: BIG + 2n }])
  const delivery = await client.queue('ai:queue').dequeue()
  expect((await delivery?.read())?.value).toEqual({ n: BIG + 2n })
})

test('a text that the codec cannot read is left as it is, and named with the reason', async () => {
  const client = world.client('json', { codec } as never)
  const store = client.forWorkspace('w1')
  const text = '{"workspace_id":"w1","n":"x"}'
  await world.redis.raw.set('ai:job:w1:j1', text)
  for (const act of [() => store.get('j1'), () => store.update('j1', (value) => value), () => store.list().next()]) {
    const error: unknown = await act().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Occupied)
    expect(error).toMatchObject({ retry: 'never', cause: new SyntaxError('no n') })
    expect((error as Error).message).toContain('"j1"')
  }
  expect(await world.redis.raw.get('ai:job:w1:j1')).toBe(text)
})

test('a codec that writes no text is refused before anything is sent, and hashes take none', async () => {
  const broken = { parse: (text: string) => text, stringify: () => undefined as unknown as string }
  const store = world.client('json', { codec: broken }).forWorkspace('w1')
  await expect(store.create('j1', 'x')).rejects.toBeInstanceOf(InvalidArgument)
  expect(await world.redis.raw.exists('ai:job:j1', 'ai:job:w1:j1')).toBe(0)
  expect(() => world.client('hash', { codec } as never)).toThrow(/a codec is for json/)
})
