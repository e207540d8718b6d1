import { join } from 'node:path'
import { jest } from '@jest/globals'
import { startRedis } from '../../../hack/local/redis.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import { ROUTING_FILE } from '../../../src/protocol/document.ts'
import { JobRunner } from './job-runner.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(90_000)

let world: World
const stop = new AbortController()
const ends: Promise<unknown>[] = []

beforeAll(async () => {
  world = await startWorld()
}, START_LIMIT_MS)

afterAll(async () => {
  stop.abort()
  await Promise.all(ends)
  await world.stop()
})

const specOf = (app: App, targetPhase: 'ReadRouting' | 'Legacy') =>
  app.spec({
    targetPhase,
    canaryPercentage: 50,
    redis: {
      address: `redis://127.0.0.1:${world.redisServer.port}/0`,
      observers: ['*'],
      assume: { maxmemory: 1_000_000_000 },
    },
    phases: {
      dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
      readRouting: { steps: [{ percent: 50, soak: '0s' }] },
    },
  })

/** An application in ReadRouting, whose way back to Legacy takes two steps. */
async function inReadRouting(name: string): Promise<App> {
  const app = await App.create(world, name)
  await world.redis.hset(`${name}:job:j1`, { workspace_id: 'w1' })
  const running = runOperator(world, name)
  ends.push(new JobRunner(app.client, name).run(stop.signal))
  stop.signal.addEventListener('abort', () => ends.push(running.stop()))
  await app.apply(specOf(app, 'ReadRouting'))
  await until(async () => (await app.document())?.epoch === 1)
  ends.push((await app.join(await app.startPod())).follow(stop.signal))
  await until(async () => (await app.document())?.phase === 'ReadRouting')
  return app
}
const refOf = (app: App) => ({ namespace: app.namespace, name: 'jobs-routing' })
const legacyIsBack = (app: App) => until(async () => (await app.document())?.phase === 'Legacy')
const stalledBy = async (app: App, reason: string): Promise<string> => {
  await until(async () => {
    const condition = await app.condition('Stalled')
    return condition?.status === 'True' && condition.reason === reason
  })
  return (await app.resource()).status?.awaits ?? ''
}

it('past an immutable ConfigMap, and past a replica that is not in step, says so, and goes through as soon as it can', async () => {
  const app = await inReadRouting('immutable')
  await app.client.mergePatch(CONFIG_MAPS, refOf(app), { immutable: true })
  const { epoch } = (await app.document()) ?? { epoch: 0 }
  await app.apply(specOf(app, 'Legacy'))
  expect(await stalledBy(app, 'ConfigMapImmutable')).toMatch(
    new RegExp(`^ConfigMapImmutable: ConfigMap jobs-routing is immutable.* of epoch ${epoch + 1}\\. Delete it`),
  )
  expect((await app.document())?.epoch).toBe(epoch)
  await world.redis.config('SET', 'repl-diskless-sync-delay', '3600')
  const args = ['--replicaof', '127.0.0.1', String(world.redisServer.port)]
  const replica = await startRedis({ dir: join(world.dir, 'replica'), args })
  try {
    await until(async () => (await world.redis.info('replication')).includes('state=wait_bgsave'))
    await app.client.delete(CONFIG_MAPS, refOf(app))
    await until(async () => (await app.condition('Ready'))?.reason === 'FenceNotConfirmed')
    expect((await app.resource()).status?.awaits).toMatch(
      /0 of 1 replicas have it; not yet: 127\.0\.0\.1:\d+ \(in full sync: wait_bgsave\);.*See INFO replication/,
    )
    expect((await app.document())?.epoch).toBe(epoch + 1)
    await world.redis.config('SET', 'repl-diskless-sync-delay', '0')
    await legacyIsBack(app)
  } finally {
    await replica.stop('KILL')
  }
})

it('past a ConfigMap that another manager takes back each time names that manager, and goes through once it stops', async () => {
  const app = await inReadRouting('fought-over')
  const theirs = (await app.configMap())?.data?.[ROUTING_FILE]
  const peace = new AbortController()
  const fight = (async () => {
    while (!peace.signal.aborted && !stop.signal.aborted) {
      if ((await app.configMap())?.data?.[ROUTING_FILE] !== theirs)
        await app.client.mergePatch(
          CONFIG_MAPS,
          refOf(app),
          { data: { [ROUTING_FILE]: theirs } },
          { fieldManager: 'flux' },
        )
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  ends.push(fight)
  await app.apply(specOf(app, 'Legacy'))
  expect(await stalledBy(app, 'ConfigMapContested')).toMatch(
    /^ConfigMapContested: flux keeps taking back.*Leave the keys/,
  )
  peace.abort()
  await fight
  await legacyIsBack(app)
})
