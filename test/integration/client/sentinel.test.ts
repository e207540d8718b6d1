import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { createKeyshiftClient, type ClientOptions, type KeyshiftClient } from '../../../src/client/index.ts'
import type { LeaseRecord } from '../../../src/protocol/control-keys.ts'
import { legacyKey } from '../../../src/protocol/templates.ts'
import { startProxy, type Proxy } from '../redis/support/proxy.ts'
import { MAJORS, until } from '../redis/support/redis.ts'
import { startTestSentinels, type TestSentinels } from '../redis/support/sentinels.ts'
import { documentOf, KEYS, LEGACY, MountedDir, TARGET, TEMPLATES } from './support/routing.ts'
import { noUnhandledRejections } from './support/unhandled.ts'

jest.setTimeout(90_000)
noUnhandledRejections()

let group: TestSentinels
const dir = new MountedDir()
const open: { close(): Promise<void> }[] = []
beforeAll(async () => {
  group = await startTestSentinels({ password: 'a+b/c=%40@#:é', sentinelPassword: 's/=@' })
})
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})
afterAll(async () => {
  await group.stop()
  dir.remove()
})

const settle = async (epoch: number): Promise<void> => {
  dir.publish(documentOf(epoch, 'BackfillVerify'))
  await group.raw(await group.primary()).set(KEYS.fence, String(epoch))
}
const start = (Redis: ClientOptions['redis']['Redis'], addresses: readonly string[]): KeyshiftClient<'hash'> => {
  const client = createKeyshiftClient({
    legacy: LEGACY,
    target: TARGET,
    encoding: 'hash',
    redis: {
      sentinel: { masterName: group.masterName, addresses, db: 0, credentials: async () => ({ password: 's/=@' }) },
      credentials: async () => ({ password: 'a+b/c=%40@#:é' }),
      ...(Redis === undefined ? {} : { Redis }),
    },
    routingDir: dir.path,
    podUid: 'pod-1',
    pollMs: 50,
  })
  open.push(client)
  return client
}
const reports = async (port: number, client: KeyshiftClient<'hash'>): Promise<number | undefined> => {
  const lease = await group.raw(port).get(KEYS.lease(client.state().memberId))
  return lease === null ? undefined : (JSON.parse(lease) as LeaseRecord).epoch
}

describe.each(MAJORS)('a client by Sentinel over $major', ({ Redis }) => {
  test('[O16] no write is acknowledged by the old primary under a routing that is newer than the failover', async () => {
    await settle(5)
    const proxies: Proxy[] = []
    for (const { port } of group.sentinels) proxies.push(await startProxy(port))
    const client = start(
      Redis,
      proxies.map(({ port }) => `127.0.0.1:${port}`),
    )
    await client.ready()
    const before = await group.primary()
    await group.keepPrimary(before)
    // It hears of nothing, as one whose Sentinels are slow: the old primary goes on serving it.
    for (const proxy of proxies) proxy.holdReplies()
    const now = await group.failover()
    dir.publish(documentOf(6, 'BackfillVerify'))
    const store = client.forWorkspace('w1')
    const written: { id: string; epoch: number }[] = []
    const writing = (async () => {
      for (let i = 0; !(written.at(-1)?.epoch === 6 && i > 50); i += 1) {
        const { epoch } = client.state()
        const id = `${epoch}-${i}-${before}`
        await store.create(id, {}).then(
          () => written.push({ id, epoch }),
          () => undefined,
        )
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    await until('the newer routing is not followed, and it says why', () => client.state().routingProblem)
    const unconfirmed = /^epoch 6 is not followed yet: no Sentinel says/
    expect(client.state().routingProblem).toMatch(unconfirmed)
    // A file that is spoilt and mended meanwhile hides that, and then no more.
    dir.swap('half')
    const spoilt = /^routing document is not JSON/
    await until('the file is told of', () => client.state().routingProblem?.match(spoilt))
    dir.publish(documentOf(6, 'BackfillVerify'))
    await until('it is mended', () => !spoilt.test(client.state().routingProblem ?? ''))
    expect(client.state().routingProblem).toMatch(unconfirmed)
    const under5 = written.map(({ id }) => legacyKey(TEMPLATES, id))
    expect(await group.raw(before).exists(...under5)).toBe(under5.length)
    for (const proxy of proxies) proxy.release()
    await writing
    expect(client.state()).toMatchObject({ epoch: 6, routingProblem: undefined })
    const under6 = written.filter(({ epoch }) => epoch === 6).map(({ id }) => legacyKey(TEMPLATES, id))
    expect(await group.raw(now).exists(...under6)).toBe(under6.length)
    expect(await group.raw(before).exists(...under6)).toBe(0)
    await until('it is a member there', async () => (await reports(now, client)) === 6)
    expect(await reports(before, client)).toBe(5)
    await client.close()
    for (const proxy of proxies) await proxy.close()
    await group.letGo(before)
  })
})

test('[O16] a primary that is killed: calls go on by themselves on the next one, within their deadlines', async () => {
  await settle(7)
  const client = start(undefined, group.addresses)
  const store = client.forWorkspace('w1')
  await client.ready()
  await store.create('survivor', { n: '0' })
  const before = await group.primary()
  await until('it is replicated', async () => {
    const others = group.servers.filter(({ port }) => port !== before)
    return (
      await Promise.all(others.map(({ port }) => group.raw(port).exists(legacyKey(TEMPLATES, 'survivor'))))
    ).every((there) => there === 1)
  })
  await group.servers.find(({ port }) => port === before)?.stop('KILL')
  const options = { deadlineMs: 60_000 }
  await store.mutate('survivor', [['HINCRBY', 'n', 1]], { ...options, operationId: 'once' })
  expect((await store.get('survivor', options))?.value).toMatchObject({ n: '1' })
  expect(await group.primary()).not.toBe(before)
})
