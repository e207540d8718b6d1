import type { RedisConnection } from '../../../demo/resp.ts'
import { until } from '../../../hack/system/wait.ts'
import { rungsOf } from '../../../src/decision/ladder.ts'
import { controlKeys } from '../../../src/protocol/control-keys.ts'
import { makeDocument, renderDocument, type RoutingDocument } from '../../../src/protocol/document.ts'
import { PHASES, type RoutingState } from '../../../src/protocol/phases.ts'
import type { WorkSpec } from '../../../src/protocol/work.ts'
import type { Request } from '../../torture/client/request.ts'
import { Deliveries } from '../../torture/deliveries.ts'
import { hear, type Heard } from '../../torture/hear.ts'
import { Histories } from '../../torture/histories.ts'
import { homeOf, LEGACY, TARGET, WORKSPACE_FIELD, WORKSPACES } from '../../torture/jobs.ts'
import { judgeHistory, judgeKeys } from '../../torture/judge.ts'
import { readKeys, removal } from '../../torture/keys.ts'
import { CONTROL_PREFIX } from '../../torture/operator.ts'
import type { Fault, FaultName } from '../../torture/plan.ts'
import type { SabotageName } from '../../torture/sabotage.ts'
import { Tally } from '../../torture/tally.ts'
import { World } from '../../torture/world/world.ts'

export const CLIENTS = 3
const LIMIT_MS = 60_000
const SPEC = {
  dualWrite: { steps: [{ percent: 50, soak: '0s' }] },
  readRouting: { steps: [{ percent: 50, soak: '0s' }] },
  backfillVerify: { soak: '0s' },
}
export const RUNGS: readonly RoutingState[] = PHASES.flatMap((phase) =>
  rungsOf({ phases: SPEC }, phase).map(({ state }) => state),
)
const keys = controlKeys(CONTROL_PREFIX)
/** Stays an epoch behind the others. */
const LAST = CLIENTS - 1

export interface Call extends Request {
  readonly client: number
}

/** Client processes on a ladder of routing states, told what to do and judged after each command. */
export class Ladder {
  readonly #world: World
  readonly #heard: Heard
  readonly #tally: Tally
  readonly #sentinel: boolean
  /** Names the jobs of this run, so that no run meets those of another. */
  #run = 0
  #round = 0
  #epoch = 0
  #rung = 0
  #works = 0

  private constructor(world: World, heard: Heard, tally: Tally, sentinel: boolean) {
    this.#world = world
    this.#heard = heard
    this.#tally = tally
    this.#sentinel = sentinel
  }

  static async start(sentinel: boolean, sabotage?: SabotageName): Promise<Ladder> {
    const clockMs = Date.now() - Number(process.hrtime.bigint()) / 1e6
    const tally = new Tally(() => undefined)
    const heard: Heard = { histories: new Histories(), deliveries: new Deliveries(homeOf), wrong: [] }
    const world = await World.start({
      seed: 1,
      slots: CLIENTS,
      proxied: [0, 1, 2],
      sessions: 0,
      pauseMs: 0,
      clockMs,
      sentinel,
      sabotage,
      now: () => Number(process.hrtime.bigint()) / 1e6 + clockMs,
      tally,
      onLine: (caller, line) => hear(heard, caller, line),
      onDead: (caller) => heard.histories.died(caller),
    })
    return new Ladder(world, heard, tally, sentinel)
  }

  async stop(): Promise<void> {
    await this.#world.stop()
  }

  get faults(): Iterable<FaultName> {
    return this.#tally.faults.keys()
  }

  /** Back to the first rung, with jobs that were not there before. */
  async begin(): Promise<void> {
    this.#run += 1
    this.#tally.texts.splice(0)
    await this.#world.heal()
    if (this.#epoch === 0) {
      this.#epoch = 1
      await this.#with(async (redis) => void (await redis.command('SET', keys.fence, 1)))
    }
    while (this.#rung > 0) await this.step(this.#rung - 1)
    await this.#everyone(this.#slots())
  }

  /** Everyone runs the epoch in force; then the next one is published to all but the last client. */
  async step(rung: number, sleeper?: number): Promise<void> {
    const awake = this.#slots().filter((slot) => slot !== sleeper)
    await this.#everyone(awake)
    await this.#with(async (redis) => {
      await redis.command('SET', keys.fence, this.#epoch)
      this.#epoch += 1
      this.#rung = rung
      await redis.command('HSET', keys.record, 'phase', this.#document().phase, 'epoch', this.#epoch)
    })
    await this.#everyone(awake.filter((slot) => slot !== LAST))
  }

  async calls(calls: readonly Call[], fault?: Fault): Promise<void> {
    this.#tell(calls)
    if (fault !== undefined) this.#world.break(fault)
    await this.#rest()
  }

  /** A client stands still through these steps, and wakes up with the routing from before them, calls in its hands. */
  async sleep(client: number, rungs: readonly number[], calls: readonly Call[]): Promise<void> {
    await this.#everyone(this.#slots())
    const { uid } = this.#slot(client).pod
    this.#world.break({ kind: 'stop-client', slot: client, ms: LIMIT_MS, lapse: true })
    await until('the end of its leases', async () => (await this.#epochs(uid)).length === 0, this.#limits)
    for (const rung of rungs) await this.step(rung, client)
    const proven = this.#fills
    if (proven) await this.prove(false)
    this.#tell(calls)
    const woken = this.#world.heal()
    await this.#everyone([client])
    await woken
    await this.#rest()
    // Nobody of the old routing has made a job without a target since then.
    if (proven) await this.#verify(false)
  }

  /** Backfill where the phase has it, then verify: neither may find anything but jobs without a target. */
  async prove(kills: boolean): Promise<void> {
    if (this.#fills) await this.#work('backfill', kills)
    await this.#verify(kills && !this.#fills)
  }

  get #fills(): boolean {
    return this.#rung > RUNGS.findLastIndex(({ phase }) => phase === 'DualWrite')
  }

  async #verify(kills: boolean): Promise<void> {
    const found = await this.#work('verify', kills)
    const { missing, different, orphan, malformed, foreign } = found as Record<string, number>
    if ([missing, different, orphan, malformed, foreign].some((count) => count !== 0))
      throw new Error(`verify found ${JSON.stringify(found)}`)
  }

  #tell(calls: readonly Call[]): void {
    this.#round += 1
    for (const slot of this.#slots()) {
      const own = calls.filter(({ client }) => client === slot)
      const requests = own.map(({ jobId, workspace, kind }) => ({ jobId: `${jobId}${this.#run}`, workspace, kind }))
      this.#slot(slot).tell({ type: 'do', round: this.#round, requests })
    }
  }

  /** Nothing is broken or in flight any more; then everything is judged. @throws Error with what was found */
  async #rest(): Promise<void> {
    const world = this.#world
    await world.heal()
    for (const slot of world.slots) slot.tell({ type: 'rest', round: this.#round })
    await Promise.all(world.slots.map((slot) => slot.rested(this.#round, LIMIT_MS)))
    const torn = world.tornAt()
    const { histories, deliveries, wrong } = this.#heard
    await this.#with(async (redis) => {
      await world.settled(redis, LIMIT_MS)
      const claims = {
        doc: this.#document(),
        complete: false,
        disturbed: false,
        wentBack: false,
        torn: this.#sentinel ? torn : undefined,
      }
      const rest = { keys: await readKeys(redis, CONTROL_PREFIX), claims, histories, deliveries, tally: this.#tally }
      judgeKeys(rest)
      for (const jobId of histories.jobIds()) judgeHistory(rest, jobId)
      const found = [...this.#tally.texts, ...wrong]
      if (found.length === 0) return
      // What is found in a longer list of commands must not be found in a shorter one again.
      await redis.pipeline(histories.jobIds().map((jobId) => removal(jobId, WORKSPACES)))
      for (const jobId of histories.jobIds()) histories.forget(jobId)
      throw new Error(found.join('\n'))
    })
  }

  async #work(kind: WorkSpec['kind'], kills: boolean): Promise<unknown> {
    const { workers, server } = this.#world
    const jobName = `${kind}-${(this.#works += 1)}`
    const work: WorkSpec = {
      jobName,
      run: jobName,
      kind,
      ...(kind === 'verify' ? { direction: this.#document().phase === 'DualWrite' ? 'TargetToLegacy' : 'Both' } : {}),
      legacy: LEGACY,
      target: TARGET,
      workspaceField: WORKSPACE_FIELD,
      ignore: [],
      allowEmpty: true,
      onMalformed: 'Quarantine',
      queues: [],
      redis: server.url,
      maxKeysPerSecond: 1_000_000,
      maxRedisLatencyMs: 100,
      assume: { maxmemory: 8 * 1024 ** 3 },
    }
    workers.create({ type: 'CreateJob', work, attempt: 1, suspend: false } as never, server.url)
    if (kills) this.#world.break({ kind: 'kill-worker', afterMs: 100 })
    const state = (): string | undefined => workers.observe().find(({ name }) => name === jobName)?.state
    await until(`the end of ${jobName}`, async () => state() !== 'Active', this.#limits)
    if (state() !== 'Succeeded') throw new Error(`${jobName} ended as ${state()}`)
    let result: unknown
    await this.#with(async (redis) => {
      result = JSON.parse(String(await redis.command('HGET', keys.work(jobName), 'result')))
    })
    return result
  }

  /** These clients run the document in force, and say so. */
  async #everyone(slots: readonly number[]): Promise<void> {
    const text = renderDocument(this.#document())
    await Promise.all(
      slots.map(async (slot) => {
        this.#slot(slot).publish(text, 0)
        await this.#slot(slot).ready()
        const { uid } = this.#slot(slot).pod
        const told = async (): Promise<boolean> => (await this.#epochs(uid)).join() === `${this.#epoch},${this.#epoch}`
        await until(`epoch ${this.#epoch} at client ${slot}`, told, this.#limits)
      }),
    )
  }

  /** What the leases of a pod tell. */
  async #epochs(podUid: string): Promise<number[]> {
    const epochs: number[] = []
    await this.#with(async (redis) => {
      const members = ((await redis.command('HGETALL', keys.members)) as Buffer[]).map(String)
      for (let i = 0; i + 1 < members.length; i += 2) {
        if ((JSON.parse(members[i + 1] as string) as { podUid: string }).podUid !== podUid) continue
        const lease = await redis.command('GET', keys.lease(members[i] as string))
        if (lease !== null) epochs.push((JSON.parse(String(lease)) as { epoch: number }).epoch)
      }
    })
    return epochs
  }

  #document(): RoutingDocument {
    const input = {
      name: 'jobs',
      canaryBy: 'Job',
      legacy: LEGACY,
      target: TARGET,
      workspaceField: WORKSPACE_FIELD,
      queues: [],
    } as const
    return makeDocument(input, RUNGS[this.#rung] as RoutingState, this.#epoch)
  }

  get #limits() {
    return { limitMs: LIMIT_MS, everyMs: 10, look: this.#world.dir }
  }

  #slots(): number[] {
    return this.#world.slots.map(({ slot }) => slot)
  }

  #slot(slot: number) {
    return this.#world.slots[slot] as World['slots'][number]
  }

  /** On a connection to the primary; with replicas, they have what was written when it is given back. */
  async #with(work: (redis: RedisConnection) => Promise<void>): Promise<void> {
    const redis = await this.#world.server.connect()
    try {
      await work(redis)
      if (this.#sentinel) await redis.command('WAIT', 2, 10_000)
    } finally {
      redis.close()
    }
  }
}
