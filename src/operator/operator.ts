import type { Decide } from '../decision/types.ts'
import type { KubeClient } from '../kube/client.ts'
import { createEventRecorder } from '../kube/events.ts'
import { LeaderElector, type ElectorOptions } from '../kube/lease.ts'
import { Reflector } from '../kube/reflector.ts'
import type { ChangeHandler } from '../kube/store.ts'
import type { KubeObject } from '../kube/types.ts'
import type { Logger } from '../platform/logger.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ClockSkew } from '../runtime/skew.ts'
import { Controller } from '../runtime/controller.ts'
import { WorkQueue } from '../runtime/work-queue.ts'
import { CrdReader } from './crd.ts'
import { execute } from './execute/execute.ts'
import { Checks } from './gather/checks.ts'
import { Gatherer } from './gather/gather.ts'
import { Owners } from './gather/owners.ts'
import { Rivals } from './gather/rivals.ts'
import { Workloads } from './gather/workloads.ts'
import { WritersWatch } from './gather/writers-watch.ts'
import type { OperatorMetrics } from './metrics.ts'
import { NamespaceCaches } from './namespace-cache.ts'
import { Reconciler } from './reconcile.ts'
import { RedisPool, type OpenRedis } from './redis-pool.ts'
import { MIGRATIONS } from './resources.ts'
import { SecretReader } from './secrets.ts'
import { WatchHealth } from './watch-health.ts'

export interface OperatorOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Against the API server; what the client heard. */
  readonly skew: Pick<ClockSkew, 'ms'>
  readonly decide: Decide
  readonly log: Logger
  readonly metrics: OperatorMetrics
  /** Takes credentials read at run time, so that no log line holds them. */
  readonly addSecret: (value: string) => void
  /** Empty: all namespaces. */
  readonly namespaces: readonly string[]
  readonly lease: { readonly namespace: string; readonly name: string }
  /** Unique to this process: see `leaderIdentity`. */
  readonly identity: string
  readonly instance: string
  readonly image: string
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  readonly workers: number
  /** Must end the process. */
  readonly onFatal: (reason: string) => void
  readonly openRedis?: OpenRedis
  readonly election?: Pick<ElectorOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'>
}

const CRD_RETRY_MS = 2000
/** Many changes of one rollout become one pass, ms. */
const GATHER_CHANGES_MS = 100

/** Competes for the Lease and, leading, reconciles every resource. */
export class Operator {
  readonly #options: OperatorOptions
  readonly #elector: LeaderElector
  readonly #health: WatchHealth
  #lead: Promise<void> = Promise.resolve()
  #stop: AbortSignal = AbortSignal.abort()
  #synced = false

  constructor(options: OperatorOptions) {
    this.#options = options
    const { client, clock, lease, identity, log, metrics, onFatal, election } = options
    this.#health = new WatchHealth({
      clock,
      onError: (watch, error, retryInMs) => log.warn('watch failed', { watch, error, retryInMs }),
      onEnded: (watch, error) => {
        log.error('watch ended', { watch, error })
        onFatal(`the watch of ${watch} has ended`)
      },
    })
    this.#elector = new LeaderElector({
      client,
      clock,
      lease,
      identity,
      ...election,
      onStartedLeading: (leadership) => {
        log.info('leading', { identity })
        metrics.leading(true)
        this.#lead = this.#work(AbortSignal.any([leadership, this.#stop]))
        this.#lead.catch((error: unknown) => {
          log.error('the operator failed', { error })
          onFatal('the operator failed')
        })
      },
      onLost: (reason) => {
        metrics.leading(false)
        log.error('lease lost', { reason })
        onFatal(`lease lost: ${reason}`)
      },
      onHolder: (holder) => log.info('lease holder', { holder }),
      onError: (error) => log.warn('lease', { error }),
    })
  }

  get isLeader(): boolean {
    return this.#elector.isLeader
  }

  /** What is wrong so that only a new process helps, or undefined. */
  healthy(): string | undefined {
    if (!this.#elector.isAlive) return 'neither leading nor competing for the lease'
    return this.#health.fault()
  }

  /** Ready: competing, or leading with the resources listed. */
  ready(): string | undefined {
    if (!this.#elector.isAlive) return 'neither leading nor competing for the lease'
    return this.#elector.status === 'leading' && !this.#synced ? 'the resources are not listed yet' : undefined
  }

  /** Works until `signal` aborts: then ends the running passes, gives the lease back and resolves. */
  async run(signal: AbortSignal): Promise<void> {
    this.#stop = signal
    const release = new AbortController()
    const electing = this.#elector.run(release.signal)
    await Promise.race([electing, aborted(signal)])
    await this.#lead.catch(() => undefined)
    release.abort()
    await electing
    this.#options.metrics.leading(false)
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { client, clock, log, metrics, namespaces, workers, addSecret } = this.#options
    const crd = new CrdReader(client, clock)
    await this.#waitForCrd(crd, signal)
    if (signal.aborted) return
    const queue = new WorkQueue({ clock })
    const rivals: Rivals = new Rivals(() => reflectors.flatMap(({ reflector }) => reflector.store.list()))
    const reflectors = (namespaces.length === 0 ? [undefined] : namespaces).map((namespace) =>
      this.#watch(namespace, (key, before, after) => {
        queue.add(key)
        for (const other of rivals.touched(before, after)) queue.add(other)
      }),
    )
    const resourcesOf = (namespace: string): readonly string[] =>
      reflectors.flatMap(({ reflector }) => reflector.store.keys()).filter((key) => key.startsWith(`${namespace}/`))
    const caches = new NamespaceCaches({
      client,
      clock,
      health: this.#health,
      onChange: (namespace) => {
        for (const key of resourcesOf(namespace)) queue.addAfter(key, GATHER_CHANGES_MS)
      },
    })
    const secrets = new SecretReader(client, clock, addSecret)
    const pool = new RedisPool(
      secrets,
      (resource) => queue.addAfter(resource, GATHER_CHANGES_MS),
      this.#options.openRedis,
    )
    const checks = new Checks({
      clock,
      secrets,
      onMeasured: (resource) => queue.add(resource),
      onFailed: (resource, error) => {
        log.error('checks ended', { resource, error })
        this.#options.onFatal(`the checks of ${resource} have ended`)
      },
    })
    const writers = new WritersWatch({
      clock,
      onNew: (resource) => queue.addAfter(resource, GATHER_CHANGES_MS),
      onFailed: (resource, error) => {
        log.error('the watch for writers ended', { resource, error })
        this.#options.onFatal(`the watch for writers of ${resource} has ended`)
      },
    })
    const gatherer = new Gatherer({
      client,
      clock,
      caches,
      health: this.#health,
      pool,
      checks,
      writers,
      owners: new Owners(client, clock),
      rivals,
      workloads: new Workloads(client, clock),
    })
    const { component, instance } = { component: 'keyshift', instance: this.#options.instance }
    const events = createEventRecorder({
      client,
      clock,
      component,
      instance,
      onError: (error, reason) => log.warn('event not written', { error, reason }),
    })
    const reconciler = this.#reconciler({ crd, events, gatherer, caches, pool })
    const controller = new Controller({
      queue,
      clock,
      workers,
      reconcile: (key, passSignal) => reconciler.reconcile(key, passSignal),
      observer: {
        reconciled: (_, ms) => metrics.reconciled(ms / 1000, 'ok'),
        failed: (resource, error, failures, retryInMs) => {
          metrics.reconciled(0, 'error')
          log.error('reconcile failed', { resource, error, failures, retryInMs })
        },
        overdue: (resource, deadlineMs) => log.error('reconcile overdue', { resource, deadlineMs }),
      },
    })
    void Promise.all(reflectors.map(({ reflector }) => reflector.synced)).then(() => (this.#synced = true))
    const left = await controller.run(signal)
    if (left.length > 0) log.warn('passes cut off', { resources: left })
    for (const { stop } of reflectors) stop.abort()
    checks.close()
    writers.close()
    caches.close()
    await Promise.all([pool.close(), events.flush(2000)])
  }

  /** Without the CRD there is nothing to watch: says so once and asks again. */
  async #waitForCrd(crd: CrdReader, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    let said = false
    while (!signal.aborted) {
      try {
        if ((await crd.read(signal, true)).state !== 'absent') return
        if (!said) log.error('the CRD jobkeymigrations.keyshift.dev is not installed: apply crds/; waiting for it')
        said = true
      } catch (error) {
        if (!signal.aborted) log.warn('the CRD cannot be read', { error })
      }
      await clock.sleep(CRD_RETRY_MS, signal)
    }
  }

  #watch(
    namespace: string | undefined,
    onChange: ChangeHandler<KubeObject>,
  ): { reflector: Reflector<KubeObject>; stop: AbortController } {
    const { client, clock } = this.#options
    const name = `jobkeymigrations ${namespace ?? 'of all namespaces'}`
    const stop = new AbortController()
    const reflector = new Reflector<KubeObject>({
      client,
      clock,
      type: MIGRATIONS,
      namespace,
      onChange,
      onError: (error, retryInMs) => this.#health.failed(name, error, retryInMs),
    })
    this.#health.add(name, reflector)
    this.#health.ended(name, reflector.run(stop.signal), stop.signal)
    return { reflector, stop }
  }

  #reconciler(parts: {
    readonly crd: CrdReader
    readonly events: ReturnType<typeof createEventRecorder>
    readonly gatherer: Gatherer
    readonly caches: NamespaceCaches
    readonly pool: RedisPool
  }): Reconciler {
    const { client, clock, skew, decide, metrics, log, image, pullPolicy } = this.#options
    const { crd, events, gatherer, caches, pool } = parts
    return new Reconciler({
      client,
      clock,
      skew,
      decide,
      metrics,
      log,
      crd,
      events,
      gather: (resource, live, signal) => gatherer.gather(resource, live, signal),
      execute: (context, action) => execute({ client, pool, caches, image, pullPolicy }, context, action),
      forget: (key) => gatherer.forget(key),
      leads: () => this.#elector.isLeader,
    })
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
