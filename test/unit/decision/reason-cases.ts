import type { Reason } from '../../../src/api/reasons.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status, WorkAccount } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import { verdict, type Verdict } from '../../../src/decision/verdict.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import { outdatedMessage } from '../../../src/operator/crd.ts'
import { skewText } from '../../../src/runtime/skew.ts'
import { brokenVerdict, heldStatus } from '../../../src/operator/stalled.ts'
import type { Decision, RefusedAction } from '../../../src/decision/types.ts'
import type { PreflightResult } from '../../../src/protocol/work.ts'
import {
  BACKFILL_OK,
  clean,
  HOUR,
  job,
  measure,
  member,
  MINUTE,
  observe,
  pod,
  PREFLIGHT_OK,
  PROOF,
  proven,
  recordOf,
  repairResult,
  resourceOf,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  verifyResult,
  windows,
  workDone,
  worldOf,
  type Seen,
} from './builders.ts'

/** Reasons that the operator gives without asking the decision. */
export type Operators =
  'CRDOutdated' | 'ClockSkew' | 'KubernetesRightsMissing' | 'KubernetesUnavailable' | 'OperatorFault'

const account = (over: Partial<WorkAccount> = {}): WorkAccount => ({
  attempt: 1,
  state: 'Active',
  failures: 0,
  ...over,
})
export const legacy = (over: Partial<Status> = {}): Status =>
  clean({ ...statusAt('Legacy', { epoch: 1 }), fence: undefined, ...over })
export const canary = (over: Partial<Status> = {}): Status =>
  statusAt('DualWrite', { percent: 10, from: ['Legacy', 0], over })
export const dual = (over: Partial<Status> = {}): Status =>
  statusAt('DualWrite', { over: { evidence: proven('verifiedTarget'), ...over } })
const inputs = run(legacy(), worldOf(legacy())).status.work?.['preflight']?.inputs ?? ''
export const preflight: Status['preflight'] = { ...PROOF, inputs }
export const done: Partial<Status> = {
  soakLengthMs: 48 * HOUR,
  soakEndsAt: isoTime(T0 + SECOND),
  soakCountedThrough: isoTime(T0 + SECOND),
  convergedAt: isoTime(T0),
}
const fence = (status: Status): Status => ({ ...status, fence: status.epoch })
export const unknown = { known: false, reason: 'x', message: 'no' } as const
export const redisAway = (reason: string): Decision =>
  run(canary(), observe({ redis: { known: false, reason, message: 'no' } }))
export const to = (targetPhase: SpecInput['targetPhase'], over: Partial<SpecInput> = {}) => ({
  spec: specOf({ targetPhase, ...over }),
})
const pods = (...list: ReturnType<typeof pod>[]): Seen => ({ pods: { known: true, value: list } })
const reverted = (over: Partial<Status> = {}) =>
  run(
    canary(over),
    worldOf(canary(), {
      configMap: { known: true, value: { exists: true, immutable: false, foreignManager: 'helm' } },
    }),
  )

/** Each of these actions is due, and the pass before was refused one. */
const refusedWith = (action: RefusedAction['action'], reason: Reason, message: string): Decision => {
  const verify = dual({ evidence: proven() })
  const behind = { fence: 3, record: recordOf(verify, { revision: -1 }) }
  return run(verify, worldOf(verify, { refused: { action, reason, message } }, behind))
}

/** Preflight has found this. */
export const blockedBy = (blockers: PreflightResult['blockers']): Decision => {
  const running = legacy({ work: { preflight: account({ inputs }) } })
  const blocked: PreflightResult = { ...PREFLIGHT_OK, blockers }
  return run(running, worldOf(running, { work: [workDone('ai-jobs-preflight-1', blocked)] }))
}

/** One situation for each reason that the decision can give. */
export const CASES: Readonly<Record<Exclude<Reason, Operators>, () => Decision>> = {
  Aborted: () =>
    run(
      canary({ convergedAt: undefined, soakEndsAt: undefined }),
      worldOf(canary(), {}, { members: [member('a', { epoch: 4, hash: '' })] }),
      to('Legacy'),
    ),
  ActionRefused: () => refusedWith('CreateJob', 'ActionRefused', 'exceeded quota'),
  Adopted: () => run(undefined, worldOf(canary())),
  AnnotationRefused: () => run(canary(), worldOf(canary()), { annotations: { 'keyshift.dev/repair': 'now' } }),
  BackfillComplete: () => {
    const reads = statusAt('ReadRouting', { percent: 50, over: { evidence: proven(), work: { backfill: account() } } })
    return run(reads, worldOf(reads, { work: [workDone('ai-jobs-backfill-1', BACKFILL_OK)] }), to('ReadRouting'))
  },
  BackfillRunning: () => {
    const last = statusAt('BackfillVerify', { over: { evidence: proven(), fence: 5 } })
    return run(last, worldOf(last), to('BackfillVerify'))
  },
  CheckError: () => run(canary(), worldOf(canary(), { latest: [measure('Error')] })),
  CheckFailed: () =>
    run(canary(), worldOf(canary(), { windows: windows(T0 + SECOND, ['Fail', 'Fail', 'Fail', 'Fail']) })),
  CheckFailing: () => run(canary(), worldOf(canary(), { latest: [measure('Fail')] })),
  CheckInconclusive: () => run(canary(), worldOf(canary(), { latest: [measure('Inconclusive')] })),
  ChecksDisabled: () => run(canary(), worldOf(canary()), to('DualWrite', { slo: { disabled: true } })),
  ChecksPass: () => run(canary(), worldOf(canary())),
  ChecksPending: () => run(canary(), worldOf(canary(), { latest: [] })),
  ConfigMapContested: () => reverted({ reverts: { count: 2, at: isoTime(T0 + 40 * SECOND), manager: 'helm' } }),
  ConfigMapImmutable: () =>
    run(canary(), worldOf(canary(), { configMap: { known: true, value: { exists: true, immutable: true } } })),
  ConfigMapReverted: () => reverted(),
  ConfigMapUnknown: () => run(canary(), worldOf(canary(), { configMap: unknown })),
  Converged: () => run(canary(), worldOf(canary())),
  EvidenceVoid: () => run(dual(), worldOf(dual(), {}, { lineage: 'other' })),
  FenceNotConfirmed: () => refusedWith('RaiseFence', 'FenceNotConfirmed', '0 of 1 replicas have it'),
  FirstPublished: () => run(undefined, observe()),
  ForeignWriters: () =>
    run(
      dual(done),
      worldOf(dual(done), {}, { writers: { known: true, value: ['user=cron addr=10.0.0.9'] } }),
      to('ReadRouting'),
    ),
  HeldByOther: () =>
    run(
      undefined,
      observe({
        rivals: [{ owner: 'prod/first', uid: 'u0', createdAt: 0, sharesConfigMap: true, sharesKeys: true }],
      }),
    ),
  IllegalIds: () => {
    const ready = legacy({ preflight })
    const illegalIds = { count: 7, ageMs: MINUTE, example: 'report:1', member: 'm-a' }
    return run(ready, worldOf(ready, {}, { illegalIds }))
  },
  InvalidSpec: () =>
    run(undefined, observe(), { spec: specOf({ keys: { legacy: 'a:{job_id}', target: 'a:{job_id}{w}' } }) }),
  JobFailed: () => {
    const held = dual({
      evidence: proven(),
      work: { verify: account({ state: 'Held', direction: 'TargetToLegacy', failures: 5, reason: 'JobFailed' }) },
    })
    return run(held, worldOf(held))
  },
  JobEnded: () => {
    const running = dual({ evidence: proven(), work: { verify: account({ direction: 'TargetToLegacy' }) } })
    const jobs = [job('ai-jobs-verify-1', { overstays: 'container mesh keeps pod p running' })]
    return run(running, worldOf(running, { jobs, work: [workDone('ai-jobs-verify-1', verifyResult())] }))
  },
  JobPending: () => {
    const running = dual({ evidence: proven(), work: { verify: account({ direction: 'TargetToLegacy' }) } })
    return run(running, worldOf(running, { jobs: [job('ai-jobs-verify-1', { message: 'no node fits' })] }))
  },
  JobRetry: () => {
    const lost = dual({ evidence: proven(), work: { verify: account({ direction: 'TargetToLegacy' }) } })
    return run(lost, worldOf(lost))
  },
  JobsUnknown: () => run(canary(), worldOf(canary(), { jobs: unknown })),
  MembersBehind: () =>
    run(canary({ convergedAt: undefined }), worldOf(canary(), {}, { members: [member('a', { epoch: 4, hash: 'x' })] })),
  NoLegacyKeys: () => {
    const reads = statusAt('ReadRouting', {
      percent: 50,
      over: { evidence: proven('verifiedTarget'), fence: 5, work: { backfill: account() } },
    })
    const none = { ...BACKFILL_OK, copied: 0, present: 0 }
    return run(reads, worldOf(reads, { work: [workDone('ai-jobs-backfill-1', none)] }), to('ReadRouting'))
  },
  NoMembers: () => {
    const alone = legacy({ templates: undefined, convergedAt: undefined })
    return run(alone, worldOf(alone, pods(), { members: [] }))
  },
  NotPaused: () => run(canary(), worldOf(canary())),
  NotStarted: () => run(canary(), worldOf(canary())),
  Paused: () => run(canary(), worldOf(canary()), to('DualWrite', { paused: true })),
  PodsJoining: () => run(canary(), worldOf(canary(), pods(pod('a'), pod('b', { startedAt: T0 })))),
  PodsLapsed: () => run(canary(), worldOf(canary(), {}, { members: [member('a')] })),
  PodsUnknown: () => run(canary(), worldOf(canary(), { pods: unknown })),
  PodsVanished: () => {
    const seen = run(canary(), worldOf(canary(), pods(pod('a'), pod('b', { template: 't9', startedAt: T0 }))))
    return run(seen.status, worldOf(seen.status))
  },
  PreflightBlocked: () => blockedBy([{ reason: 'EvictionPolicy', message: 'maxmemory-policy is allkeys-lru' }]),
  PreflightPassed: () => {
    const running = legacy({ work: { preflight: account({ inputs }) } })
    return run(running, worldOf(running, { work: [workDone('ai-jobs-preflight-1', PREFLIGHT_OK)] }))
  },
  PreflightRunning: () => run(legacy(), worldOf(legacy())),
  Publishing: () => run(undefined, observe()),
  PurgeRunning: () => {
    const ready = legacy({ preflight })
    return run(ready, worldOf(ready), { annotations: { 'keyshift.dev/purge': '1' } })
  },
  Purged: () => {
    const running = legacy({ preflight, work: { purge: account({ inputs: '1' }) } })
    const work = [workDone('ai-jobs-purge-1', { kind: 'purge', deleted: 2 })]
    return run(running, worldOf(running, { work }), { annotations: { 'keyshift.dev/purge': '1' } })
  },
  RaisingFence: () => run(legacy({ preflight }), worldOf(legacy({ preflight }))),
  RecordRefused: () => refusedWith('WriteRecord', 'RecordRefused', 'the record stands at epoch 7 already'),
  RedisAuthFailed: () => redisAway('RedisAuthFailed'),
  RedisBusy: () => redisAway('RedisBusy'),
  RedisCannotSave: () => redisAway('RedisCannotSave'),
  RedisDataLost: () => run(canary(), worldOf(canary(), {}, { record: undefined, fence: undefined })),
  RedisLoading: () => redisAway('RedisLoading'),
  RedisNotPrimary: () => redisAway('RedisNotPrimary'),
  RedisRefused: () => redisAway('RedisRefused'),
  RedisOutOfMemory: () => redisAway('RedisOutOfMemory'),
  RedisRightsMissing: () => redisAway('RedisRightsMissing'),
  RedisTooFewReplicas: () => redisAway('RedisTooFewReplicas'),
  RedisTooManyClients: () => redisAway('RedisTooManyClients'),
  RedisSentinelFailed: () => redisAway('RedisSentinelFailed'),
  RedisTlsFailed: () => redisAway('RedisTlsFailed'),
  RedisUnreachable: () => redisAway('a reason that nobody knows'),
  Redocumented: () => {
    const fenced = fence(canary())
    const keys = { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', queues: [{ key: 'q' }] }
    return run(fenced, worldOf(fenced), to('DualWrite', { keys }))
  },
  RepairRunning: () => {
    const failed = dual({ evidence: proven() })
    return run(failed, worldOf(failed), { annotations: { 'keyshift.dev/repair': '1' } })
  },
  Repaired: () => {
    const running = dual({
      evidence: proven(),
      work: { repair: account({ direction: 'TargetToLegacy', inputs: '1' }) },
    })
    const work = [workDone('ai-jobs-repair-1', repairResult({ removed: 1 }))]
    return run(running, worldOf(running, { work }), { annotations: { 'keyshift.dev/repair': '1' } })
  },
  SecretMissing: () => redisAway('SecretMissing'),
  SecretUnreadable: () => redisAway('SecretUnreadable'),
  Soaking: () => run(canary(), worldOf(canary())),
  StateConflict: () => run(canary(), worldOf(canary(), {}, { fence: 9 })),
  StepDue: () => run(legacy({ preflight }), worldOf(legacy({ preflight }), { live: false })),
  StepTaken: () => run(fence(legacy({ preflight })), worldOf(fence(legacy({ preflight })))),
  SteppedBack: () => run(fence(canary()), worldOf(fence(canary())), to('Legacy')),
  SteppingBack: () =>
    run(canary(), worldOf(canary(), {}, { members: [member('a', { epoch: 4, hash: 'x' })] }), to('Legacy')),
  TargetReached: () => run(canary(done), worldOf(canary(done)), to('DualWrite', { canaryPercentage: 10 })),
  UnawarePod: () => run(canary(), worldOf(canary(), pods(pod('a'), pod('old', { template: 't0' })))),
  Unlatched: () => {
    const failed: Status['failed'] = {
      phase: 'DualWrite',
      step: 0,
      generation: 1,
      reason: 'CheckFailed',
      message: 'x',
      at: isoTime(T0),
      destination: 'DualWrite',
      targetPhase: 'ReadRouting',
      canaryPercentage: 100,
    }
    return run(canary({ failed }), worldOf(canary()))
  },
  Verified: () => run(dual(), worldOf(dual())),
  VerifyFailed: () => {
    const running = dual({ evidence: proven(), work: { verify: account({ direction: 'TargetToLegacy' }) } })
    return run(running, worldOf(running, { work: [workDone('ai-jobs-verify-1', verifyResult({ orphan: 1 }))] }))
  },
  VerifyRunning: () => run(dual({ evidence: proven() }), worldOf(dual({ evidence: proven() }))),
  WorkloadMissing: () => run(legacy(), worldOf(legacy(), { missingWorkloads: ['Deployment/api'] })),
  WorkloadsUnknown: () => run(legacy(), worldOf(legacy(), { missingWorkloads: unknown })),
  WritersUnknown: () =>
    run(
      dual(done),
      worldOf(dual(done), {}, { writers: { ...unknown, message: 'a proxy hides them' } }),
      to('ReadRouting'),
    ),
}

const heldBy = (held: Verdict | undefined): Status => {
  if (held === undefined) throw new Error('nothing is said')
  return heldStatus(resourceOf(specOf(), run(canary(), worldOf(canary())).status), held, T0)
}
const kube = (status: number) =>
  new KubeError({ status, reason: 'x', message: `GET /api/v1/x: ${status}: no, not that` })

/** The status where the operator cannot even ask the decision. */
export const OPERATORS: Readonly<Record<Operators, () => Status>> = {
  CRDOutdated: () => heldBy(verdict('stalled', 'CRDOutdated', outdatedMessage(['status.epoch']))),
  ClockSkew: () => heldBy(verdict('stalled', 'ClockSkew', skewText(3_600_000, 'the API server'))),
  KubernetesRightsMissing: () => heldBy(brokenVerdict(kube(403), 0)),
  KubernetesUnavailable: () => heldBy(brokenVerdict(kube(503), 60_000)),
  OperatorFault: () => heldBy(brokenVerdict(new TypeError('x'), 0)),
}

/** The status of a resource in the situation of each reason. */
export const STATUSES: Readonly<Record<Reason, () => Status>> = {
  ...(Object.fromEntries(Object.entries(CASES).map(([reason, of]) => [reason, () => of().status])) as Record<
    keyof typeof CASES,
    () => Status
  >),
  ...OPERATORS,
}
