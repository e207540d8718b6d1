import { keptOf } from '../../../src/api/kept.ts'
import { redisPlaceOf, type JobKeyMigration } from '../../../src/api/resource.ts'
import { SpecSchema, type Spec, type SpecInput } from '../../../src/api/schema.ts'
import { StatusSchema, type Status, type StatusCondition } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { publish } from '../../../src/decision/publish.ts'
import { makeScene } from '../../../src/decision/scene.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type {
  Action,
  CheckMeasurement,
  Decision,
  JobObservation,
  Known,
  MemberObservation,
  Observations,
  Outcome,
  PodObservation,
  RecordObservation,
  RedisObservation,
  SoakWindow,
  WorkObservation,
} from '../../../src/decision/types.ts'
import { parseDocument, type RoutingDocument } from '../../../src/protocol/document.ts'
import { routingState, type Phase } from '../../../src/protocol/phases.ts'
import type { PreflightResult, RepairResult, VerifyResult, WorkResult } from '../../../src/protocol/work.ts'

export const T0 = Date.UTC(2026, 0, 1)
export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const CLUSTER = 'cluster-uid'
export const LINEAGE = 'replid-1'

export type Loose<T> = { [K in keyof T]?: T[K] | undefined }

export function specOf(over: Partial<SpecInput> = {}): Spec {
  return SpecSchema.parse({
    targetPhase: 'DualWrite',
    keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' },
    redis: { address: 'redis://redis:6379/0' },
    app: { workloads: [{ kind: 'Deployment', name: 'api' }] },
    slo: { prometheus: { address: 'http://prometheus:9090' }, checks: [CHECK] },
    ...over,
  })
}

export const CHECK = { name: 'errors', query: 'errors', max: 0.01 }

export function resourceOf(
  spec: Spec = specOf(),
  status?: Status,
  over: Partial<JobKeyMigration['metadata']> = {},
): JobKeyMigration {
  return {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name: 'ai-jobs', namespace: 'prod', uid: 'u1', generation: 1, resourceVersion: '1', ...over },
    spec,
    ...(status === undefined ? {} : { status }),
  }
}

export function pod(name: string, over: Partial<PodObservation> = {}): PodObservation {
  return {
    name,
    uid: `uid-${name}`,
    workload: 'Deployment/api',
    template: 't1',
    image: 'api:2',
    phase: 'Running',
    deleting: false,
    startedAt: T0 - HOUR,
    ...over,
  }
}

export function member(name: string, doc?: Pick<RoutingDocument, 'epoch' | 'hash'>): MemberObservation {
  return {
    id: `m-${name}`,
    record: { podUid: `uid-${name}`, podName: name, version: '1.0.0', registeredAt: T0 - HOUR },
    ...(doc === undefined ? {} : { lease: { epoch: doc.epoch, hash: doc.hash } }),
  }
}

export function measure(outcome: Outcome, over: Partial<CheckMeasurement> = {}): CheckMeasurement {
  return { check: 'errors', outcome, worst: [], message: '', query: 'errors', ...over }
}

/** Windows of half a minute, one for each outcome, from `start` on. */
export function windows(start: number, outcomes: readonly Outcome[], length = 30 * SECOND): SoakWindow[] {
  return outcomes.map((outcome, i) => ({
    start: start + i * length,
    end: start + (i + 1) * length,
    measurements: [measure(outcome)],
  }))
}

export function redisOf(over: Loose<RedisObservation> = {}): RedisObservation {
  const whole = {
    now: T0,
    runId: 'run-1',
    lineage: LINEAGE,
    members: [],
    backfilled: false,
    fallbackReads: 0,
    illegalIds: { count: 0 },
    writers: { known: true, value: [] },
    rightsMissing: [],
    ...over,
  }
  return Object.fromEntries(
    Object.entries(whole).filter(([, value]) => value !== undefined),
  ) as unknown as RedisObservation
}

/** Observations in short: what is known may stand bare. */
export type Seen = Partial<Omit<Observations, 'jobs' | 'missingWorkloads'>> & {
  readonly jobs?: Observations['jobs'] | readonly JobObservation[]
  readonly missingWorkloads?: Observations['missingWorkloads'] | readonly string[]
}

function known<T>(value: Known<readonly T[]> | readonly T[] = []): Known<readonly T[]> {
  return 'known' in value ? value : { known: true, value }
}

export function observe({ jobs, missingWorkloads, ...over }: Seen = {}): Observations {
  return {
    cluster: CLUSTER,
    redis: { known: true, value: redisOf() },
    configMap: { known: true, value: { exists: false, immutable: false } },
    rivals: [],
    pods: { known: true, value: [pod('a')] },
    live: true,
    missingWorkloads: known(missingWorkloads),
    jobs: known(jobs),
    work: [],
    windows: [],
    latest: [measure('Pass')],
    ...over,
  }
}

export function recordOf(status: Status, over: Partial<RecordObservation> = {}): RecordObservation {
  const doc = documentIn(status)
  return {
    cluster: CLUSTER,
    owner: 'prod/ai-jobs',
    epoch: doc.epoch,
    revision: status.revision ?? 0,
    hash: doc.hash,
    document: status.routing ?? '',
    kept: keptOf(status),
    ...over,
  }
}

export function documentIn(status: Status): RoutingDocument {
  return parseDocument(status.routing ?? '')
}

export interface Put {
  readonly spec?: Spec
  readonly epoch?: number
  /** Percentage of the phase's ramp. */
  readonly percent?: number
  /** When it was published, ms; convergence is a second later. */
  readonly at?: number
  readonly from?: readonly [Phase, number]
  readonly over?: Loose<Status>
}

/** A status in the middle of a migration: published, converged, fence raised to the epoch before. */
export function statusAt(phase: Phase, put: Put = {}): Status {
  const { spec = specOf(), epoch = 5, percent = 100, at = T0, from } = put
  const scene = makeScene(resourceOf(spec), observe(), redisOf(), at)
  const before: Status = { firstPublishedAt: isoTime(T0 - HOUR), fence: epoch - 1, templates: ['t1'] }
  const published = publish(scene, before, {
    state: routingState(phase, 0, percent),
    epoch,
    from: from === undefined ? undefined : routingState(from[0], 0, from[1]),
    abort: false,
    reason: 'StepTaken',
  })
  const converged = isoTime(at + SECOND)
  const soaks = phase !== 'Legacy'
  return clean({
    ...published,
    convergedAt: converged,
    redisSeen: { address: redisPlaceOf(spec.redis), runId: 'run-1', lineage: LINEAGE, since: isoTime(T0 - HOUR) },
    ...(soaks ? { soakEndsAt: isoTime(at + SECOND + HOUR), soakCountedThrough: converged } : {}),
    ...put.over,
  })
}

/** The world that fits a status: record, ConfigMap, fence, one pod whose client runs the document in force. */
export function worldOf(status: Status, over: Seen = {}, redis: Loose<RedisObservation> = {}): Observations {
  const doc = documentIn(status)
  const value = redisOf({
    fence: status.fence,
    record: recordOf(status),
    members: [member('a', doc)],
    backfilled: status.evidence?.backfill !== undefined,
    ...redis,
  })
  return observe({
    redis: { known: true, value },
    configMap: { known: true, value: { exists: true, immutable: false, document: status.routing ?? '' } },
    ...over,
  })
}

export function clean<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T
}

export function run(
  status: Status | undefined,
  observations: Observations,
  options: { spec?: Spec; now?: number; annotations?: Record<string, string>; generation?: number } = {},
): Decision {
  const { spec = specOf(), now = T0 + MINUTE, annotations, generation = 1 } = options
  const decision = decide(
    resourceOf(spec, status, { generation, ...(annotations === undefined ? {} : { annotations }) }),
    observations,
    now,
  )
  StatusSchema.parse(decision.status)
  return decision
}

export function condition(decision: Pick<Decision, 'status'>, type: string): StatusCondition {
  const found = decision.status.conditions?.find((one) => one.type === type)
  if (found === undefined) throw new Error(`no condition ${type}`)
  return found
}

/** `True Reason` */
export function conditionText(decision: Decision, type: string): string {
  const { status, reason } = condition(decision, type)
  return `${status} ${reason}`
}

export function actionTypes(decision: Decision): Action['type'][] {
  return decision.actions.map(({ type }) => type)
}

export function actionOf<T extends Action['type']>(decision: Decision, type: T): Extract<Action, { type: T }> {
  const found = decision.actions.find((action) => action.type === type)
  if (found === undefined) throw new Error(`no action ${type}, but ${actionTypes(decision).join(', ')}`)
  return found as Extract<Action, { type: T }>
}

export function eventReasons(decision: Decision): string[] {
  return decision.events.map(({ reason }) => reason)
}

export function job(name: string, over: Partial<JobObservation> = {}): JobObservation {
  const [, kind = '', attempt = ''] = /^ai-jobs-([a-z]+)-([0-9]+)$/.exec(name) ?? []
  return {
    name,
    kind: kind as JobObservation['kind'],
    attempt: Number(attempt),
    state: 'Active',
    suspended: false,
    ...over,
  }
}

export function workDone(name: string, result: WorkResult, over: Partial<WorkObservation> = {}): WorkObservation {
  return {
    jobName: name,
    run: 'u1/',
    kind: result.kind,
    state: 'done',
    done: 10,
    total: 10,
    rate: 0,
    pass: 1,
    lineage: LINEAGE,
    epoch: 5,
    result,
    ...over,
  }
}

export function working(name: string, over: Partial<WorkObservation> = {}): WorkObservation {
  const kind = job(name).kind
  return {
    jobName: name,
    run: 'u1/',
    kind,
    state: 'running',
    done: 4,
    total: 10,
    rate: 2,
    pass: 1,
    lineage: LINEAGE,
    epoch: 5,
    ...over,
  }
}

export const PREFLIGHT_OK: PreflightResult = {
  kind: 'preflight',
  blockers: [],
  warnings: [],
  legacy: 3,
  target: 0,
  malformed: 0,
  foreign: 0,
  malformedKeys: [],
  foreignKeys: [],
}

export const BACKFILL_OK: WorkResult = { kind: 'backfill', passes: 2, copied: 3, present: 1, malformed: 0 }

export function verifyResult(over: Partial<VerifyResult> = {}): VerifyResult {
  return {
    kind: 'verify',
    direction: 'TargetToLegacy',
    compared: 4,
    missing: 0,
    different: 0,
    orphan: 0,
    malformed: 0,
    foreign: 0,
    findings: [],
    malformedKeys: [],
    ...over,
  }
}

export function repairResult(over: Partial<RepairResult> = {}): RepairResult {
  return {
    kind: 'repair',
    direction: 'TargetToLegacy',
    copied: 0,
    replaced: 0,
    removed: 0,
    left: 0,
    findings: [],
    leftKeys: [],
    ...over,
  }
}

export const PROOF = { job: 'ai-jobs-verify-1', epoch: 5, at: isoTime(T0) }

/** Evidence based on epoch 5 with these proofs. */
export function proven(...names: ('verifiedTarget' | 'backfill' | 'verifiedBoth')[]): NonNullable<Status['evidence']> {
  return { lineage: LINEAGE, baseEpoch: 5, ...Object.fromEntries(names.map((name) => [name, PROOF])) }
}
