/**
 * The same commands as in property.test.ts through client processes under two adjacent epochs, while processes, Redis and
 * connections are broken: the history of each job must be linearizable, and its keys equal. A failure is shrunk to the
 * shortest list of commands, and told by the shortest history that cannot be.
 */
import { expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { KINDS } from '../../torture/client/request.ts'
import { pick, randomOf, WORKSPACES } from '../../torture/jobs.ts'
import type { Fault, FaultName } from '../../torture/plan.ts'
import { CLIENTS, Ladder, RUNGS, type Call } from './ladder.ts'

jest.setTimeout(300_000)
/** After this what is found so far is told, however far it was shrunk. */
const LIMIT_MS = 120_000

interface Model {
  rung: number
}
type Step = fc.AsyncCommand<Model, Ladder>

/** Calls at once, and what breaks meanwhile. */
class Calls implements Step {
  readonly #calls: readonly Call[]
  readonly #fault: Fault | undefined
  constructor(calls: readonly Call[], fault?: Fault) {
    this.#calls = calls
    this.#fault = fault
  }
  check = (): boolean => true
  run = (_: Model, ladder: Ladder): Promise<void> => ladder.calls(this.#calls, this.#fault)

  toString(): string {
    const calls = this.#calls.map(
      ({ kind, jobId, workspace, client }) => `client${client}.${kind}(${workspace}, ${jobId})`,
    )
    return [...calls, ...(this.#fault === undefined ? [] : [JSON.stringify(this.#fault)])].join(' and ')
  }
}

/** One step of the walk; the last client stays an epoch behind. */
class Walk implements Step {
  readonly #by: 1 | -1
  constructor(by: 1 | -1) {
    this.#by = by
  }
  check = (model: Model): boolean => RUNGS[model.rung + this.#by] !== undefined

  async run(model: Model, ladder: Ladder): Promise<void> {
    model.rung += this.#by
    await ladder.step(model.rung)
  }

  toString = (): string => (this.#by > 0 ? 'forward' : 'back')
}

/** A client stands still, its lease over, while the walk takes two steps and is proven; it wakes up amid calls with the old routing. */
class Sleep implements Step {
  readonly #client: number
  readonly #by: 1 | -1
  readonly #calls: readonly Call[]
  constructor(client: number, by: 1 | -1, calls: readonly Call[]) {
    this.#client = client
    this.#by = by
    this.#calls = calls
  }
  check = (model: Model): boolean => RUNGS[model.rung + 2 * this.#by] !== undefined

  async run(model: Model, ladder: Ladder): Promise<void> {
    await ladder.sleep(this.#client, [model.rung + this.#by, (model.rung += 2 * this.#by)], this.#calls)
  }

  toString = (): string => `client${this.#client} sleeps through two steps ${this.#by > 0 ? 'forward' : 'back'}`
}

/** Backfill where the phase has it, then verify, as processes of which the first may be killed. */
class Prove implements Step {
  readonly #kills: boolean
  constructor(kills: boolean) {
    this.#kills = kills
  }
  check = ({ rung }: Model): boolean => RUNGS[rung]?.createTarget === 100
  run = (_: Model, ladder: Ladder): Promise<void> => ladder.prove(this.#kills)
  toString = (): string => (this.#kills ? 'prove, with a kill' : 'prove')
}

const client = fc.nat(CLIENTS - 1)
const call: fc.Arbitrary<Call> = fc.record({
  client,
  jobId: fc.constantFrom('ha', 'hb', 'sa'),
  workspace: fc.constantFrom(...WORKSPACES.slice(0, 2)),
  kind: fc.constantFrom(...KINDS),
})
const calls = fc.array(call, { minLength: 4, maxLength: 12 })
const by = fc.constantFrom<1 | -1>(1, 1, 1, -1)

const onClient = client.map((slot): Fault => ({ kind: 'kill-client', slot, newPod: true, lapse: true }))
const ofOne: readonly fc.Arbitrary<Fault>[] = [
  fc.nat({ max: 300 }).map((ms) => ({ kind: 'kill-redis', ms })),
  fc.nat({ max: 300 }).map((ms) => ({ kind: 'stop-redis', ms })),
  client.map((slot) => ({ kind: 'cut', slot })),
  fc.record({
    kind: fc.constant('cut-next' as const),
    slot: client,
    where: fc.constantFrom<'request' | 'reply' | 'mid-reply'>('request', 'reply', 'mid-reply'),
  }),
]
const failover: fc.Arbitrary<Fault> = fc.constant({ kind: 'failover' })

const steps = (faults: readonly fc.Arbitrary<Fault>[]): fc.Arbitrary<Step>[] => [
  calls.map((some) => new Calls(some)),
  fc.tuple(calls, fc.oneof(...faults)).map((it) => new Calls(...it)),
  by.map((one) => new Walk(one)),
  fc.tuple(client, by, calls).map((it) => new Sleep(...it)),
  fc.boolean().map((kills) => new Prove(kills)),
]

interface Case {
  readonly sentinel: boolean
  readonly runs: number
  readonly steps: readonly fc.Arbitrary<Step>[]
  /** Done once before anything is drawn, so that no run is without it. */
  readonly first: readonly Step[]
  readonly makes: readonly FaultName[]
}
/** The same calls each time, of all kinds, on jobs that are there. */
const some: readonly Call[] = Array.from({ length: 24 }, (_, i) => {
  const random = randomOf('calls', i)
  return { client: i % CLIENTS, jobId: pick(random, ['ha', 'hb', 'sa']), workspace: 'w0', kind: pick(random, KINDS) }
})
const one = (jobId: string, kind: Call['kind']): Call => ({ client: 1, jobId, workspace: 'w0', kind })
const made = new Calls([one('ha', 'create'), one('hb', 'create'), one('sa', 'create')])
const climb: readonly Step[] = [
  new Calls(some, { kind: 'kill-client', slot: 0, newPod: true, lapse: true }),
  new Walk(1),
  // Half of the creates had no target when it fell asleep.
  new Sleep(
    1,
    1,
    ['hc', 'hd', 'he', 'hf', 'sc', 'sd'].map((jobId) => one(jobId, 'create')),
  ),
  // From here on jobs have both keys.
  new Prove(true),
  made,
  new Calls(some),
  new Sleep(1, 1, some),
  made,
]

const property = (ladder: Ladder, steps: readonly fc.Arbitrary<Step>[]) =>
  fc.asyncProperty(fc.commands([...steps], { maxCommands: 8, size: 'max' }), async (list) => {
    await ladder.begin()
    await fc.asyncModelRun(() => ({ model: { rung: 0 }, real: ladder }), list)
  })

test.each<[string, Case]>([
  [
    'one server: kills of clients, workers and Redis, cuts, sleepers',
    {
      sentinel: false,
      runs: 3,
      steps: steps([onClient, ...ofOne]),
      first: [
        // Whatever was done and not answered must not be done again.
        made,
        // So that Redis knows the script: NOSCRIPT would be the reply that is lost.
        new Calls([one('ha', 'count')]),
        new Calls([one('ha', 'count')], { kind: 'cut-next', slot: 1, where: 'reply' }),
        ...climb,
        new Calls(some, { kind: 'kill-redis', ms: 100 }),
        new Calls(some, { kind: 'cut', slot: 1 }),
      ],
      makes: ['kill-client', 'kill-worker', 'kill-redis', 'cut', 'stop-client'],
    },
  ],
  [
    'Sentinels: kills of clients and workers, failovers, sleepers',
    {
      sentinel: true,
      runs: 1,
      steps: steps([onClient, failover]),
      first: [...climb, new Calls(some, { kind: 'failover' })],
      makes: ['kill-client', 'kill-worker', 'failover', 'stop-client'],
    },
  ],
])(
  'every list of operations and steps keeps the contract over %s',
  async (_, { sentinel, runs, steps, first, makes }) => {
    const ladder = await Ladder.start(sentinel)
    try {
      await fc.assert(property(ladder, steps), {
        numRuns: runs,
        examples: [[first]],
        interruptAfterTimeLimit: LIMIT_MS,
      })
      expect([...ladder.faults]).toEqual(expect.arrayContaining([...makes]))
    } finally {
      await ladder.stop()
    }
  },
)

test('a rule that clients break is found, and shrunk to the few commands that show it', async () => {
  const ladder = await Ladder.start(false, 'absent')
  try {
    const steps = [calls.map((one) => new Calls(one)), by.map((one) => new Walk(one))]
    const { failed, counterexample, errorInstance } = await fc.check(property(ladder, steps), {
      numRuns: 20,
      interruptAfterTimeLimit: LIMIT_MS,
    })
    expect(failed).toBe(true)
    const shrunk = [...(counterexample?.[0] ?? [])].map((command) => command.toString())
    expect(shrunk.join()).not.toMatch(/forward|back/)
    // A second create is enough: whatever else was sent beside it is not told.
    expect(String(errorInstance)).toMatch(/no order of these operations gives these answers\n {2}before: /)
    expect(String(errorInstance)).toMatch(/create by .* -> ok {3}<- cannot be$/m)
    expect(String(errorInstance).match(/->/g)?.length).toBeLessThanOrEqual(2)
  } finally {
    await ladder.stop()
  }
})
