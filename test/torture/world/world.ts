import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RedisConnection } from '../../../demo/resp.ts'
import { LEASE_TTL_MS } from '../../../src/protocol/control-keys.ts'
import type { LogLine } from '../client/wire.ts'
import type { Fault } from '../plan.ts'
import { CONTROL_PREFIX } from '../operator.ts'
import type { SabotageName } from '../sabotage.ts'
import type { Tally } from '../tally.ts'
import { Slot } from './clients.ts'
import { startHost, type Host } from './server.ts'
import { Workers } from './workers.ts'

export interface WorldOptions {
  readonly seed: number
  readonly slots: number
  readonly proxied: readonly number[]
  readonly sessions: number
  readonly pauseMs: number
  readonly clockMs: number
  /** Sentinels over three servers, in place of one. */
  readonly sentinel: boolean
  /** The clock of the histories. */
  readonly now: () => number
  readonly sabotage?: SabotageName | undefined
  /** Program and arguments of the last client, where it is another one. */
  readonly other?: readonly string[] | undefined
  readonly tally: Tally
  readonly onLine: (caller: string, line: LogLine) => void
  readonly onDead: (caller: string) => void
}

/** Every process of a torture, and how each is broken and healed. */
export class World {
  readonly dir: string
  readonly server: Host
  readonly workers: Workers
  readonly slots: readonly Slot[]
  readonly #tally: Tally
  /** What Redis goes through, one after the other; and all that is under way. */
  #redisFaults: Promise<void> = Promise.resolve()
  readonly #underWay = new Set<Promise<void>>()
  #torn: number | undefined
  readonly #now: () => number
  #healing = new AbortController()

  private constructor(dir: string, server: Host, slots: readonly Slot[], options: WorldOptions) {
    this.dir = dir
    this.server = server
    this.workers = new Workers(dir)
    this.slots = slots
    this.#tally = options.tally
    this.#now = options.now
  }

  static async start(options: WorldOptions): Promise<World> {
    const dir = mkdtempSync(join(tmpdir(), 'keyshift-torture-'))
    const server = await startHost(dir, options.sentinel)
    const slots: Slot[] = []
    const world = new World(dir, server, slots, options)
    try {
      for (let slot = 0; slot < options.slots; slot += 1) {
        const proxied = options.proxied.includes(slot) ? server.port : undefined
        const command = slot === options.slots - 1 ? options.other : undefined
        slots.push(await Slot.start({ ...options, slot, dir, redis: server.url, proxied, command }))
      }
      return world
    } catch (error) {
      await world.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#healing.abort()
    await Promise.allSettled([...this.#underWay, this.workers.stop(), ...this.slots.map((slot) => slot.stop())])
    await this.server.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** When something first happened to Redis since this was asked last, by the clock of `now`. */
  tornAt(): number | undefined {
    const at = this.#torn
    this.#torn = undefined
    return at
  }

  /** Begins a fault; it ends by itself, or with `heal`. */
  break(fault: Fault): void {
    const work = this.#carryOut(fault).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
  }

  /** Everything runs again, and nothing is held up any more. */
  async heal(): Promise<void> {
    this.#healing.abort()
    await Promise.all(this.#underWay)
    this.#healing = new AbortController()
    for (const slot of this.slots) {
      slot.heal()
      await slot.ready()
    }
  }

  /** Redis has dealt with everything that ended connections had sent: what is unknown now was done, or never will be. */
  async settled(redis: RedisConnection, limitMs: number): Promise<void> {
    const others = await this.server.others()
    const end = performance.now() + limitMs
    const count = async (one: RedisConnection): Promise<number> => {
      const list = String(await one.command('CLIENT', 'LIST'))
      return list.split('\n').filter((line) => line.includes('name=keyshift-client:')).length
    }
    try {
      for (;;) {
        const left = await Promise.all(others.map(count))
        const [here, elsewhere] = [await count(redis), left.reduce((sum, one) => sum + one, 0)]
        // One connection for each encoding.
        if (here <= 2 * this.slots.length && elsewhere === 0) return
        if (performance.now() > end)
          throw new Error(`${here} connections of clients at rest, and ${elsewhere} to servers that are no primary`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    } finally {
      for (const one of others) one.close()
    }
  }

  async #carryOut(fault: Fault): Promise<void> {
    const slot = 'slot' in fault ? this.slots[fault.slot] : undefined
    const made = (): void => this.#tally.made(fault.kind)
    switch (fault.kind) {
      case 'kill-client': {
        const uid = slot?.pod.uid
        this.#tally.kills += 1
        await slot?.kill(fault.newPod)
        made()
        if (fault.lapse && uid !== undefined) await this.#lapse(uid)
        return slot?.ready()
      }
      case 'stop-client':
        slot?.signal('SIGSTOP')
        made()
        if (fault.lapse && slot !== undefined) await this.#lapse(slot.pod.uid)
        if ((await this.#sleep(fault.ms)) > LEASE_TTL_MS) this.#tally.made('stop-past-lease')
        return slot?.signal('SIGCONT')
      case 'kill-worker': {
        const killed = (await this.#worker(fault.afterMs)) ? this.workers.kill() : 0
        this.#tally.kills += killed
        if (killed > 0) made()
        return
      }
      case 'double-worker':
        if (!(await this.#worker(fault.afterMs))) return
        made()
        return this.workers.double()
      case 'stop-worker':
        if (!(await this.#worker(fault.afterMs))) return
        this.workers.signal('SIGSTOP')
        made()
        await this.#sleep(fault.ms)
        return this.workers.signal('SIGCONT')
      case 'kill-redis':
        this.#tally.kills += 1
        await this.#toRedis(() => this.server.crash(fault.ms))
        return made()
      case 'stop-redis':
        await this.#toRedis(() => this.server.pause(() => this.#sleep(fault.ms)))
        return made()
      case 'failover':
        return this.#toRedis(async () => {
          if (await this.server.failover()) made()
        })
      case 'cut':
        if ((slot?.proxy?.cut() ?? 0) > 0) made()
        return
      case 'vanish':
        slot?.proxy?.vanish()
        if (slot?.proxy !== undefined) made()
        // In the end the peer's kernel gives them up.
        await this.#sleep(3000)
        return void slot?.proxy?.cut()
      case 'cut-next':
        slot?.proxy?.cutNext(fault.where, 'ai:job:')
        if (slot?.proxy !== undefined) made()
        return
      case 'delay':
        slot?.proxy?.delayReplies(() => fault.byMs)
        if (slot?.proxy !== undefined) made()
        await this.#sleep(fault.ms)
        return slot?.proxy?.delayReplies(() => 0)
      case 'stick':
        made()
        return slot?.stick(fault.ms)
      case 'operator-dies':
      case 'old-status':
        // The operator's own affair.
        return
    }
  }

  #toRedis(work: () => Promise<unknown>): Promise<void> {
    this.#torn ??= this.#now()
    this.#redisFaults = this.#redisFaults.then(async () => void (await work()))
    return this.#redisFaults
  }

  /** Waits for a worker to be at work, and a while more; false where none came. */
  async #worker(afterMs: number): Promise<boolean> {
    for (let tries = 0; this.workers.running === 0 && tries < 60; tries += 1) {
      if (this.#healing.signal.aborted) return false
      await this.#sleep(50)
    }
    await this.#sleep(afterMs)
    return this.workers.running > 0 && !this.#healing.signal.aborted
  }

  /** The leases of a pod's members end now, as if their time were over. */
  async #lapse(podUid: string): Promise<void> {
    let redis: RedisConnection | undefined
    try {
      redis = await this.server.connect()
      const members = ((await redis.command('HGETALL', `${CONTROL_PREFIX}members`)) as Buffer[]).map(String)
      for (let i = 0; i + 1 < members.length; i += 2)
        if ((JSON.parse(members[i + 1] as string) as { podUid: string }).podUid === podUid)
          await redis.command('DEL', `${CONTROL_PREFIX}lease:${members[i]}`)
    } catch {
      // Redis is being broken as well: then it takes as long as it takes.
    } finally {
      redis?.close()
    }
  }

  /** Cut short by `heal`. @returns how long it was, ms */
  #sleep(ms: number): Promise<number> {
    const { signal } = this.#healing
    const begun = performance.now()
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve(performance.now() - begun)
      }
      const timer = setTimeout(done, ms)
      if (signal.aborted) done()
      else signal.addEventListener('abort', done)
    })
  }
}
