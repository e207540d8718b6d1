import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, type CheckedStore } from '../../../demo/check.ts'
import { httpApi, type Api } from '../../../demo/http-api.ts'
import { legacyKey, targetKey, type StoreName } from '../../../demo/jobs.ts'
import { Ledger } from '../../../demo/ledger.ts'
import { RedisConnection } from '../../../demo/resp.ts'
import { SABOTAGES, harmOf, sabotage } from '../../../demo/sabotage.ts'
import { SHORT_SIZES, seedDocs, seedJobs } from '../../../demo/seed.ts'
import { settle } from '../../../demo/settle.ts'
import { Traffic } from '../../../demo/traffic.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { dualWriteRouting, installSampleApp, startApp, type AppProcess } from './sample-app.ts'

const sizes = { ...SHORT_SIZES, jobs: 600, docs: 200, malformed: 0, waiting: 50, ending: 0 }
const REQUESTS = 2_500

let dir: string
let server: LocalRedis
const running: AppProcess[] = []
const connections: RedisConnection[] = []

interface Side extends CheckedStore {
  readonly api: Api
  readonly traffic: Traffic
}
let jobs: Side
let docs: Side

async function openSide(name: StoreName, bases: readonly string[]): Promise<Side> {
  const redis = await RedisConnection.open({ host: '127.0.0.1', port: server.port, db: name === 'jobs' ? 0 : 1 })
  connections.push(redis)
  const [ledger, api] = [new Ledger(name), httpApi(() => bases)]
  return { redis, ledger, malformed: [], api, traffic: new Traffic({ api, ledger, rate: 0, now: () => Date.now() }) }
}

/** As many requests as there are, 20 at a time, as fast as the app answers. */
async function drive({ traffic }: Side): Promise<void> {
  for (let sent = 0; sent < REQUESTS; sent += 20) {
    for (let i = 0; i < 20; i++) traffic.step()
    await traffic.stop()
  }
}

/** What a backfill does, by hand, before the traffic begins: from then on every write must keep both keys equal. */
async function copyAll({ redis, ledger }: Side): Promise<void> {
  const copies = [...ledger.all()].map((e) => ['COPY', legacyKey(e.id), targetKey(e.workspace, e.id), 'REPLACE'])
  await redis.pipeline(copies)
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keyshift-sample-app-'))
  server = await startRedis({ dir })
  const app = installSampleApp(dir)
  const redis = (db: number): string => `redis://127.0.0.1:${server.port}/${db}`
  const [queued, plain] = [dualWriteRouting(join(dir, 'jobs'), ['ai:queue']), dualWriteRouting(join(dir, 'docs'), [])]
  const hash = { REDIS_ADDRESS: redis(0), ENCODING: 'hash', QUEUE: 'ai:queue', KEYSHIFT_ROUTING_DIR: queued }
  const json = { REDIS_ADDRESS: redis(1), ENCODING: 'json', KEYSHIFT_ROUTING_DIR: plain }
  running.push(
    await startApp(app, 'api', hash),
    await startApp(app, 'api', hash),
    await startApp(app, 'worker', hash),
    await startApp(app, 'api', json),
  )
  const bases = running.map((process) => process.base)
  jobs = await openSide('jobs', bases.slice(0, 2))
  docs = await openSide('docs', bases.slice(3))
  await seedJobs(jobs.redis, jobs.ledger, sizes, () => {})
  await seedDocs(docs.redis, docs.ledger, sizes, () => {})
  await Promise.all([copyAll(jobs), copyAll(docs)])
  await Promise.all([drive(jobs), drive(docs)])
  await settle(jobs.redis, jobs.ledger, () => {})
}, 120_000)

afterAll(async () => {
  for (const side of [jobs, docs]) side?.api.close()
  for (const connection of connections) connection.close()
  await Promise.all(running.map(({ child }) => child.stop()))
  await server?.stop()
  rmSync(dir, { recursive: true, force: true })
})

it.each(['jobs', 'docs'] as const)('the app serves %s without a failed request or a wrong answer', (name) => {
  const { traffic, ledger } = name === 'jobs' ? jobs : docs
  expect(traffic.failures).toEqual([])
  expect(traffic.violations.kept).toEqual([])
  expect(traffic.requests).toMatchObject({ failed: 0, unknown: 0 })
  expect(ledger.counts.created).toBeGreaterThan(500)
  expect(ledger.counts.updated).toBeGreaterThan(200)
  expect(ledger.counts.deleted).toBeGreaterThan(50)
})

it.each(['jobs', 'docs'] as const)('the check is green on %s after an honest run', async (name) => {
  const result = await check(name === 'jobs' ? jobs : docs)
  expect(result.violations.kept).toEqual([])
  expect(result.compared).toBeGreaterThan(600)
})

it.each(SABOTAGES)('the check is red after --sabotage %s', async (kind) => {
  const damage = await sabotage(kind, jobs.redis, jobs.ledger)
  expect((await check(jobs)).violations.counts[harmOf(kind)]).toBeGreaterThan(0)
  await damage.undo()
  expect((await check(jobs)).violations.total).toBe(0)
})

describe('error answers', () => {
  const fields = { payload: 'x' }
  it.each([
    { when: 'a job is not there', method: 'GET', path: '/workspaces/w-01/jobs/none', status: 404, error: 'NOT_FOUND' },
    {
      when: 'an id is empty',
      method: 'POST',
      path: '/jobs',
      body: { workspace: 'w-01', job: '', fields },
      status: 400,
      error: 'INVALID_ID',
    },
    { when: 'the body is no object', method: 'POST', path: '/jobs', body: [1], status: 400, error: 'ERROR' },
    {
      when: 'the value names another workspace',
      method: 'POST',
      path: '/jobs',
      body: { workspace: 'w-01', job: 'b', fields: { workspace_id: 'w-02' } },
      status: 400,
      error: 'WORKSPACE_MISMATCH',
    },
    { when: 'there is no such route', method: 'GET', path: '/nothing', status: 404, error: 'NO_ROUTE' },
  ])('answers $status $error when $when', async ({ method, path, body, status, error }) => {
    expect(await jobs.api.send(method, path, body)).toMatchObject({ status, body: { error } })
  })

  it('answers 409 when a job exists already', async () => {
    const job = { workspace: 'w-01', job: 'twice', fields }
    expect((await jobs.api.send('POST', '/jobs', job)).status).toBe(201)
    expect(await jobs.api.send('POST', '/jobs', job)).toMatchObject({ status: 409, body: { error: 'JOB_EXISTS' } })
    await jobs.api.send('DELETE', '/workspaces/w-01/jobs/twice')
  })
})
