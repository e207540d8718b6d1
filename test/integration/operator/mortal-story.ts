import { createKubeClient } from '../../../src/kube/client.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { Mortal, type Moment } from './mortal.ts'
import { PATIENT, runOperator, until, type App } from './world.ts'

/** Every document that was published, in order, with what Redis held at that moment. */
interface Published {
  readonly text: string
  readonly fence: number
  readonly recordEpoch: number
}

/** One application whose operators die one after the other, each at a write of its own. */
export class Story {
  readonly app: App
  readonly when: Moment
  readonly published: Published[] = []
  readonly deaths: string[] = []
  /** Nobody dies. */
  calm = false
  #forgotten = 0
  #lives = 0

  constructor(app: App, when: Moment) {
    this.app = app
    this.when = when
  }

  /** Operators live and die until the resource has reached the phase. */
  async reach(targetPhase: Phase, changes: Partial<SpecInput> = {}): Promise<void> {
    await this.app.apply(this.spec(targetPhase, changes))
    const { generation } = (await this.app.resource()).metadata
    await this.live(async () => {
      const { status } = await this.app.resource()
      const reached = status?.conditions?.find(({ type }) => type === 'TargetReached')
      return reached?.status === 'True' && reached.observedGeneration === generation
    })
  }

  /** Operators live and die until this is so. Gives where they died. */
  async live(isReached: () => Promise<boolean>): Promise<readonly string[]> {
    const before = this.deaths.length
    this.#forgotten = before
    while (!(await isReached())) {
      const place = await this.#live(isReached)
      if (place === undefined) break
      this.deaths.push(place)
    }
    return this.deaths.slice(before)
  }

  /** The write at which it died; undefined: reached. */
  async #live(isReached: () => Promise<boolean>): Promise<string | undefined> {
    const { namespace, world } = this.app
    const mortal = new Mortal(createKubeClient(world.cluster.connection), this.when, (place) => this.#isLast(place))
    mortal.publishing = (text) => this.#witness(text)
    const running = runOperator(world, namespace, {
      client: mortal.client,
      openRedis: mortal.openRedis,
      // The dead do not give their lease back.
      lease: { namespace, name: `life-${(this.#lives += 1)}` },
      election: PATIENT,
    })
    let isOver = false
    const reached = until(async () => isOver || (await isReached())).then(() => undefined)
    const end = await Promise.race([mortal.died, reached])
    isOver = true
    await running.stop()
    return end
  }

  /** Nobody dies where the last one died, nor more than three times at one place, or none would ever come past. */
  #isLast(place: string): boolean {
    const deaths = this.deaths.slice(this.#forgotten)
    return !this.calm && deaths.at(-1) !== place && deaths.filter((death) => death === place).length < 3
  }

  async #witness(text: string): Promise<void> {
    const { redis } = this.app.world
    const [fence, epoch] = await Promise.all([
      redis.get(this.app.keys.fence),
      redis.hget(this.app.keys.record, 'epoch'),
    ])
    this.published.push({ text, fence: Number(fence ?? 0), recordEpoch: Number(epoch ?? 0) })
  }

  spec(targetPhase: Phase, changes: Partial<SpecInput> = {}): SpecInput {
    return this.app.spec({
      targetPhase,
      redis: {
        address: `redis://127.0.0.1:${this.app.world.redisServer.port}/0`,
        assume: { maxmemory: 1_000_000_000 },
        // The client of the other story.
        observers: ['default'],
      },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '60s' },
      phases: {
        dualWrite: { steps: [{ percent: 100, soak: '0s' }] },
        readRouting: { steps: [{ percent: 100, soak: '0s' }] },
        backfillVerify: { soak: '0s' },
      },
      ...changes,
    })
  }
}
