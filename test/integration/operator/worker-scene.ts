import { JOBS, PODS } from '../../../src/kube/resources.ts'
import type { Job, Pod } from '../../../src/kube/types.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { Kubelet } from './kubelet.ts'
import { runOperator, until, PATIENT, type App, type RunningOperator } from './world.ts'

/** An application, its operator and kubelet: what becomes of workers is for a test to say. Time runs ahead by `aheadMs`. */
export class Scene {
  readonly app: App
  readonly kubelet: Kubelet
  /** Backoffs are not waited for. */
  aheadMs = 0
  /** The operator that was started last. */
  running!: RunningOperator
  readonly #stops: (() => Promise<void>)[] = []

  constructor(app: App) {
    this.app = app
    this.kubelet = new Kubelet(app.client, app.namespace)
    const stop = new AbortController()
    const kubelet = this.kubelet.run(stop.signal)
    this.#stops.push(async () => {
      stop.abort()
      await kubelet
    })
  }

  /** Jobs that only the legacy schema has, as a loader makes them that knows no other. */
  async load(prefix: string, count: number): Promise<void> {
    for (let from = 0; from < count; from += 10_000) {
      const pipeline = this.app.world.redis.pipeline()
      for (let i = from; i < Math.min(count, from + 10_000); i += 1)
        pipeline.hset(`${this.app.namespace}:job:${prefix}${i}`, { workspace_id: `w${i % 20}` })
      await pipeline.exec()
    }
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) await stop()
  }

  operator(lease = 'first'): RunningOperator {
    const namespace = this.app.namespace
    const clock = { ...systemClock, now: () => Date.now() + this.aheadMs }
    const running = runOperator(this.app.world, namespace, {
      clock,
      // Time that is run ahead is no clock that is wrong.
      skew: { ms: 0 },
      lease: { namespace, name: lease },
      election: PATIENT,
    })
    this.#stops.push(() => running.stop())
    return (this.running = running)
  }

  /** The resource, and a client that follows it: nothing but its workers holds it up. */
  async apply(maxKeysPerSecond = 20_000, changes: Partial<SpecInput> = {}): Promise<void> {
    const address = `redis://127.0.0.1:${this.app.world.redisServer.port}/0`
    const redis = { address, assume: { maxmemory: 1_000_000_000 }, observers: ['*'] }
    await this.app.apply(this.app.spec({ redis, worker: { maxKeysPerSecond }, ...changes }))
    const member = await this.app.join(await this.app.startPod())
    const stop = new AbortController()
    const following = member.follow(stop.signal)
    this.#stops.push(async () => {
      stop.abort()
      await following
    })
  }

  async status(): Promise<Status> {
    return (await this.app.resource()).status ?? {}
  }

  /** Waits for the preflight that is recorded, and gives its Job. */
  async recorded(): Promise<string> {
    await until(async () => (await this.status()).preflight !== undefined)
    return (await this.status()).preflight?.job ?? ''
  }

  async state(): Promise<string | undefined> {
    return (await this.status()).work?.['preflight']?.state
  }

  /** Lets the backoff of a lost attempt be over. */
  async hurry(): Promise<void> {
    this.aheadMs += 11_000
    await this.poke()
  }

  async poke(): Promise<void> {
    await this.annotate({ poked: String(this.aheadMs) })
  }

  async annotate(annotations: Record<string, string>): Promise<void> {
    await this.app.client.mergePatch(MIGRATIONS, this.#ref('jobs'), { metadata: { annotations } })
  }

  /** Passes that change nothing. */
  async pokes(running: RunningOperator, times = 3): Promise<void> {
    for (let i = 0; i < times; i += 1) {
      const passes = await running.passes()
      this.aheadMs += 1000
      await this.poke()
      await until(async () => (await running.passes()) > passes)
    }
  }

  async delete(job: string): Promise<void> {
    await this.app.client.delete(JOBS, this.#ref(job))
  }

  /** Sets the deadline of a Job, in seconds since it began. */
  async endAfter(job: string, activeDeadlineSeconds: number): Promise<void> {
    await this.app.client.mergePatch(JOBS, this.#ref(job), { spec: { activeDeadlineSeconds } })
  }

  async jobs(): Promise<string[]> {
    const { items } = await this.app.client.list<Job>(JOBS, { namespace: this.app.namespace })
    return items.map(({ metadata }) => metadata.name ?? '').sort()
  }

  /** Pods of workers. */
  async pods(): Promise<readonly Pod[]> {
    const { items } = await this.app.client.list<Pod>(PODS, { namespace: this.app.namespace })
    return items.filter(({ metadata }) => metadata.ownerReferences?.some(({ kind }) => kind === 'Job'))
  }

  work(job: string): Promise<Record<string, string>> {
    return this.app.world.redis.hgetall(this.app.keys.work(job))
  }

  #ref(name: string) {
    return { namespace: this.app.namespace, name }
  }
}
