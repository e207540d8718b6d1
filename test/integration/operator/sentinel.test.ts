import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { createAuthority, type Authority } from '../../../hack/system/certs.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { SECRETS } from '../../../src/kube/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { startTestSentinels, type TestSentinels } from '../redis/support/sentinels.ts'
import { JobRunner } from './job-runner.ts'
import { RealClient } from './real-client.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, templatesOf, until, type World } from './world.ts'

jest.setTimeout(180_000)

const NAME = 'sentinel'
const PASSWORD = 'a+b/c=%40@#:é'
let sentinelPassword = 's+/=%25@#:ü'
let world: World
let app: App
let group: TestSentinels
let authority: Authority
let other: Authority
let client: RealClient
let runner: JobRunner
const dir = mkdtempSync(join(tmpdir(), 'keyshift-sentinels-'))
const stop = new AbortController()
const helpers: Promise<void>[] = []
const stops: (() => Promise<void>)[] = []

const pem = ({ pair }: Authority): string => readFileSync(pair.cert, 'utf8')
const makeAuthority = (name: string): Promise<Authority> => {
  mkdirSync(join(dir, name))
  return createAuthority(join(dir, name))
}
const setSecret = (name: string, stringData: Record<string, string>, namespace = NAME) =>
  app.client.apply(SECRETS, { metadata: { name, namespace }, stringData } as KubeObject, {
    fieldManager: 'test',
    force: true,
  })

beforeAll(async () => {
  ;[authority, other] = [await makeAuthority('ca'), await makeAuthority('other')]
  const pair = await authority.issue({ name: 'redis', commonName: 'redis', addresses: ['127.0.0.1'] })
  const tls = { ...pair, ca: authority.pair.cert }
  ;[world, group] = await Promise.all([startWorld(), startTestSentinels({ tls, password: PASSWORD, sentinelPassword })])
  app = await App.create(world, NAME)
  await setSecret('redis-auth', { password: PASSWORD })
  await setSecret('sentinel-auth', { password: sentinelPassword })
  const running = runOperator(world, NAME)
  stops.push(() => running.stop())
  runner = new JobRunner(app.client, NAME)
  helpers.push(runner.run(stop.signal))
  client = new RealClient(app, await app.startPod(), {
    sentinel: {
      masterName: group.masterName,
      addresses: group.addresses,
      db: 0,
      credentials: async () => ({ password: sentinelPassword }),
    },
    credentials: async () => ({ password: PASSWORD }),
    tls: { ca: pem(authority) },
  })
  helpers.push(client.follow(stop.signal), client.work(stop.signal))
}, START_LIMIT_MS)

afterAll(async () => {
  for (const one of stops) await one()
  stop.abort()
  await Promise.all(helpers)
  await group.stop()
  await world.stop()
  rmSync(dir, { recursive: true, force: true })
})

const redisOf = (tls: NonNullable<SpecInput['redis']['tls']>): SpecInput['redis'] => ({
  sentinel: {
    masterName: group.masterName,
    addresses: [...group.addresses],
    db: 0,
    credentialsSecretRef: { name: 'sentinel-auth' },
  },
  credentialsSecretRef: { name: 'redis-auth' },
  tls: { caSecretRef: { name: 'redis-ca' }, ...tls },
  assume: { maxmemory: 1e9 },
})
const apply = (targetPhase: SpecInput['targetPhase'], tls = {}, soak = '1h', worker: SpecInput['worker'] = {}) =>
  app.apply(
    app.spec({
      worker,
      targetPhase,
      redis: redisOf(tls),
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak },
      },
    }),
  )
const status = async (): Promise<Status> => (await app.resource()).status ?? {}
const ready = async (reason: string): Promise<string> => {
  await until(async () => (await app.condition('Ready'))?.reason === reason)
  return (await app.condition('Ready'))?.message ?? ''
}
const reached = (phase: SpecInput['targetPhase']) =>
  until(async () => (await status()).phase === phase && (await app.condition('TargetReached'))?.status === 'True')
const lineage = async (): Promise<string> =>
  /master_replid:(\w+)/.exec(await group.raw(await group.primary()).info('replication'))?.[1] ?? ''
/** What is known was proven of the Redis that is the primary now. */
const proven = async (): Promise<boolean> => {
  const { evidence, redisSeen } = await status()
  return (
    redisSeen?.lineage === (await lineage()) &&
    evidence?.lineage === redisSeen.lineage &&
    evidence.verifiedBoth !== undefined
  )
}
const clientWorks = async (): Promise<void> => {
  const before = client.created.length
  await until(() => client.created.length > before + 2)
}

test('a CA that did not sign the certificate, or another name, is told in status; put right, it goes on by itself', async () => {
  await setSecret('redis-ca', { 'ca.crt': pem(other) })
  await apply('Legacy')
  expect(await ready('RedisTlsFailed')).toMatch(/is not signed by the CA in key ca\.crt of Secret redis-ca/)
  await setSecret('redis-ca', { 'ca.crt': pem(authority) })
  await reached('Legacy')
  await apply('Legacy', { serverName: 'elsewhere' })
  expect(await ready('RedisTlsFailed')).toMatch(/its certificate is for other names \(redis\)/)
  await apply('DualWrite')
  await reached('DualWrite')
})

test('[D8] a second resource on the same Redis and keys is refused, though it names the server by its address', async () => {
  const second = await App.create(world, `${NAME}-two`)
  await setSecret('redis-auth', { password: PASSWORD }, second.namespace)
  await setSecret('redis-ca', { 'ca.crt': pem(authority) }, second.namespace)
  const running = runOperator(world, second.namespace)
  const { legacy, target } = templatesOf(NAME)
  await second.apply(
    second.spec({
      keys: { legacy, target, idWindow: '0s' },
      redis: {
        address: `rediss://127.0.0.1:${await group.primary()}/0`,
        credentialsSecretRef: { name: 'redis-auth' },
        tls: { caSecretRef: { name: 'redis-ca' } },
      },
    }),
  )
  await until(async () => (await second.condition('Stalled'))?.reason === 'StateConflict')
  expect((await second.condition('Stalled'))?.message).toContain(`${NAME}/jobs`)
  await running.stop()
})

test('[O16] a step after a failover is taken on the new primary alone, though the old one takes writes all the while', async () => {
  const before = await group.primary()
  const { epoch, fence } = await status()
  await group.keepPrimary(before)
  const now = await group.failover()
  await apply('BackfillVerify')
  await until(async () => (await status()).phase === 'BackfillVerify')
  await until(async () => (await status()).evidence?.verifiedBoth !== undefined)
  await clientWorks()
  const old = group.raw(before)
  expect(await old.set('still', 'writable')).toBe('OK')
  expect(await old.hget(app.keys.record, 'epoch')).toBe(`${epoch}`)
  // What was raised there before the failover was noticed counts for nothing.
  expect(Number(await old.get(app.keys.fence))).toBeLessThanOrEqual(epoch ?? 0)
  expect(await group.raw(now).get(app.keys.fence)).toBe(`${(await status()).fence}`)
  expect((await status()).fence).toBeGreaterThan(fence ?? Infinity)
  expect(client.client.state().epoch).toBe((await status()).epoch)
  await group.letGo(before)
})

test('[O16] a failover in the middle of a backfill: all jobs are copied on the new primary before it says so, and no word of the old one counts', async () => {
  const bulk = Array.from({ length: 300 }, (_, i) => `bulk${i}`)
  const load = group.raw(await group.primary()).pipeline()
  for (const id of bulk) load.hset(`${NAME}:job:${id}`, { workspace_id: 'w1' })
  await load.exec()
  await group.raw(await group.primary()).wait(2, 5000)
  await apply('BackfillVerify', {}, '1h', { maxKeysPerSecond: 150 })
  const { epoch, evidence: old } = await status()
  await group.failover()
  await until(async () => (await status()).evidence?.lineage !== old?.lineage)
  const attempt = async (): Promise<number> => (await status()).work?.['backfill']?.attempt ?? 0
  const work = async (): Promise<Record<string, string>> =>
    group.raw(await group.primary()).hgetall(app.keys.work(`jobs-backfill-${await attempt()}`))
  await until(async () => Number((await work())['done']) > 40 && (await work())['state'] === 'running')
  const worker = runner.workers.get(`jobs-backfill-${await attempt()}`)
  const half = (await status()).evidence
  await group.failover()
  expect(worker?.exitCode).toBeNull()
  await until(async () => {
    const { evidence } = await status()
    expect(evidence?.lineage === half?.lineage && evidence?.backfill !== undefined).toBe(false)
    return evidence?.backfill !== undefined
  })
  const now = group.raw(await group.primary())
  expect((await status()).evidence?.lineage).toBe(await lineage())
  for (const id of [...bulk, ...client.created.slice(0, 20)]) {
    const legacy = await now.hgetall(`${NAME}:job:${id}`)
    expect({ id, ...legacy }).toMatchObject({ id, workspace_id: 'w1' })
    expect(await now.hgetall(`${NAME}:job:w1:${id}`)).toEqual(legacy)
  }
  await until(proven)
  expect(worker?.exitCode).not.toBeNull()
  const { epoch: after, failed } = await status()
  expect({ epoch: after, failed }).toEqual({ epoch, failed: undefined })
  await apply('BackfillVerify')
})

test('[O16, K5] failovers while it soaks: evidence is made again at once, the soak keeps its time, new passwords are found, the phase ends', async () => {
  for (const rotate of [false, true]) {
    const { epoch, soakEndsAt = '' } = await status()
    const began = Date.now()
    if (rotate) {
      sentinelPassword = 'r/=%25@#:é'
      await group.rotate(sentinelPassword, /^keyshift-/)
      await setSecret('sentinel-auth', { password: sentinelPassword })
    }
    const before = await group.primary()
    await group.keepPrimary(before)
    await group.failover()
    await until(proven)
    const after = await status()
    expect({ epoch: after.epoch, failed: after.failed }).toEqual({ epoch, failed: undefined })
    expect(Date.parse(after.soakEndsAt ?? '') - Date.now()).toBeLessThanOrEqual(Date.parse(soakEndsAt) - began)
    await clientWorks()
    await group.letGo(before)
  }
  await apply('BackfillVerify', {}, '1s')
  await reached('BackfillVerify')
  expect(await app.events()).toContain('Warning EvidenceVoid')
})

test('[D8] purge through Sentinels leaves the neighbours on the same Redis as they are', async () => {
  await apply('Legacy')
  await reached('Legacy')
  const db0 = group.raw(await group.primary())
  const db1 = group.raw(await group.primary(), 1)
  const name = `${NAME}:job:w1:job0`
  expect(await db0.exists(name)).toBe(1)
  await db1.hset(name, { workspace_id: 'w1' })
  await db0.hset(`x${name}`, { workspace_id: 'w1' })
  await app.client.mergePatch(
    MIGRATIONS,
    { namespace: NAME, name: 'jobs' },
    { metadata: { annotations: { 'keyshift.dev/purge': 'now' } } },
  )
  await until(async () => (await db0.exists(name)) === 0)
  await until(() => runner.ended.some((job) => job.includes('purge')))
  expect([await db1.hgetall(name), await db0.hgetall(`x${name}`)]).toEqual([
    { workspace_id: 'w1' },
    { workspace_id: 'w1' },
  ])
})
