/** The operator of a torture: the real decision, and what it asks for carried out on the real Redis, without Kubernetes. */
import { ANNOTATIONS, API_VERSION, KIND, type JobKeyMigration } from '../../src/api/resource.ts'
import { SpecSchema, type Spec, type SpecInput } from '../../src/api/schema.ts'
import { StatusSchema, type Status } from '../../src/api/status.ts'
import { compareStates } from '../../src/decision/ladder.ts'
import { decide } from '../../src/decision/decide.ts'
import { documentOf, stateOf } from '../../src/decision/scene.ts'
import type { Action, Observations, PodObservation } from '../../src/decision/types.ts'
import { recordOf } from '../../src/operator/execute/record.ts'
import { observeRedis, observeWork } from '../../src/operator/gather/redis.ts'
import { CONNECTION_NAME, controlKeys } from '../../src/protocol/control-keys.ts'
import type { RoutingDocument } from '../../src/protocol/document.ts'
import type { Phase } from '../../src/protocol/phases.ts'
import { controlPrefix } from '../../src/protocol/templates.ts'
import { parseRedisPlace } from '../../src/redis/address.ts'
import { Connection } from '../../src/redis/connection.ts'
import {
  deleteWork,
  markBackfilled,
  pruneMembers,
  raiseFence,
  startWork,
  writeRecord,
} from '../../src/redis/control.ts'
import { KeyshiftError } from '../../src/redis/errors.ts'
import { LEGACY, QUEUES, TARGET } from './jobs.ts'
import type { Workers } from './world/workers.ts'

export const CONTROL_PREFIX = controlPrefix(LEGACY, TARGET)
const KEYS = controlKeys(CONTROL_PREFIX)
const CLUSTER = 'torture'
const OWNER = 'torture/jobs'
const CALL = { deadlineMs: 5000 }
/** Nobody else is connected, and everyone has every right. */
const OTHERS = { writers: { known: true, value: [] }, rightsMissing: [] } as const
const PASS_MS = 100
/** Statuses kept, for a restore of an old one. */
const KEPT = 50

export interface OperatorOptions {
  /** For connections, and in the spec. */
  readonly redis: string
  readonly redisSpec: SpecInput['redis']
  readonly workers: Workers
  readonly pods: () => readonly PodObservation[]
  readonly publish: (document: string) => void
  readonly onStep: (from: RoutingDocument | undefined, to: RoutingDocument) => void
  /** What was proven of the data is void because of this. */
  readonly onVoid: (why: string) => void
  /** Verify has found differences between the schemas. */
  readonly onDifferences: (found: string) => void
}

/** Where the walk shall go. */
export interface Aim {
  readonly targetPhase: Phase
  readonly canaryPercentage: number
}

export class TortureOperator {
  readonly #options: OperatorOptions
  readonly #connection: Connection
  #spec: Spec
  #status: Status | undefined
  #past: Status[] = []
  #configMap: string | undefined
  #annotations: Record<string, string> = {}
  #generation = 1
  #diesAfter = Infinity
  #paused = false
  #pass: Promise<void> = Promise.resolve()
  #stopped = false
  #loop: Promise<void> | undefined

  constructor(options: OperatorOptions, aim: Aim) {
    this.#options = options
    this.#connection = new Connection({ address: parseRedisPlace(options.redis), name: CONNECTION_NAME.operator })
    this.#spec = specOf(aim, options.redisSpec)
  }

  get status(): Status | undefined {
    return this.#status
  }

  get document(): RoutingDocument | undefined {
    return documentOf(this.#status?.routing)
  }

  /** What it waits for, for people. */
  get awaits(): string {
    return this.#status?.awaits ?? ''
  }

  aim(aim: Aim): void {
    this.#spec = specOf(aim, this.#options.redisSpec)
    this.#generation += 1
  }

  annotate(name: 'retry' | 'purge' | 'repair', value: string): void {
    this.#annotations = { ...this.#annotations, [ANNOTATIONS[name]]: value }
  }

  /** The next pass that does something ends after so many actions, as if the process had died there. */
  die(actions: number): void {
    this.#diesAfter = actions
  }

  /** A restore brings back the status of some passes ago, or none. */
  restore(passes: number | undefined): void {
    this.#status = passes === undefined ? undefined : (this.#past.at(-passes) ?? this.#past[0])
  }

  start(): void {
    this.#loop = this.#run()
  }

  /** No pass runs, and none begins until `resume`. */
  async pause(): Promise<void> {
    this.#paused = true
    await this.#pass
  }

  resume(): void {
    this.#paused = false
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#connection.close()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (!this.#paused) {
        this.#pass = this.#once()
        await this.#pass
      }
      await new Promise((resolve) => setTimeout(resolve, PASS_MS))
    }
  }

  async #once(): Promise<void> {
    const resource = this.#resource()
    const seen = await this.#observe(resource)
    let decision = decide(resource, seen, Date.now())
    if (decision.wantsLive) decision = decide(resource, { ...(await this.#observe(resource)), live: true }, Date.now())
    if (this.#stopped) return
    const before = this.document
    if (decision.guard !== undefined && !(await this.#carryOut(decision.guard))) return
    const voided = this.#status?.evidence?.voided
    const held = this.#status?.work?.['verify']?.since
    // As the API server would give it back.
    this.#status = StatusSchema.parse(JSON.parse(JSON.stringify(decision.status)))
    this.#past = [...this.#past, this.#status].slice(-KEPT)
    const verify = this.#status.work?.['verify']
    if (verify?.reason === 'VerifyFailed' && verify.since !== held) this.#options.onDifferences(verify.message ?? '')
    const why = this.#status.evidence?.voided
    if (why !== undefined && why !== voided) this.#options.onVoid(why)
    const now = this.document
    if (now !== undefined && now.epoch !== before?.epoch) this.#options.onStep(before, now)
    for (const action of decision.actions) {
      if ((this.#diesAfter -= 1) < 0) {
        this.#diesAfter = Infinity
        return
      }
      if (!(await this.#carryOut(action))) return
    }
  }

  #resource(): JobKeyMigration {
    return {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: {
        name: 'jobs',
        namespace: 'torture',
        uid: 'torture-uid',
        generation: this.#generation,
        resourceVersion: '1',
        annotations: this.#annotations,
      },
      spec: this.#spec,
      ...(this.#status === undefined ? {} : { status: this.#status }),
    }
  }

  async #observe(resource: JobKeyMigration): Promise<Observations> {
    // Before their work: a Job seen to have ended has its last word there.
    const jobs = this.#options.workers.observe()
    const configMap = { exists: this.#configMap !== undefined, immutable: false }
    const document = this.#configMap === undefined ? {} : { document: this.#configMap }
    const { redis, work } = await this.#ask(
      resource,
      jobs.map(({ name }) => name),
    )
    return {
      cluster: CLUSTER,
      pods: { known: true, value: this.#options.pods() },
      redis,
      configMap: { known: true, value: { ...configMap, ...document } },
      live: false,
      missingWorkloads: { known: true, value: [] },
      jobs: { known: true, value: jobs },
      work,
      windows: [],
      rivals: [],
      latest: [],
    }
  }

  async #ask(resource: JobKeyMigration, jobs: readonly string[]): Promise<Pick<Observations, 'redis' | 'work'>> {
    try {
      const value = await observeRedis(this.#connection, resource, () => Promise.resolve(OTHERS))
      return { redis: { known: true, value }, work: await observeWork(this.#connection, resource, jobs) }
    } catch (error) {
      if (!(error instanceof KeyshiftError)) throw error
      return { redis: { known: false, reason: 'RedisUnreachable', message: error.message }, work: [] }
    }
  }

  /** False: it failed, the pass ends and the next one decides anew. */
  async #carryOut(action: Action): Promise<boolean> {
    try {
      return await this.#act(action)
    } catch (error) {
      if (error instanceof KeyshiftError) return false
      throw error
    }
  }

  async #act(action: Action): Promise<boolean> {
    const c = this.#connection
    const { workers, redis } = this.#options
    switch (action.type) {
      case 'WriteRecord': {
        const record = recordOf(this.#status ?? {}, action.document, CLUSTER, OWNER)
        return (await writeRecord(c, KEYS, record, { ...CALL, takeOver: action.takeOver === true })).ok
      }
      case 'ApplyConfigMap':
        this.#configMap = action.document
        this.#options.publish(action.document)
        return true
      case 'RaiseFence': {
        const raised = await raiseFence(c, KEYS, action.epoch, CALL)
        const confirmed = raised.confirmed && (action.lineage ?? raised.lineage) === raised.lineage
        if (confirmed) this.#status = { ...this.#status, fence: action.epoch }
        return confirmed
      }
      case 'CreateJob': {
        const { jobName, run } = action.work
        await startWork(c, KEYS, { jobName, run, resumes: action.resumes }, CALL)
        workers.create(action, redis)
        return true
      }
      case 'SuspendJob':
        workers.suspend(action.name, action.suspend)
        return true
      case 'DeleteJob':
        workers.delete(action.name)
        if (!action.keepsWork) await deleteWork(c, KEYS, action.name, CALL)
        return true
      case 'MarkBackfilled':
        await markBackfilled(c, KEYS, action.on, CALL)
        return true
      case 'PruneMembers':
        await pruneMembers(c, KEYS, action.ids, CALL)
        return true
    }
  }
}

export function wentBack(from: RoutingDocument | undefined, to: RoutingDocument): boolean {
  return from !== undefined && compareStates(stateOf(to), stateOf(from)) < 0
}

function specOf({ targetPhase, canaryPercentage }: Aim, redis: SpecInput['redis']): Spec {
  return SpecSchema.parse({
    targetPhase,
    canaryPercentage,
    keys: {
      legacy: LEGACY,
      target: TARGET,
      allowEmpty: true,
      idWindow: '0s',
      queues: Object.values(QUEUES).map((key) => ({ key })),
    },
    redis: { ...redis, observers: ['*'] },
    app: { workloads: [{ kind: 'Deployment', name: 'app' }], joinTimeout: '1s' },
    phases: {
      dualWrite: { steps: [{ percent: 50, soak: '0s' }] },
      readRouting: { steps: [{ percent: 50, soak: '0s' }] },
      backfillVerify: { soak: '0s' },
    },
    slo: { disabled: true },
    worker: { maxKeysPerSecond: 1000 },
  })
}
