/**
 * The operations of a torture as fast-check commands, one after the other through real clients under two adjacent epochs on
 * a real Redis: each answers what the contract of one job says, whatever the walk and the workers did in between. A failure
 * is shrunk to the shortest list of commands.
 */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { Conflict, createKeyshiftClient, JobExists, type KeyshiftClient } from '../../../src/client/index.ts'
import { rungsOf } from '../../../src/decision/ladder.ts'
import { makeDocument, renderDocument } from '../../../src/protocol/document.ts'
import { PHASES, type RoutingState } from '../../../src/protocol/phases.ts'
import type { BackfillResult, VerifyResult } from '../../../src/protocol/work.ts'
import { KINDS, request, type Request } from '../../torture/client/request.ts'
import { explain } from '../../torture/history/explain.ts'
import type { Answer, State } from '../../torture/history/job.ts'
import { linearize, type Operation } from '../../torture/history/linearize.ts'
import { LEGACY, TARGET, WORKSPACES } from '../../torture/jobs.ts'
import { MountedDir } from '../client/support/routing.ts'
import { control, World as WorkerWorld } from '../worker/world.ts'

jest.setTimeout(180_000)

const SPEC = {
  dualWrite: { steps: [{ percent: 50, soak: '0s' }] },
  readRouting: { steps: [{ percent: 50, soak: '0s' }] },
  backfillVerify: { soak: '0s' },
}
const RUNGS: readonly RoutingState[] = PHASES.flatMap((phase) =>
  rungsOf({ phases: SPEC }, phase).map(({ state }) => state),
)
const JOBS = ['a', 'b', 'c']

let worker: WorkerWorld
beforeAll(async () => {
  worker = await WorkerWorld.start()
})
afterAll(() => worker.stop())

/** What each job may be, and the rung of the walk. */
interface Model {
  readonly jobs: Map<string, readonly State[]>
  rung: number
}

/** Two clients, of which one lags an epoch behind. */
class Real {
  readonly encoding: 'hash' | 'json'
  readonly dirs = [new MountedDir(), new MountedDir()] as const
  readonly clients: readonly KeyshiftClient<'hash' | 'json'>[]
  epoch = 1
  rung = 0
  runs = 0

  constructor(encoding: 'hash' | 'json') {
    this.encoding = encoding
    this.clients = this.dirs.map((dir, i) =>
      createKeyshiftClient({
        legacy: LEGACY,
        target: TARGET,
        encoding,
        redis: { address: `redis://127.0.0.1:${worker.server.port}/0` },
        routingDir: dir.path,
        podUid: `pod-${i}`,
        pollMs: 20,
      }),
    )
  }

  document(epoch: number, rung: number): string {
    const input = {
      name: 'jobs',
      canaryBy: 'Job',
      legacy: LEGACY,
      target: TARGET,
      workspaceField: 'workspace_id',
      queues: [],
    } as const
    return renderDocument(makeDocument(input, RUNGS[rung] as RoutingState, epoch))
  }

  /** Everyone runs the epoch in force; then the next one is published to the first client alone. */
  async step(rung: number): Promise<void> {
    await this.follow(1, this.epoch, this.rung)
    await worker.redis.set(control.fence, this.epoch)
    this.epoch += 1
    this.rung = rung
    const { phase } = RUNGS[rung] as RoutingState
    await worker.record(phase, this.epoch, this.epoch - 1)
    await this.follow(0, this.epoch, rung)
  }

  async follow(client: 0 | 1, epoch: number, rung: number): Promise<void> {
    this.dirs[client].swap(this.document(epoch, rung))
    while (this.clients[client]?.state().epoch !== epoch) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()))
    for (const dir of this.dirs) dir.remove()
  }
}

interface Call extends Request {
  readonly client: 0 | 1
}
type Step = fc.AsyncCommand<Model, Real>
/** Calls at once, each judged by whether the job's history can be. */
class Calls implements Step {
  readonly #calls: readonly Call[]
  constructor(calls: readonly Call[]) {
    this.#calls = calls
  }
  check = (): boolean => true

  async run(model: Model, real: Real): Promise<void> {
    const operations = await Promise.all(this.#calls.map((call, id) => make(real, call, id)))
    for (const jobId of new Set(this.#calls.map((call) => call.jobId))) {
      const own = operations.filter((_, i) => this.#calls[i]?.jobId === jobId).sort((a, b) => a.call - b.call)
      const states = model.jobs.get(jobId) ?? [undefined]
      const verdict = linearize(states, own)
      if (!verdict.ok) throw new Error(explain(jobId, states, own, verdict))
      model.jobs.set(jobId, verdict.states)
    }
  }

  toString(): string {
    return this.#calls
      .map(({ kind, jobId, workspace, client }) => `client${client}.${kind}(${workspace}, ${jobId})`)
      .join(' and ')
  }
}

/** One step of the walk; the second client stays an epoch behind. */
class Walk implements Step {
  readonly #by: 1 | -1
  constructor(by: 1 | -1) {
    this.#by = by
  }
  check = (model: Model): boolean => RUNGS[model.rung + this.#by] !== undefined

  async run(model: Model, real: Real): Promise<void> {
    model.rung += this.#by
    await real.step(model.rung)
  }

  toString = (): string => (this.#by > 0 ? 'forward' : 'back')
}

/** Backfill where the phase has it, then verify: neither may find anything but jobs without a target. */
class Prove implements Step {
  check = ({ rung }: Model): boolean => RUNGS[rung]?.createTarget === 100

  async run({ rung }: Model, real: Real): Promise<void> {
    const { phase } = RUNGS[rung] as RoutingState
    real.runs += 1
    const named = (kind: string) => ({ jobName: `${kind}-${real.epoch}-${real.runs}`, allowEmpty: true })
    const fills = phase !== 'DualWrite'
    if (fills) await worker.run<BackfillResult>(worker.spec('backfill', named('backfill')))
    const direction = fills ? 'Both' : 'TargetToLegacy'
    const found = await worker.run<VerifyResult>(worker.spec('verify', { ...named('verify'), direction }))
    expect(found).toMatchObject({ missing: 0, different: 0, orphan: 0, malformed: 0, foreign: 0 })
  }

  toString = (): string => 'prove'
}

async function make(real: Real, { client, ...call }: Call, id: number): Promise<Operation> {
  const sent = request(real.clients[client] as KeyshiftClient<'hash' | 'json'>, real.encoding, call)
  const begun = performance.now()
  let swap: { old: string; text: string } | undefined
  const answer = await sent
    .send((old, text) => (swap = { old, text }))
    .catch((error: unknown): Answer => {
      if (error instanceof JobExists) return 'exists'
      if (error instanceof Conflict) return 'conflict'
      throw error
    })
  const action = sent.action.kind === 'replace' && swap !== undefined ? { ...sent.action, swap } : sent.action
  return { id, by: `client${client}`, action, call: begun, end: performance.now(), answer }
}

const call: fc.Arbitrary<Call> = fc.record({
  client: fc.constantFrom(0, 1),
  jobId: fc.constantFrom(...JOBS),
  workspace: fc.constantFrom(...WORKSPACES.slice(0, 2)),
  kind: fc.constantFrom(...KINDS),
})
const steps = [
  call.map((one) => new Calls([one])),
  fc.array(call, { minLength: 2, maxLength: 4 }).map((several) => new Calls(several)),
  fc.constantFrom(new Walk(1), new Walk(1), new Walk(-1)),
  fc.constant(new Prove()),
]

test.each(['hash', 'json'] as const)(
  'every list of operations, steps and proofs keeps the contract: %s',
  async (encoding) => {
    await fc.assert(
      fc.asyncProperty(fc.commands(steps, { maxCommands: 40, size: 'max' }), async (commands) => {
        await worker.redis.flushall()
        const real = new Real(encoding)
        try {
          await worker.record('Legacy', 1, 1)
          await Promise.all([real.follow(0, 1, 0), real.follow(1, 1, 0)])
          const model: Model = { jobs: new Map(), rung: 0 }
          await fc.asyncModelRun(() => ({ model, real }), commands)
          for (const jobId of JOBS) await atRest(model, real, jobId)
        } finally {
          await real.stop()
        }
      }),
      { numRuns: 20 },
    )
  },
)

/** In the end both keys of a job are what its history says, or the target is not there. */
async function atRest(model: Model, real: Real, jobId: string): Promise<void> {
  // Calls that ran side by side may have left more than one state possible; a read says which one it is.
  const before = model.jobs.get(jobId) ?? [undefined]
  const reads = [await make(real, { client: 0, jobId, workspace: WORKSPACES[0], kind: 'get' }, 0)]
  reads.push(await make(real, { client: 1, jobId, workspace: WORKSPACES[1], kind: 'get' }, 1))
  const verdict = linearize(before, reads)
  if (!verdict.ok) throw new Error(explain(jobId, before, reads, verdict))
  const { states } = verdict
  const legacy = await worker.describe(`ai:job:${jobId}`)
  const there = states.filter((state) => state !== undefined)
  expect(legacy.startsWith('none')).toBe(there.length === 0)
  for (const workspace of WORKSPACES) {
    const target = await worker.describe(`ai:job:${workspace}:${jobId}`)
    if (!target.startsWith('none')) expect([workspace, target]).toEqual([there[0]?.workspace, legacy])
  }
}
