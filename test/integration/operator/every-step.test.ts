import { jest } from '@jest/globals'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { JOBS } from '../../../src/kube/resources.ts'
import type { Job } from '../../../src/kube/types.ts'
import { JobRunner } from './job-runner.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type World } from './world.ts'

jest.setTimeout(30_000)

const NAME = 'every-step'
type Target = Pick<SpecInput, 'targetPhase' | 'canaryPercentage'>
const legacy: Target = { targetPhase: 'Legacy' }
const dual = (percent: number): Target => ({ targetPhase: 'DualWrite', canaryPercentage: percent })
const reads = (percent: number): Target => ({ targetPhase: 'ReadRouting', canaryPercentage: percent })

/** Each step of the way forward: what asks for it, what was asked for before, and whether work is due there. */
const STEPS: readonly { readonly to: Target; readonly from: Target; readonly works?: true }[] = [
  { to: dual(10), from: legacy },
  { to: dual(50), from: dual(10) },
  { to: dual(100), from: dual(50), works: true },
  { to: reads(50), from: dual(100) },
  { to: reads(100), from: reads(50) },
  { to: { targetPhase: 'BackfillVerify' }, from: reads(100), works: true },
]
const name = ({ targetPhase, canaryPercentage = 100 }: Target): string => `${targetPhase} ${canaryPercentage}`

let world: World
let app: App
let runner: JobRunner
const stop = new AbortController()
const helpers: Promise<void>[] = []
const closers: (() => Promise<unknown>)[] = []
/** The client reads its directory. */
let follows = true

const spec = (target: Target, paused = false): SpecInput => ({
  ...app.spec(),
  ...target,
  paused,
  redis: {
    address: `redis://127.0.0.1:${world.redisServer.port}/0`,
    assume: { maxmemory: 1_000_000_000 },
    observers: ['*'],
  },
  phases: {
    dualWrite: { steps: [10, 50, 100].map((percent) => ({ percent, soak: '0s' })) },
    readRouting: { steps: [50, 100].map((percent) => ({ percent, soak: '0s' })) },
    backfillVerify: { soak: '0s' },
  },
})

beforeAll(async () => {
  world = await startWorld()
  app = await App.create(world, NAME)
  await world.redis.hset(`${NAME}:job:j1`, { workspace_id: 'w1' })
  const running = runOperator(world, NAME)
  closers.push(() => running.stop())
  runner = new JobRunner(app.client, NAME)
  helpers.push(runner.run(stop.signal))
  await app.apply(spec(legacy))
  await until(async () => (await app.document())?.epoch === 1)
  const member = await app.join(await app.startPod())
  const follow = async () => {
    while (!stop.signal.aborted) {
      if (follows) await member.report(await app.document())
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  helpers.push(follow())
  await reached()
}, START_LIMIT_MS)

afterAll(async () => {
  for (const close of closers) await close()
  stop.abort()
  await Promise.all(helpers)
  await world.stop()
})

/** Applies a spec and gives the status of a pass that has seen it. */
async function ask(target: Target, paused = false): Promise<Status> {
  await app.apply(spec(target, paused))
  return seen(
    (status) => status.conditions?.find(({ type }) => type === 'Paused')?.status === (paused ? 'True' : 'False'),
  )
}
async function seen(wanted: (status: Status) => boolean): Promise<Status> {
  let status: Status = {}
  await until(async () => {
    const resource = await app.resource()
    status = resource.status ?? {}
    return status.observedGeneration === resource.metadata.generation && wanted(status)
  })
  return status
}
const reached = () =>
  seen(({ conditions }) => conditions?.find(({ type }) => type === 'TargetReached')?.status === 'True')

/** All that clients and workers go by. */
async function routing(): Promise<unknown> {
  const { phase, step, canaryPercentage, epoch, routing, fence } = (await app.resource()).status ?? {}
  const [document, epochs, raised] = await Promise.all([
    app.configMap(),
    world.redis.hmget(app.keys.record, 'epoch', 'hash', 'document'),
    world.redis.get(app.keys.fence),
  ])
  return { phase, step, canaryPercentage, epoch, routing, fence, data: document?.data, epochs, raised }
}
const stateOf = ({ phase, canaryPercentage }: Status): string => `${phase} ${canaryPercentage}`
const activeJobs = async (): Promise<readonly Job[]> =>
  (await app.client.list<Job>(JOBS, { namespace: NAME })).items.filter(
    ({ status }) => !status?.conditions?.some(({ status }) => status === 'True'),
  )

describe.each(STEPS.map((step) => [name(step.to), step] as const))('%s', (_, { to, from, works }) => {
  it('is not entered while paused; status says what is next', async () => {
    const before = await routing()
    const { awaits } = await ask(to, true)
    expect(awaits).toMatch(/^Paused: paused at .* is next\. Set spec\.paused to false/)
    expect(await routing()).toEqual(before)
  })

  it('published and not converged: a step back is not taken while paused, and is an abort at once when it is not', async () => {
    follows = false
    const before = await seen(() => true)
    await ask(to)
    const epoch = (before.epoch ?? 0) + 1
    await seen((status) => status.epoch === epoch)
    await until(async () => (await app.document())?.epoch === epoch)
    const published = await routing()
    const { awaits } = await ask(from, true)
    expect(awaits).toMatch(/^Paused: paused at .* is next\. Set spec\.paused to false/)
    expect(await routing()).toEqual(published)
    // The client runs the epoch before still, and is not waited for.
    await ask(from)
    const aborted = await seen((status) => status.epoch === epoch + 1)
    expect([stateOf(aborted), aborted.isAbort]).toEqual([stateOf(before), true])
    await until(async () => (await app.document())?.epoch === epoch + 1)
    expect(await app.events()).toContain('Normal Aborted')
    follows = true
    await reached()
  })

  it('is reached with its Jobs suspended meanwhile', async () => {
    runner.hold = true
    await ask(to)
    if (works === true) {
      await until(async () => (await activeJobs()).length > 0)
      const { awaits } = await ask(to, true)
      expect(awaits).toMatch(/^Paused: /)
      await until(async () => (await activeJobs()).every(({ spec }) => spec?.suspend === true))
      const names = (await activeJobs()).map(({ metadata }) => metadata.name)
      expect(names).not.toEqual([])
      const paused = await routing()
      runner.hold = false
      // A change of the Job makes the operator look again: none is made beside it.
      await app.client.mergePatch(
        JOBS,
        { namespace: NAME, name: names[0] ?? '' },
        { metadata: { labels: { seen: 'yes' } } },
      )
      expect(await routing()).toEqual(paused)
      expect((await activeJobs()).map(({ metadata }) => metadata.name)).toEqual(names)
      await ask(to)
    }
    runner.hold = false
    expect(stateOf(await reached())).toBe(name(to))
  })
})
