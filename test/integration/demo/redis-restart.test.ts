import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check } from '../../../demo/check.ts'
import { httpApi, type Api } from '../../../demo/http-api.ts'
import { legacyKey, targetKey, type StoreName } from '../../../demo/jobs.ts'
import { Ledger } from '../../../demo/ledger.ts'
import { RedisConnection } from '../../../demo/resp.ts'
import { SHORT_SIZES, seedDocs, seedJobs } from '../../../demo/seed.ts'
import { settle } from '../../../demo/settle.ts'
import { Traffic } from '../../../demo/traffic.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { until } from '../../../hack/system/wait.ts'
import { dualWriteRouting, installSampleApp, startApp, type AppProcess } from './sample-app.ts'

const sizes = { ...SHORT_SIZES, jobs: 300, docs: 100, malformed: 0, waiting: 20, ending: 0 }

let dir: string
let server: LocalRedis
const running: AppProcess[] = []
const apis: Api[] = []

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'keyshift-redis-restart-'))
})

afterAll(async () => {
  for (const api of apis) api.close()
  await Promise.all(running.map(({ child }) => child.stop()))
  await server?.stop()
  rmSync(dir, { recursive: true, force: true })
})

// As examples/redis.yaml has it.
const redis = (port?: number): Promise<LocalRedis> =>
  startRedis({ dir, args: ['--appendonly', 'yes', '--appendfsync', 'always'], ...(port !== undefined && { port }) })

const open = (name: StoreName): Promise<RedisConnection> =>
  RedisConnection.open({ host: '127.0.0.1', port: server.port, db: name === 'jobs' ? 0 : 1 })

it('the sample app rides over a killed Redis: its callers wait, none is told of an error or of an unknown outcome', async () => {
  server = await redis()
  const app = installSampleApp(dir)
  const env = (db: number, encoding: string, queues: readonly string[]): Record<string, string> => ({
    REDIS_ADDRESS: `redis://127.0.0.1:${server.port}/${db}`,
    ENCODING: encoding,
    KEYSHIFT_ROUTING_DIR: dualWriteRouting(join(dir, encoding), queues),
    ...(queues.length > 0 && { QUEUE: queues[0] }),
    LEASE_MS: '3000',
  })
  for (const mode of ['api', 'api', 'worker'] as const)
    running.push(await startApp(app, mode, env(0, 'hash', ['ai:queue'])))
  running.push(await startApp(app, 'api', env(1, 'json', [])))
  const bases = running.map(({ base }) => base)
  const sides = (['jobs', 'docs'] as const).map((name) => {
    const api = httpApi(() => (name === 'jobs' ? bases.slice(0, 2) : bases.slice(3)))
    apis.push(api)
    const ledger = new Ledger(name)
    const traffic = new Traffic({ api, ledger, rate: name === 'jobs' ? 300 : 100, now: Date.now })
    return { name, ledger, traffic, malformed: [] }
  })
  for (const { name, ledger } of sides) {
    const connection = await open(name)
    if (name === 'jobs') await seedJobs(connection, ledger, sizes, () => {})
    else await seedDocs(connection, ledger, sizes, () => {})
    await connection.pipeline([...ledger.all()].map((e) => ['COPY', legacyKey(e.id), targetKey(e.workspace, e.id)]))
    connection.close()
  }

  for (const { traffic } of sides) traffic.start()
  const answered = (): number => sides.reduce((n, { traffic }) => n + traffic.requests.total, 0)
  const more = (n: number) => {
    const least = answered() + n
    const enough = (): true | undefined => (answered() >= least ? true : undefined)
    return until(`${n} more answers`, enough, { limitMs: 30_000, look: dir })
  }
  for (let restart = 1; restart <= 3; restart++) {
    await more(600)
    await server.stop('KILL')
    server = await redis(server.port)
  }
  await more(600)
  await Promise.all(sides.map(({ traffic }) => traffic.stop()))

  for (const { name, ledger, traffic } of sides) {
    expect(traffic.failures).toEqual([])
    expect(traffic.requests).toMatchObject({ failed: 0, unknown: 0 })
    expect(traffic.violations.kept).toEqual([])
    const connection = await open(name)
    await settle(connection, ledger, () => {})
    const result = await check({ redis: connection, ledger, malformed: [] })
    expect(result.violations.kept).toEqual([])
    expect(result.compared).toBeGreaterThan(100)
    connection.close()
  }
}, 120_000)
