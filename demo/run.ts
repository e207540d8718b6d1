import { until } from '../hack/system/wait.ts'
import { check, type CheckResult } from './check.ts'
import { PLACES, apply, awaitRollouts, installKeyshift, makeNamespace, manifests, type Places } from './deploy.ts'
import { drive, type Reported } from './drive.ts'
import type { Breaker } from './faults/breaker.ts'
import { makeBreaker } from './faults/plan.ts'
import { httpApi, type Api } from './http-api.ts'
import { STORES, type StoreName } from './jobs.ts'
import { Ledger } from './ledger.ts'
import { Watch, describe } from './resource.ts'
import { RedisConnection } from './resp.ts'
import { sabotage, type Sabotage } from './sabotage.ts'
import type { Screen } from './screen.ts'
import { redisNow, seedDocs, seedJobs, seedMalformed, type MalformedJob, type SeedSizes } from './seed.ts'
import { settle } from './settle.ts'
import { summarize, type FaultTime, type Outcome } from './summary.ts'
import type { Images, Target } from './target.ts'
import { Traffic } from './traffic.ts'

export interface DemoOptions {
  readonly target: Target
  readonly images: Images
  readonly sizes: SeedSizes
  /** Requests a second against each of the two stores. */
  readonly rates: Readonly<Record<StoreName, number>>
  readonly screen: Screen
  readonly signal: AbortSignal
  readonly places?: Places
  /** Break parts of it during the walk; needs a target with a wrecker. */
  readonly breaks?: boolean
}

interface Side {
  readonly ledger: Ledger
  redis: RedisConnection
  readonly api: Api
  readonly traffic: Traffic
  malformed: readonly MalformedJob[]
}

/** A demo whose walk has ended and whose traffic has stopped: it can be checked as often as one likes. */
export interface FinishedRun {
  readonly traffic: readonly Traffic[]
  /** The independent check, after the damage if one is asked for; the damage is undone afterwards. */
  check(damage?: Sabotage): Promise<Outcome>
  close(): void
}

const OBSERVER = 'keyshift-demo'

/** The demo on a cluster that is there: deploys, seeds, drives both resources under live traffic, and stops it. */
export async function runDemo(options: DemoOptions): Promise<FinishedRun> {
  const { screen, signal } = options
  await screen.phase('deploy', () => orAbort(signal, deploy(options)))
  const sides = { jobs: await openSide(options, 'jobs'), docs: await openSide(options, 'docs') }
  const all = [sides.jobs, sides.docs]
  try {
    await screen.phase('seed', (report) => orAbort(signal, seed(sides, options.sizes, report)))
    for (const { traffic } of all) traffic.start()
    const { reported, faults } = await walk(options, all)
    // Redis may have ended meanwhile, and the connections with it.
    for (const side of all) {
      side.redis.close()
      side.redis = await openRedis(options, side.ledger.store.name)
    }
    await screen.phase('traffic ends', async (report) => {
      await Promise.all(all.map(({ traffic }) => traffic.stop()))
      await orAbort(signal, settle(sides.jobs.redis, sides.jobs.ledger, report))
    })
    return finished(options, sides, reported, faults)
  } catch (error) {
    await Promise.all(all.map(({ traffic }) => traffic.stop()))
    closeAll(all)
    throw error
  }
}

async function deploy({ target, images, screen, places = PLACES }: DemoOptions): Promise<void> {
  const { kubectl } = target
  await makeNamespace(kubectl, places.app)
  await Promise.all([
    apply(kubectl, '', manifests('prometheus/deploy.yaml', images, places)),
    apply(kubectl, places.app, [
      ...manifests('redis.yaml', images, places),
      ...manifests('sample-app/deploy.yaml', images, places),
    ]),
    installKeyshift(target, images.keyshift, places),
  ])
  const rollout = (namespace: string) => (deployment: string) => ({ namespace, deployment })
  const rollouts = [
    ...['redis', 'ai-api', 'ai-worker', 'docs-api'].map(rollout(places.app)),
    rollout(places.monitoring)('prometheus'),
    rollout(places.operator)(places.release),
  ]
  await awaitRollouts(kubectl, rollouts, screen)
}

/** A connection of ours: the specs name it as an observer, which writes no jobs. */
async function observe({ target, places = PLACES }: DemoOptions, name: StoreName): Promise<RedisConnection> {
  const redis = await RedisConnection.open({
    ...(await target.reach(places.app, 'redis', 6379)),
    db: STORES[name].db,
  })
  await redis.command('CLIENT', 'SETNAME', OBSERVER)
  return redis
}

async function openRedis(options: DemoOptions, name: StoreName): Promise<RedisConnection> {
  const look = `service redis in ${(options.places ?? PLACES).app}`
  // A Service has an address before its traffic is forwarded.
  return until('a connection to Redis', () => observe(options, name), { limitMs: 20_000, look })
}

async function openSide(options: DemoOptions, name: StoreName): Promise<Side> {
  const { target, rates, places = PLACES } = options
  const redis = await openRedis(options, name)
  const offset = (await redisNow(redis)) - Date.now()
  const app = await target.reach(places.app, name === 'jobs' ? 'ai-api' : 'docs-api', 8080)
  const api = httpApi(() => [`http://${app.host}:${app.port}`])
  const ledger = new Ledger(name)
  const traffic = new Traffic({ api, ledger, rate: rates[name], now: () => Date.now() + offset })
  return { ledger, redis, api, traffic, malformed: [] }
}

type Sides = { readonly jobs: Side; readonly docs: Side }

async function seed(
  { jobs, docs }: Sides,
  sizes: SeedSizes,
  report: (done: number, total: number) => void,
): Promise<void> {
  const total = sizes.jobs + sizes.docs
  jobs.malformed = await seedMalformed(jobs.redis, sizes.malformed)
  await seedJobs(jobs.redis, jobs.ledger, sizes, (done) => report(sizes.malformed + done, total))
  await seedDocs(docs.redis, docs.ledger, sizes, (done) => report(sizes.jobs + done, total))
}

interface Walked {
  readonly reported: Reported
  readonly faults: readonly FaultTime[]
}

async function walk(options: DemoOptions, sides: readonly Side[]): Promise<Walked> {
  const { target, images, screen, signal, sizes, places = PLACES } = options
  const names = [STORES.jobs.resource, STORES.docs.resource]
  const watch = new Watch(names, {
    kubectl: target.kubectl,
    namespace: places.app,
    signal,
    onChange: (migrations) => screen.live([...migrations.map(describe), trafficLine(sides)].join(' || ')),
  })
  for (const name of names) screen.line(`kubectl -n ${places.app} apply -f examples/demo/${name}.yaml`)
  for (const name of names) await apply(target.kubectl, places.app, manifests(`demo/${name}.yaml`, images, places))
  const { kubectl } = target
  const breaker = breakerFor(options, watch, sides)
  const reported = await drive({
    kubectl,
    namespace: places.app,
    watch,
    screen,
    malformed: sizes.malformed,
    jobs: names[0] ?? '',
    docs: names[1] ?? '',
    ...(breaker !== undefined && { beside: breaker, slowBackfill: Math.ceil(sizes.jobs / 8) }),
  })
  if (breaker !== undefined) await screen.phase('nothing crashed', () => breaker.end())
  return { reported, faults: breaker?.times ?? [] }
}

function breakerFor(options: DemoOptions, watch: Watch, sides: readonly Side[]): Breaker | undefined {
  const { target, screen, signal, places = PLACES, breaks = false } = options
  if (!breaks) return undefined
  if (target.wrecker === undefined) throw new Error('--break needs a cluster whose processes are on this machine')
  const openRedis = (name: StoreName): Promise<RedisConnection> => observe(options, name)
  const requests = () => ({
    retried: sum(sides, (t) => t.requests.retried),
    unknown: sum(sides, (t) => t.requests.unknown),
  })
  const { wrecker } = target
  return makeBreaker({ target, wrecker, places, watch, screen, signal, openRedis, requests, killed: new Set() })
}

function trafficLine(sides: readonly Side[]): string {
  const [total, failed] = [sum(sides, (t) => t.requests.total), sum(sides, (t) => t.requests.failed)]
  return `requests ${total}, ${failed} failed, ${sum(sides, (t) => t.violations.total)} violations`
}

function sum(sides: readonly Side[], of: (traffic: Traffic) => number): number {
  return sides.reduce((n, { traffic }) => n + of(traffic), 0)
}

function finished(
  { screen, sizes }: DemoOptions,
  sides: Sides,
  reported: Reported,
  faults: readonly FaultTime[],
): FinishedRun {
  const all = [sides.jobs, sides.docs]
  const traffic = all.map((side) => side.traffic)
  const judgeAll = async (): Promise<Outcome> => {
    const checks: CheckResult[] = []
    await screen.phase('check', async (report) => {
      for (const side of all) checks.push(await check(side, report))
    })
    const malformed = { seeded: sizes.malformed, reported: reported.malformed }
    return summarize({
      phases: [...screen.phases],
      ledgers: all.map((side) => side.ledger),
      traffic,
      checks,
      malformed,
      faults,
    })
  }
  return {
    traffic,
    async check(kind) {
      if (kind === undefined) return judgeAll()
      const damage = await sabotage(kind, sides.jobs.redis, sides.jobs.ledger)
      screen.line(`--sabotage ${kind}: ${damage.what}`)
      try {
        return await judgeAll()
      } finally {
        await damage.undo()
      }
    },
    close: () => closeAll(all),
  }
}

/** Does not wait for commands under way once the demo is to end: its cluster goes, and they with it. */
function orAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  return Promise.race([work, aborted])
}

function closeAll(sides: readonly Side[]): void {
  for (const { redis, api } of sides) {
    redis.close()
    api.close()
  }
}
