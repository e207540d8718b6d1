import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { RedisConnection } from '../../demo/resp.ts'
import { PYTHON, PYTHON_CHECK } from '../../hack/local/python.ts'
import { tryRun } from '../../hack/system/run.ts'
import { PHASES } from '../../src/protocol/phases.ts'
import { Deliveries } from './deliveries.ts'
import { hear, type Heard } from './hear.ts'
import { Histories } from './histories.ts'
import { homeOf, randomOf, WORKSPACES } from './jobs.ts'
import { judgeHistory, judgeKeys, type Claims, type Rest } from './judge.ts'
import { readKeys, removal } from './keys.ts'
import { CONTROL_PREFIX, TortureOperator, wentBack, type Aim } from './operator.ts'
import { planRound, type FaultName, type PlanOptions, type Round } from './plan.ts'
import { Population } from './population.ts'
import type { SabotageName } from './sabotage.ts'
import { Tally, type Invariant } from './tally.ts'
import { World } from './world/world.ts'

export interface TortureOptions {
  readonly minutes: number
  readonly seed: number
  /** Sentinels over three servers, with failovers, in place of one server. */
  readonly sentinel?: boolean
  readonly signal?: AbortSignal
  /** Program and arguments of the last of the clients, where it is another one. */
  readonly client?: readonly string[] | undefined
  /** A rule that clients break. */
  readonly sabotage?: SabotageName | undefined
  /** The run goes on, for some rounds more, until each of these was made. */
  readonly makes?: readonly FaultName[]
  readonly say?: (text: string) => void
}

export interface TortureReport {
  readonly seed: number
  readonly minutes: number
  readonly operations: number
  readonly kills: number
  readonly routingChanges: number
  readonly unknown: number
  readonly violations: Readonly<Record<Invariant, number>>
}

export interface TortureResult {
  readonly report: TortureReport
  /** Violations in words, the first ones of each invariant. */
  readonly texts: readonly string[]
  /** How often each fault was made: one that found nothing to break does not count. */
  readonly faults: Readonly<Partial<Record<FaultName, number>>>
  /** Something did not get on that must, or a client met what it must never meet. */
  readonly failure: string | undefined
  readonly seconds: number
}

const SLOTS = 4
const PROXIED = [1, 2, 3]
const PYTHON_CLIENT = [PYTHON, '-B', join(import.meta.dirname, 'client/main.py')]
const SESSIONS = 5
const PAUSE_MS = 5
/** Kept back of the time for the walk at the end, ms. */
const LAST_WALK_MS = 14_000
const REST_LIMIT_MS = 30_000
/** In which the walk must get anywhere once nothing breaks any more. */
const WALK_LIMIT_MS = 90_000
/** For a client to sleep through a walk, ms. */
const SLEEP_LIMIT_MS = 40_000
/** Rounds in which what a run shall make must come. */
const MOST_ROUNDS = 8
/** Documents reach a pod this late, at most, ms. */
const MOUNT_LAG_MS = 300

/**
 * Rounds of work under faults and routing changes, each ended by a rest at which everything is judged; at last, with
 * nothing broken any more, a walk to the last phase and back to the first. Everything that it starts ends with it.
 * @throws the reason of `signal`
 */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const run = new Run(options)
  let failure: string | undefined
  try {
    await run.all()
  } catch (error) {
    options.signal?.throwIfAborted()
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
  } finally {
    await run.stop()
  }
  return run.result(failure)
}

/** The client in Python, where it can be started: else a TypeScript one has its place, so that the schedule is the same. */
async function pythonClient(): Promise<readonly string[] | undefined> {
  const [command, ...args] = PYTHON_CHECK
  return (await tryRun(command, args).catch(() => undefined))?.code === 0 ? PYTHON_CLIENT : undefined
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

class Run {
  readonly #options: TortureOptions
  readonly #tally: Tally
  readonly #histories = new Histories()
  readonly #deliveries = new Deliveries(homeOf)
  readonly #population = new Population()
  readonly #heard: Heard = { histories: this.#histories, deliveries: this.#deliveries, wrong: [] }
  readonly #started = performance.now()
  readonly #plan: PlanOptions
  readonly #lag: () => number
  #world: World | undefined
  #operator: TortureOperator | undefined
  #round = 0
  #wentBack = false
  #lineage = ''

  constructor(options: TortureOptions) {
    this.#options = options
    this.#tally = new Tally((text) => this.#say(text))
    const { seed, minutes, sentinel = false } = options
    this.#plan = { seed, slots: SLOTS, proxied: PROXIED, long: minutes >= 1.5, sentinel }
    this.#lag = randomOf(options.seed, 'lag')
  }

  async all(): Promise<void> {
    const { seed, minutes, sentinel = false, sabotage, client } = this.#options
    const clockMs = Date.now() - monotonicMs()
    // It breaks no rules.
    const other = client ?? (sabotage !== undefined ? undefined : await pythonClient())
    this.#say(`the last client is ${other?.join(' ') ?? 'a TypeScript one too'}`)
    this.#world = await World.start({
      seed,
      slots: SLOTS,
      proxied: PROXIED,
      sessions: SESSIONS,
      pauseMs: PAUSE_MS,
      clockMs,
      sentinel,
      now: () => monotonicMs() + clockMs,
      sabotage,
      other,
      tally: this.#tally,
      onLine: (caller, line) => hear(this.#heard, caller, line),
      onDead: (caller) => this.#histories.died(caller),
    })
    const { workers, slots, server } = this.#world
    await this.#seed()
    const aim: Aim = { targetPhase: 'Legacy', canaryPercentage: 100 }
    this.#operator = new TortureOperator(
      {
        redis: server.url,
        redisSpec: server.spec,
        workers,
        pods: () => slots.map(({ pod }) => pod),
        publish: (document) => {
          for (const slot of slots) slot.publish(document, this.#lag() * MOUNT_LAG_MS)
        },
        onStep: (from, to) => {
          this.#tally.routingChanges += 1
          this.#wentBack ||= wentBack(from, to)
        },
        onDifferences: (found) => this.#tally.violation('I4', `verify: ${found}`),
        // Only a job without its target, after everything was proven, lets a read find it there.
        onVoid: (why) => {
          if (/in legacy alone/.test(why)) this.#tally.violation('I4', `backfill was complete, and ${why}`)
        },
      },
      aim,
    )
    await Promise.all(slots.map((slot) => slot.ready()))
    this.#operator.start()
    const end = this.#started + minutes * 60_000 - LAST_WALK_MS
    do await this.#oneRound(planRound(this.#plan, this.#round))
    while (performance.now() < end || this.#lacksFaults())
    await this.#walk(PHASES.at(-1) ?? 'Legacy')
    await this.#walk('Legacy')
  }

  #lacksFaults(): boolean {
    const { makes = [] } = this.#options
    return this.#round < MOST_ROUNDS && makes.some((fault) => !this.#tally.faults.has(fault))
  }

  async stop(): Promise<void> {
    await this.#operator?.stop()
    await this.#world?.stop()
  }

  result(failure: string | undefined): TortureResult {
    const { operations, unknown, undecided } = this.#histories
    const { kills, routingChanges, violations, texts, faults } = this.#tally
    const { seed, minutes } = this.#options
    if (undecided > 0) this.#say(`${undecided} stretches of a job had too many orders to be judged`)
    const seconds = (performance.now() - this.#started) / 1000
    return {
      report: { seed, minutes, operations, kills, routingChanges, unknown, violations },
      texts,
      faults: Object.fromEntries(faults),
      failure,
      seconds,
    }
  }

  /** See `Round.sleeper`. */
  async #sleepThrough(slot: number): Promise<void> {
    const [world, operator] = [this.#world as World, this.#operator as TortureOperator]
    await this.#work(async () => {
      const end = performance.now() + SLEEP_LIMIT_MS
      const until = async (there: () => boolean): Promise<void> => {
        while (!there() && performance.now() < end) await this.#sleep(50)
      }
      // A walk back to DualWrite ends at 100 % until the percentage changes.
      operator.aim({ targetPhase: 'DualWrite', canaryPercentage: 60 })
      await until(() => operator.document?.phase === 'DualWrite')
      operator.aim({ targetPhase: 'DualWrite', canaryPercentage: 50 })
      await until(() => {
        const { phase, createTarget } = operator.document ?? {}
        return phase === 'DualWrite' && createTarget === 50 && operator.status?.convergedAt !== undefined
      })
      world.break({ kind: 'stick', slot, ms: 2 * SLEEP_LIMIT_MS })
      world.break({ kind: 'stop-client', slot, ms: SLEEP_LIMIT_MS, lapse: true })
      operator.aim({ targetPhase: PHASES.at(-1) ?? 'Legacy', canaryPercentage: 100 })
      await until(() => this.#claims().complete)
      world.slots[slot]?.signal('SIGCONT')
      await this.#sleep(500)
    })
    this.#say(
      `round ${this.#round}: client ${slot} slept, ${operator.document?.phase}, complete: ${this.#claims().complete}; ${operator.awaits.slice(0, 160)}`,
    )
  }

  async #oneRound(round: Round): Promise<void> {
    if (round.sleeper !== undefined) return this.#sleepThrough(round.sleeper)
    const [world, operator] = [this.#world as World, this.#operator as TortureOperator]
    if (round.purge !== undefined) operator.annotate('purge', round.purge)
    const events = [
      ...round.aims.map(({ at, aim }) => ({ at, act: () => operator.aim(aim) })),
      ...round.faults.map(({ at, fault }) => ({
        at,
        act: () => {
          if (fault.kind !== 'operator-dies' && fault.kind !== 'old-status') return world.break(fault)
          this.#tally.made(fault.kind)
          return fault.kind === 'operator-dies' ? operator.die(fault.actions) : operator.restore(fault.passes)
        },
      })),
      { at: round.lengthMs, act: () => undefined },
    ].sort((a, b) => a.at - b.at)
    await this.#work(async () => {
      const begun = performance.now()
      for (const { at, act } of events) {
        await this.#sleep(at - (performance.now() - begun))
        act()
      }
    })
    const faults = round.faults.map(({ fault }) => fault.kind).join(' ')
    const { phase, epoch } = operator.document ?? { phase: 'unmanaged', epoch: 0 }
    this.#say(`round ${this.#round}: ${faults}; ${phase}, epoch ${epoch}; ${operator.awaits.slice(0, 160)}`)
  }

  /** Walks to a phase with nothing broken; what it takes there must come. */
  async #walk(phase: Aim['targetPhase']): Promise<void> {
    const operator = this.#operator as TortureOperator
    operator.aim({ targetPhase: phase, canaryPercentage: 100 })
    operator.annotate('retry', `${this.#round}`)
    const end = performance.now() + WALK_LIMIT_MS
    const reached = (): boolean =>
      operator.status?.conditions?.some(({ type, status }) => type === 'TargetReached' && status === 'True') === true &&
      operator.document?.phase === phase
    // What broke a rule may well stand in the way.
    while (!reached() && this.#tally.total === 0) {
      if (performance.now() > end) throw new Error(`the walk does not get to ${phase}: ${operator.awaits}`)
      await this.#work(async () => {
        const until = Math.min(end, performance.now() + 4000)
        while (!reached() && performance.now() < until) await this.#sleep(50)
      })
    }
    if (reached()) this.#say(`walked to ${phase}, epoch ${operator.document?.epoch}`)
  }

  /** One stretch of work of all clients, with a rest and its judgement at the end. */
  async #work(meanwhile: () => Promise<void>): Promise<void> {
    const [world, operator] = [this.#world as World, this.#operator as TortureOperator]
    this.#round += 1
    const jobs = this.#population.jobsOf(this.#round)
    for (const slot of world.slots) slot.tell({ type: 'go', round: this.#round, jobs })
    operator.resume()
    await meanwhile()
    await world.heal()
    for (const slot of world.slots) slot.tell({ type: 'rest', round: this.#round })
    await Promise.all(world.slots.map((slot) => slot.rested(this.#round, REST_LIMIT_MS)))
    await operator.pause()
    const redis = await world.server.connect()
    try {
      await world.settled(redis, REST_LIMIT_MS)
      await this.#judge(redis, await this.#torn(redis))
    } finally {
      redis.close()
    }
    if (this.#heard.wrong.length > 0) throw new Error(`a client met what it must never meet: ${this.#heard.wrong[0]}`)
  }

  /** When a failover began since the last rest, if there was one. */
  async #torn(redis: RedisConnection): Promise<number | undefined> {
    const at = this.#world?.tornAt()
    const info = String(await redis.command('INFO', 'replication'))
    const lineage = /^master_replid:(\w+)/m.exec(info)?.[1] ?? ''
    const same = lineage === this.#lineage
    this.#lineage = lineage
    return same || this.#options.sentinel !== true ? undefined : at
  }

  async #judge(redis: RedisConnection, torn: number | undefined): Promise<void> {
    const keys = await readKeys(redis, CONTROL_PREFIX)
    const rest: Rest = {
      keys,
      claims: { ...this.#claims(), torn },
      histories: this.#histories,
      deliveries: this.#deliveries,
      tally: this.#tally,
    }
    this.#wentBack = false
    const over = judgeKeys(rest)
    const closing = [...over, ...this.#population.closing(this.#round)]
    await redis.pipeline(closing.map((jobId) => removal(jobId, WORKSPACES)))
    // Before the next failover can take it back.
    if (this.#options.sentinel === true) await redis.command('WAIT', 2, 10_000)
    for (const jobId of this.#histories.jobIds()) judgeHistory(rest, jobId)
    for (const jobId of closing) this.#histories.forget(jobId)
  }

  #claims(): Claims {
    const operator = this.#operator as TortureOperator
    const { evidence } = operator.status ?? {}
    const { document: doc } = operator
    const proofs = [evidence?.backfill, evidence?.verifiedBoth]
    const complete = doc?.phase === 'BackfillVerify' && proofs.every((proof) => proof !== undefined)
    const disturbed = proofs.some(
      (proof) => proof !== undefined && this.#world?.workers.wasDisturbed(proof.job) === true,
    )
    return { doc, complete, disturbed, wentBack: this.#wentBack }
  }

  /** Jobs that were there before Keyshift. */
  async #seed(): Promise<void> {
    const redis = await (this.#world as World).server.connect()
    try {
      for (const { jobId, workspace, command, value } of this.#population.seeds()) {
        await redis.command(...command)
        this.#histories.begin(jobId, { workspace, value, expiresAt: null })
      }
    } finally {
      redis.close()
    }
  }

  #say(text: string): void {
    this.#options.say?.(`${((performance.now() - this.#started) / 1000).toFixed(1).padStart(6)} s  ${text}`)
  }

  async #sleep(ms: number): Promise<void> {
    this.#options.signal?.throwIfAborted()
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
    this.#options.signal?.throwIfAborted()
  }
}
