import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import { decide } from '../../../src/decision/decide.ts'
import { createKubeClient, type KubeClient } from '../../../src/kube/client.ts'
import { isNotFound } from '../../../src/kube/errors.ts'
import { leaderIdentity } from '../../../src/kube/lease.ts'
import { CONFIG_MAPS, DEPLOYMENTS, EVENTS, JOBS, NAMESPACES, PODS } from '../../../src/kube/resources.ts'
import type { ConfigMap, Job, KubeEvent, KubeObject, Pod } from '../../../src/kube/types.ts'
import { createOperatorMetrics } from '../../../src/operator/metrics.ts'
import { Operator, type OperatorOptions } from '../../../src/operator/operator.ts'
import { MIGRATIONS, REPLICA_SETS } from '../../../src/operator/resources.ts'
import type { Logger } from '../../../src/platform/logger.ts'
import { controlKeys, type ControlKeys, type MemberRecord } from '../../../src/protocol/control-keys.ts'
import { parseDocument, ROUTING_FILE, type RoutingDocument } from '../../../src/protocol/document.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { ClockSkew } from '../../../src/runtime/skew.ts'
import { record, type Recorder } from './recorder.ts'
import { installCrd, startTestCluster, type TestCluster } from '../kube/control-plane.ts'

export { START_LIMIT_MS, until } from '../kube/control-plane.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'

/** An API server with the CRD, and a Redis. */
export interface World {
  readonly cluster: TestCluster
  readonly redisServer: LocalRedis
  readonly redis: Redis
  readonly dir: string
  stop(): Promise<void>
}

export async function startWorld(apiServerArgs: readonly string[] = []): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-operator-'))
  const [cluster, redisServer] = await Promise.all([
    startTestCluster(apiServerArgs),
    startRedis({ dir: join(dir, 'redis') }),
  ])
  await installCrd(cluster)
  const redis = new Redis({ host: '127.0.0.1', port: redisServer.port, connectionName: 'keyshift-operator' })
  return {
    cluster,
    redisServer,
    redis,
    dir,
    async stop() {
      redis.disconnect()
      await Promise.all([cluster.stop(), redisServer.stop('KILL')])
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export interface RunningOperator {
  readonly operator: Operator
  readonly lines: string[]
  /** What it asks of the API server. */
  readonly requests: Recorder
  readonly registry: Registry
  /** Passes that ended well so far. */
  passes(): Promise<number>
  stop(): Promise<void>
}

/** Of tests that start many processes, and must not lose the lease over it. */
export const PATIENT = { leaseDurationMs: 30_000, renewDeadlineMs: 20_000, retryPeriodMs: 500 }

/** The operator's parts in this process, as main.ts puts them together. */
export function runOperator(
  world: World,
  namespace: string,
  changes: Partial<OperatorOptions> = {},
  connection = world.cluster.connection,
): RunningOperator {
  const lines: string[] = []
  const registry = new Registry()
  const stop = new AbortController()
  const skew = new ClockSkew(changes.clock ?? systemClock)
  const requests = record(createKubeClient(connection, { skew }))
  const operator = new Operator({
    client: requests.client,
    clock: systemClock,
    skew,
    decide,
    log: collect(lines),
    metrics: createOperatorMetrics(registry),
    addSecret: () => undefined,
    namespaces: [namespace],
    lease: { namespace, name: 'keyshift-operator' },
    identity: leaderIdentity('test'),
    instance: 'test',
    image: 'keyshift:test',
    pullPolicy: 'IfNotPresent',
    workers: 2,
    onFatal: (reason) => lines.push(`fatal ${reason}`),
    // A machine that is busy must not cost the lease.
    election: { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 200 },
    ...changes,
  })
  const running = operator.run(stop.signal)
  return {
    operator,
    lines,
    requests,
    registry,
    async passes() {
      return passesIn(await registry.metrics())
    },
    async stop() {
      stop.abort()
      await running
    },
  }
}

/** Passes that ended well, as the operator's metrics page says. */
export function passesIn(page: string): number {
  return Number(/^keyshift_reconcile_seconds_count\{result="ok"\} (\d+)$/m.exec(page)?.[1] ?? 0)
}

function collect(lines: string[]): Logger {
  const write = (level: string) => (message: string, fields?: object) =>
    void lines.push(
      `${level} ${message} ${JSON.stringify(fields, (_, v: unknown) => (v instanceof Error ? v.message : v))}`,
    )
  const log = { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') }
  return { ...log, child: () => collect(lines) }
}

/** One application in a namespace of its own, with a resource and the control keys that belong to it. */
export class App {
  readonly world: World
  readonly namespace: string
  readonly keys: ControlKeys
  readonly client: KubeClient
  #pods = 0

  constructor(world: World, namespace: string, templates: { legacy: string; target: string }) {
    this.world = world
    this.namespace = namespace
    this.client = world.cluster.client
    this.keys = controlKeys(controlPrefix(templates.legacy, templates.target))
  }

  static async create(world: World, namespace: string, templates = templatesOf(namespace)): Promise<App> {
    const app = new App(world, namespace, templates)
    await app.client.create(NAMESPACES, { metadata: { name: namespace } })
    const labels = { app: 'api' }
    const template = { metadata: { labels }, spec: { containers: [{ name: 'api', image: 'api:1' }] } }
    await app.client.create(DEPLOYMENTS, {
      metadata: { name: 'api', namespace },
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    } as KubeObject)
    return app
  }

  spec(changes: Partial<SpecInput> = {}): SpecInput {
    const { legacy, target } = templatesOf(this.namespace)
    return {
      targetPhase: 'Legacy',
      keys: { legacy, target, idWindow: '0s' },
      redis: { address: `redis://127.0.0.1:${this.world.redisServer.port}/0` },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '2s' },
      slo: { disabled: true },
      ...changes,
    }
  }

  async apply(spec: SpecInput): Promise<void> {
    const resource = {
      apiVersion: 'keyshift.dev/v1alpha1',
      kind: 'JobKeyMigration',
      metadata: { name: 'jobs', namespace: this.namespace },
      spec,
    }
    await this.client.apply(MIGRATIONS, resource, { fieldManager: 'test', force: true })
  }

  async resource(): Promise<JobKeyMigration> {
    return (await this.client.get<KubeObject>(MIGRATIONS, this.#ref('jobs'))) as JobKeyMigration
  }

  async condition(type: string): Promise<{ status: string; reason: string; message: string } | undefined> {
    return (await this.resource()).status?.conditions?.find((one) => one.type === type)
  }

  async configMap(): Promise<ConfigMap | undefined> {
    return this.client.get<ConfigMap>(CONFIG_MAPS, this.#ref('jobs-routing')).catch((error: unknown) => {
      if (isNotFound(error)) return undefined
      throw error
    })
  }

  async document(): Promise<RoutingDocument | undefined> {
    const text = (await this.configMap())?.data?.[ROUTING_FILE]
    return text === undefined ? undefined : parseDocument(text)
  }

  /** A running pod of the Deployment, through its ReplicaSet. */
  async startPod(image = 'api:1', hash = 'aaa'): Promise<Pod> {
    const deployment = await this.client.get(DEPLOYMENTS, this.#ref('api'))
    const labels = { app: 'api', 'pod-template-hash': hash }
    const spec = { containers: [{ name: 'api', image }] }
    const set = await this.client
      .create(REPLICA_SETS, {
        metadata: {
          name: `api-${hash}`,
          namespace: this.namespace,
          ownerReferences: [ownerOf(deployment, 'apps/v1', 'Deployment')],
        },
        spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      } as KubeObject)
      .catch(() => this.client.get(REPLICA_SETS, this.#ref(`api-${hash}`)))
    const name = `api-${hash}-${(this.#pods += 1)}`
    const pod = await this.client.create<Pod>(PODS, {
      metadata: { name, namespace: this.namespace, labels, ownerReferences: [ownerOf(set, 'apps/v1', 'ReplicaSet')] },
      spec,
    })
    const startedAt = new Date().toISOString()
    await this.client.patchStatus(
      PODS,
      this.#ref(name),
      {
        phase: 'Running',
        startTime: startedAt,
        containerStatuses: [
          { name: 'api', ready: true, restartCount: 0, image, imageID: '', state: { running: { startedAt } } },
        ],
      },
      (await this.client.get(PODS, this.#ref(name))).metadata.resourceVersion ?? '',
    )
    return pod
  }

  /** Registers a member for the pod, as a client does before its first operation. */
  async join(pod: Pod, id = `${pod.metadata.name ?? ''}-1`): Promise<Member> {
    const record: MemberRecord = {
      podUid: pod.metadata.uid ?? '',
      podName: pod.metadata.name ?? '',
      version: '0.1.0',
      registeredAt: Date.now(),
    }
    await this.world.redis.hset(this.keys.members, id, JSON.stringify(record))
    const member = new Member(this, id)
    await member.report(await this.document())
    return member
  }

  job(kind: string, attempt = 1): Promise<Job | undefined> {
    return this.client.get<Job>(JOBS, this.#ref(`jobs-${kind}-${attempt}`)).catch((error: unknown) => {
      if (isNotFound(error)) return undefined
      throw error
    })
  }

  async events(): Promise<string[]> {
    const list = await this.client.list<KubeEvent>(EVENTS, { namespace: this.namespace })
    return list.items.map(({ type, reason }) => `${type} ${reason}`)
  }

  #ref(name: string) {
    return { namespace: this.namespace, name }
  }
}

/** A client process as the operator sees it: a record and a lease that follows the published document when told. */
export class Member {
  readonly #app: App
  readonly #id: string

  constructor(app: App, id: string) {
    this.#app = app
    this.#id = id
  }

  async report(document: RoutingDocument | undefined): Promise<void> {
    const lease = { epoch: document?.epoch ?? 0, hash: document?.hash ?? '' }
    await this.#app.world.redis.set(this.#app.keys.lease(this.#id), JSON.stringify(lease), 'PX', 600_000)
  }

  /** Follows the ConfigMap until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.report(await this.#app.document())
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async lapse(): Promise<void> {
    await this.#app.world.redis.del(this.#app.keys.lease(this.#id))
  }
}

/** Each application has keys of its own, so that one Redis serves all tests of a file. */
export function templatesOf(namespace: string): { legacy: string; target: string } {
  return { legacy: `${namespace}:job:{job_id}`, target: `${namespace}:job:{workspace_id}:{job_id}` }
}

function ownerOf(object: KubeObject, apiVersion: string, kind: string) {
  return { apiVersion, kind, name: object.metadata.name ?? '', uid: object.metadata.uid ?? '', controller: true }
}
