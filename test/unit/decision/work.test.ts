import type { Status, WorkAccount } from '../../../src/api/status.ts'
import { jobName, MOST_ATTEMPTS } from '../../../src/decision/accounts.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type {
  Decision,
  JobObservation,
  Observations,
  PodObservation,
  WorkObservation,
} from '../../../src/decision/types.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { redisOf } from './builders.ts'
import {
  actionOf,
  actionTypes,
  BACKFILL_OK,
  clean,
  condition,
  conditionText,
  eventReasons,
  HOUR,
  job,
  LINEAGE,
  MINUTE,
  member,
  pod,
  PREFLIGHT_OK,
  PROOF,
  proven,
  repairResult,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  verifyResult,
  workDone,
  working,
  worldOf,
  type Seen,
} from './builders.ts'

const account = (over: Partial<WorkAccount> = {}): WorkAccount => ({
  attempt: 1,
  state: 'Active',
  failures: 0,
  ...over,
})
const legacy = (over: Partial<Status> = {}): Status =>
  clean({ ...statusAt('Legacy', { epoch: 1 }), fence: undefined, ...over })
const seen = (
  status: Status,
  jobs: readonly JobObservation[] = [],
  work: readonly WorkObservation[] = [],
  over: Seen = {},
): Observations => worldOf(status, { jobs, work, ...over })
const failed = (name: string): JobObservation => job(name, { state: 'Failed', message: 'BackoffLimitExceeded' })

function workOf(decision: Decision, kind: string): WorkAccount | undefined {
  return decision.status.work?.[kind]
}

describe('which Job is due', () => {
  const at = (status: Status, over: Partial<SpecInput> = {}, observations = seen(status)): string[] => {
    const decision = run(status, observations, { spec: specOf({ targetPhase: 'BackfillVerify', ...over }) })
    return decision.actions.flatMap((action) =>
      action.type === 'CreateJob' ? [`${action.work.jobName} ${action.work.direction ?? ''}`.trim()] : [],
    )
  }
  const dual = (over: Partial<Status> = {}) => statusAt('DualWrite', { over: { evidence: proven(), ...over } })
  const reads = (over: Partial<Status> = {}) =>
    statusAt('ReadRouting', { percent: 50, over: { evidence: proven('verifiedTarget'), fence: 5, ...over } })
  const last = (over: Partial<Status> = {}) =>
    statusAt('BackfillVerify', { over: { evidence: proven('verifiedTarget'), fence: 5, ...over } })

  test.each<[string, Status, string[], Partial<SpecInput>?]>([
    ['preflight in Legacy, also before a client has come', legacy({ convergedAt: undefined }), ['ai-jobs-preflight-1']],
    ['preflight in Legacy although that is the target', legacy(), ['ai-jobs-preflight-1'], { targetPhase: 'Legacy' }],
    ['nothing in a canary', statusAt('DualWrite', { percent: 50 }), []],
    ['verify of the target keys at DualWrite 100 %', dual(), ['ai-jobs-verify-1 TargetToLegacy']],
    ['nothing before the epoch has converged', dual({ convergedAt: undefined, templates: undefined }), []],
    ['nothing at DualWrite 100 % once that is verified', dual({ evidence: proven('verifiedTarget') }), []],
    ['backfill in ReadRouting', reads(), ['ai-jobs-backfill-1']],
    [
      'verify again in ReadRouting where it went void',
      reads({ evidence: proven() }),
      ['ai-jobs-backfill-1', 'ai-jobs-verify-1 TargetToLegacy'],
    ],
    ['nothing in ReadRouting once backfilled', reads({ evidence: proven('verifiedTarget', 'backfill') }), []],
    ['backfill in BackfillVerify where it is not complete', last(), ['ai-jobs-backfill-1']],
    [
      'verify of both sides in BackfillVerify once backfilled',
      last({ evidence: proven('backfill') }),
      ['ai-jobs-verify-1 Both'],
    ],
    ['nothing once both sides are verified', last({ evidence: proven('backfill', 'verifiedBoth') }), []],
    ['nothing on the way back', dual(), [], { targetPhase: 'Legacy' }],
    ['no Job while paused', dual(), [], { paused: true }],
  ])('%s', (_, status, expected, over = {}) => {
    const observations =
      status.convergedAt === undefined
        ? seen(status, [], [], { pods: { known: true, value: [pod('n', { startedAt: T0 })] } })
        : seen(status)
    expect(at(status, over, observations)).toEqual(expected)
  })

  test('nothing while the fence lets in epochs from before all creates went to both schemas', () => {
    const status = reads({ fence: 4 })
    expect(at(status, {}, worldOf(status, {}, { fence: 4 }))).toEqual([])
    const unfenced = last({ evidence: proven('backfill'), fence: undefined })
    expect(at(unfenced, {}, worldOf(unfenced, {}, { fence: undefined }))).toEqual([])
  })

  test('nothing while the record is not that of the epoch: a worker asks it for the phase', () => {
    const status = dual()
    expect(at(status, {}, worldOf(status, {}, { record: undefined }))).toEqual([])
  })

  test('the Job gets all that the worker needs, and no credentials', () => {
    const spec = specOf({
      targetPhase: 'DualWrite',
      keys: {
        legacy: 'ai:job:{job_id}',
        target: 'ai:job:{workspace_id}:{job_id}',
        ignore: ['ai:job:*:progress'],
        queues: [{ key: 'ai:queue' }],
        onMalformed: 'Quarantine',
      },
      redis: { address: 'redis://redis:6379/2', assume: { maxmemory: 100, maxmemoryPolicy: 'noeviction' } },
      worker: { maxKeysPerSecond: 7, maxRedisLatency: '3ms' },
    })
    const status = clean({ ...statusAt('Legacy', { epoch: 1, spec }), fence: undefined })
    expect(actionOf(run(status, seen(status), { spec }), 'CreateJob')).toEqual({
      type: 'CreateJob',
      attempt: 1,
      suspend: false,
      work: {
        jobName: 'ai-jobs-preflight-1',
        run: 'u1/2026-01-01T00:01:00.000Z',
        kind: 'preflight',
        legacy: 'ai:job:{job_id}',
        target: 'ai:job:{workspace_id}:{job_id}',
        workspaceField: 'workspace_id',
        ignore: ['ai:job:*:progress'],
        allowEmpty: false,
        onMalformed: 'Quarantine',
        allowTarget: false,
        queues: ['ai:queue'],
        redis: 'redis://redis:6379/2',
        maxKeysPerSecond: 7,
        maxRedisLatencyMs: 3,
        assume: { maxmemory: 100, maxmemoryPolicy: 'noeviction' },
      },
    })
  })

  test('preflight expects target keys where an earlier run may have left some', () => {
    const status = statusAt('Legacy', { epoch: 5 })
    expect(actionOf(run(status, seen(status)), 'CreateJob').work.allowTarget).toBe(true)
  })

  test('a name of 40 characters still gives a name of a Job', () => {
    expect(jobName('x'.repeat(40), 'preflight', 999_999_999_999).length).toBeLessThanOrEqual(63)
  })
})

describe('preflight', () => {
  const inputs = workOf(run(legacy(), seen(legacy())), 'preflight')?.inputs ?? ''
  const running = legacy({ work: { preflight: account({ inputs }) } })
  const at = (result = PREFLIGHT_OK, now = T0 + MINUTE, status = running) =>
    run(status, seen(status, [job('ai-jobs-preflight-1')], [workDone('ai-jobs-preflight-1', result)]), { now })
  const blocked = {
    ...PREFLIGHT_OK,
    blockers: [
      { reason: 'Malformed', message: '2 jobs without workspace_id' },
      { reason: 'NoEviction', message: 'maxmemory-policy is allkeys-lru' },
    ],
    malformed: 2,
    malformedKeys: [{ key: 'ai:job:1', why: 'no workspace_id' }],
  }

  test('without blockers is recorded, with its warnings in the Event', () => {
    const warned = { ...PREFLIGHT_OK, warnings: [{ reason: 'Persistence', message: 'appendonly is off' }] }
    const decision = at(warned)
    expect(decision.status.preflight).toEqual({
      job: 'ai-jobs-preflight-1',
      epoch: 5,
      at: isoTime(T0 + MINUTE),
      inputs,
    })
    expect(workOf(decision, 'preflight')).toEqual({ attempt: 1, state: 'Recorded', failures: 0 })
    expect(eventReasons(decision)).toContain('PreflightPassed')
    expect(decision.events.find(({ reason }) => reason === 'PreflightPassed')?.message).toContain('appendonly is off')
  })

  test('with blockers holds, and lists them and the malformed jobs', () => {
    const decision = at(blocked)
    expect(conditionText(decision, 'Stalled')).toBe('True PreflightBlocked')
    expect(decision.status.awaits).toContain('Malformed: 2 jobs without workspace_id')
    expect(decision.status.awaits).toContain('NoEviction')
    expect(decision.status.malformed).toEqual({ count: 2, keys: ['ai:job:1 (no workspace_id)'] })
    expect(decision.status.preflight).toBeUndefined()
  })

  const held = at(blocked).status
  test.each<[string, Parameters<typeof run>[2]]>([
    [
      'the spec changes in what it looks at',
      {
        spec: specOf({
          keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', onMalformed: 'Quarantine' },
        }),
      },
    ],
    ['the retry annotation gets a new value', { annotations: { 'keyshift.dev/retry': '1' } }],
    ['five minutes are over', { now: T0 + 6 * MINUTE }],
  ])('with blockers runs again when %s', (_, options) => {
    const decision = run(held, seen(held), { now: T0 + 2 * MINUTE, ...options })
    expect(actionOf(decision, 'CreateJob').work.jobName).toBe('ai-jobs-preflight-2')
  })

  test('with blockers does not run again for a change that it does not look at', () => {
    const decision = run(held, seen(held), { now: T0 + 2 * MINUTE, spec: specOf({ targetPhase: 'ReadRouting' }) })
    expect(actionTypes(decision)).not.toContain('CreateJob')
    expect(conditionText(decision, 'Stalled')).toBe('True PreflightBlocked')
  })

  test('older than an hour runs again before Legacy is left, not while it is the target', () => {
    const old = legacy({ preflight: { ...PROOF, inputs }, work: { preflight: account({ state: 'Recorded' }) } })
    const now = T0 + HOUR
    expect(actionOf(run(old, seen(old), { now }), 'CreateJob').work.jobName).toBe('ai-jobs-preflight-2')
    const rests = run(old, seen(old), { now, spec: specOf({ targetPhase: 'Legacy' }) })
    expect(actionTypes(rests)).not.toContain('CreateJob')
    expect(conditionText(rests, 'TargetReached')).toBe('True TargetReached')
  })

  test('runs again once pods without the client are gone: they may have made jobs of any id since', () => {
    const old = { known: true, value: [pod('a'), pod('o', { template: 't0' })] } as const
    const beside = run(legacy(), seen(legacy(), [], [], { pods: old }))
    const found = legacy({ preflight: { ...PROOF, inputs: workOf(beside, 'preflight')?.inputs ?? '' } })
    expect(actionTypes(run(found, seen(found, [], [], { pods: old })))).not.toContain('CreateJob')
    expect(actionTypes(run(found, seen(found)))).toContain('CreateJob')
  })

  test('of a spec that has changed meanwhile is given up for a new one', () => {
    const outdated = legacy({ work: { preflight: account({ inputs: 'old' }) } })
    const decision = run(outdated, seen(outdated, [job('ai-jobs-preflight-1')]))
    expect(actionOf(decision, 'CreateJob').work.jobName).toBe('ai-jobs-preflight-2')
    expect(actionOf(decision, 'DeleteJob').name).toBe('ai-jobs-preflight-1')
  })

  test('with an unreadable time is taken for old', () => {
    const odd = legacy({ preflight: { ...PROOF, at: 'x', inputs } })
    expect(actionTypes(run(odd, seen(odd)))).toContain('CreateJob')
  })

  test('found no malformed job any more: the list is gone', () => {
    const decision = at(
      PREFLIGHT_OK,
      T0 + MINUTE,
      legacy({ malformed: { count: 2, keys: [] }, work: { preflight: account() } }),
    )
    expect(decision.status.malformed).toBeUndefined()
  })

  test('runs anew in a Legacy that was walked back to', () => {
    const dual: Status = {
      ...statusAt('DualWrite', { percent: 10, over: { preflight: { ...PROOF, inputs } } }),
      fence: 5,
    }
    expect(run(dual, worldOf(dual), { spec: specOf({ targetPhase: 'Legacy' }) }).status.preflight).toBeUndefined()
  })
})

describe('an attempt', () => {
  const dual = (verify: Partial<WorkAccount>): Status =>
    statusAt('DualWrite', {
      over: { evidence: proven(), work: { verify: account({ direction: 'TargetToLegacy', ...verify }) } },
    })
  const go = (
    status: Status,
    jobs: JobObservation[],
    work: WorkObservation[] = [],
    options: Parameters<typeof run>[2] = {},
  ) => run(status, seen(status, jobs, work), options)
  const name = 'ai-jobs-verify-1'

  test('asked for is made again until it is seen: the operator may have died in between', () => {
    expect(actionOf(go(dual({ state: 'Creating' }), []), 'CreateJob').work.jobName).toBe(name)
  })

  test('seen is active', () => {
    const decision = go(dual({ state: 'Creating' }), [job(name)])
    expect(workOf(decision, 'verify')?.state).toBe('Active')
    expect(actionTypes(decision)).not.toContain('CreateJob')
  })

  test('whose Job has succeeded without a result proves nothing', () => {
    const decision = go(dual({}), [job(name, { state: 'Succeeded' })])
    expect(workOf(decision, 'verify')).toMatchObject({
      state: 'Waiting',
      failures: 1,
      message: 'its Job ended without a result',
    })
    expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
    expect(eventReasons(decision)).toContain('JobRetry')
    expect(conditionText(decision, 'Ready')).toBe('False JobRetry')
  })

  test.each<[string, JobObservation[], WorkObservation[], string]>([
    ['O7: is gone without a result', [], [], 'its Job is gone'],
    ['has failed', [failed(name)], [], 'BackoffLimitExceeded'],
    [
      'has failed and says why',
      [failed(name)],
      [working(name, { state: 'failed', error: 'no right to COPY' })],
      'no right to COPY (BackoffLimitExceeded)',
    ],
    ['is gone in the middle of its work', [], [working(name)], 'its Job is gone'],
    [
      'is done with a result that cannot be read',
      [failed(name)],
      [clean({ ...working(name, { state: 'done' }), result: undefined as never })],
      'BackoffLimitExceeded',
    ],
  ])('%s: the next one has another number, after a while', (_, jobs, work, message) => {
    const decision = go(dual({}), jobs, work)
    expect(workOf(decision, 'verify')).toMatchObject({
      attempt: 1,
      state: 'Waiting',
      failures: 1,
      reason: 'JobFailed',
      message,
    })
    const soon = go(decision.status, jobs, work, { now: T0 + MINUTE + 9 * SECOND })
    expect(actionTypes(soon)).not.toContain('CreateJob')
    const then = go(decision.status, jobs, work, { now: T0 + MINUTE + 10 * SECOND })
    expect(actionOf(then, 'CreateJob').work.jobName).toBe('ai-jobs-verify-2')
    expect(workOf(then, 'verify')).toMatchObject({ attempt: 2, failures: 1, resumes: 1 })
    expect(actionOf(then, 'CreateJob')).toMatchObject({ resumes: 'ai-jobs-verify-1' })
  })

  test('that Redis refused is tried again however often, with what it waits for', () => {
    const refused = working(name, { state: 'refused', error: 'given up after 120 s: OOM' })
    const decision = go(dual({ failures: MOST_ATTEMPTS - 1 }), [failed(name)], [refused])
    expect(workOf(decision, 'verify')).toMatchObject({ state: 'Waiting', failures: MOST_ATTEMPTS - 1 })
    expect(decision.status.awaits).toContain('verify is tried again: given up after 120 s: OOM')
    const then = go(decision.status, [failed(name)], [refused], { now: T0 + 10 * MINUTE })
    expect(actionOf(then, 'CreateJob')).toMatchObject({ resumes: name })
  })

  test('that a person asked for anew goes on from no checkpoint', () => {
    const held = dual({ state: 'Held', reason: 'JobFailed', failures: 5, since: isoTime(T0) })
    const again = go(held, [], [], { annotations: { 'keyshift.dev/retry': 'x' } })
    expect(actionOf(again, 'CreateJob').resumes).toBeUndefined()
  })

  test('O7: asked for, its Job gone before it was seen, has its result taken from Redis', () => {
    const asked = isoTime(T0)
    const left = workDone(name, verifyResult(), { run: `u1/${asked}` })
    const decision = go(dual({ state: 'Creating', asked }), [], [left])
    expect(decision.status.evidence?.verifiedTarget?.job).toBe(name)
    expect(actionTypes(decision)).not.toContain('CreateJob')
  })

  const FOREIGN = 'container istio-proxy keeps its pod running'

  test('O8: that is recorded while a foreign container keeps its Job from ending is ended by the operator, and named', () => {
    const overstaying = job(name, { overstays: FOREIGN, message: `pod p: ${FOREIGN}` })
    const decision = go(dual({}), [overstaying], [workDone(name, verifyResult())])
    expect(decision.status.evidence?.verifiedTarget?.job).toBe(name)
    expect(actionOf(decision, 'DeleteJob')).toMatchObject({ name, keepsWork: false })
    expect(decision.events).toContainEqual({
      type: 'Warning',
      reason: 'JobEnded',
      message: `${name} is done and was ended by the operator: ${FOREIGN}`,
    })
    expect(decision.status.jobs).toMatchObject([{ name, state: 'Succeeded', message: FOREIGN }])
    const again = go(decision.status, [overstaying], [workDone(name, verifyResult())])
    expect(eventReasons(again)).not.toContain('JobEnded')
    const gone = go(decision.status, [], [])
    expect(gone.status.jobs).toMatchObject([{ name, state: 'Succeeded', message: FOREIGN }])
  })

  test('O8: whose worker ended without a result beside a foreign container is lost, and its Job is ended', () => {
    const decision = go(
      dual({}),
      [job(name, { overstays: FOREIGN })],
      [working(name, { state: 'failed', error: 'no' })],
    )
    expect(workOf(decision, 'verify')).toMatchObject({ state: 'Waiting', failures: 1, message: 'no' })
    // What it did up to its checkpoint stays for the next attempt.
    expect(actionOf(decision, 'DeleteJob')).toMatchObject({ name, keepsWork: true })
  })

  test('that cannot start says so as a wait, with why', () => {
    const pending = job(name, { message: 'pod p is not scheduled: 0/3 nodes fit' })
    const decision = go(dual({}), [pending])
    expect(conditionText(decision, 'Ready')).toBe('False JobPending')
    expect(decision.status.awaits).toContain('pod p is not scheduled: 0/3 nodes fit')
    expect(conditionText(go(dual({}), [job(name)], [working(name)]), 'Ready')).toBe('False VerifyRunning')
  })

  test('whose worker stands still says so, with what to do, unless it is suspended', () => {
    // By the clock of Redis, which stands at T0, a minute behind that of the operator.
    const still = (ms: number, over: Partial<JobObservation> = {}) =>
      go(dual({}), [job(name, over)], [working(name, { movedAt: T0 - ms })])
    expect(conditionText(still(300_000), 'Ready')).toBe('False VerifyRunning')
    const frozen = still(300_001)
    expect(conditionText(frozen, 'Ready')).toBe('False JobPending')
    expect(frozen.status.awaits).toMatch(
      /verify has made no progress since .*Z: if its worker is frozen, kubectl delete pod -n .* -l job-name=ai-jobs-verify-1/,
    )
    expect(conditionText(still(300_001, { suspended: true }), 'Ready')).toBe('False VerifyRunning')
    expect(conditionText(still(300_001, { message: 'pod p is lost' }), 'Ready')).toBe('False JobPending')
  })

  test('that failed says what its worker said, and why there is no other try', () => {
    const over = job(name, { state: 'Failed', message: 'BackoffLimitExceeded: the limit is reached' })
    const decision = go(dual({}), [over], [working(name, { state: 'failed', error: 'no right to SCAN' })])
    expect(workOf(decision, 'verify')?.message).toBe('no right to SCAN (BackoffLimitExceeded: the limit is reached)')
  })

  test.each(['failed', 'done'] as const)(
    'asked for, its Job not there yet, takes nothing that an earlier resource of its name left: %s',
    (state) => {
      const run = 'u0/'
      const left =
        state === 'done' ? workDone(name, verifyResult(), { run }) : working(name, { run, state, error: 'x' })
      const decision = go(dual({ state: 'Creating' }), [], [left])
      expect(workOf(decision, 'verify')?.state).toBe('Creating')
      expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
      expect(actionTypes(decision)).toContain('CreateJob')
    },
  )

  test('whose Job may not be created holds no way back: the step comes first', () => {
    const status = dual({ state: 'Creating' })
    const decision = go(status, [], [], { spec: specOf({ targetPhase: 'Legacy' }) })
    const types = actionTypes(decision)
    expect(types).toContain('RaiseFence')
    expect(types.indexOf('RaiseFence')).toBeLessThan(types.includes('CreateJob') ? types.indexOf('CreateJob') : 99)
  })

  test('asked for, not seen yet, with a worker at work is not lost', () => {
    expect(workOf(go(dual({ state: 'Creating' }), [], [working(name)]), 'verify')?.state).toBe('Creating')
  })

  test('whose worker failed while its Job tries on is not lost', () => {
    expect(workOf(go(dual({}), [job(name)], [working(name, { state: 'failed' })]), 'verify')?.state).toBe('Active')
  })

  test('waits longer each time, five minutes at the most', () => {
    const waiting = (failures: number) => dual({ state: 'Waiting', failures, since: isoTime(T0) })
    expect(actionTypes(go(waiting(3), [], [], { now: T0 + 39 * SECOND }))).not.toContain('CreateJob')
    expect(actionTypes(go(waiting(3), [], [], { now: T0 + 40 * SECOND }))).toContain('CreateJob')
    expect(actionTypes(go(waiting(12), [], [], { now: T0 + 5 * MINUTE }))).toContain('CreateJob')
    expect(go(waiting(3), []).requeueAfterMs).toBeLessThanOrEqual(40 * SECOND)
  })

  test('lost for the fifth time is for a person to look at, until the retry annotation changes', () => {
    const decision = go(dual({ failures: MOST_ATTEMPTS - 1 }), [failed(name)], [], {
      annotations: { 'keyshift.dev/retry': '1' },
    })
    expect(conditionText(decision, 'Stalled')).toBe('True JobFailed')
    expect(decision.status.awaits).toContain('verify failed 5 times: BackoffLimitExceeded')
    const later = { now: T0 + 9 * HOUR }
    expect(
      actionTypes(go(decision.status, [], [], { ...later, annotations: { 'keyshift.dev/retry': '1' } })),
    ).not.toContain('CreateJob')
    const retried = go(decision.status, [], [], { ...later, annotations: { 'keyshift.dev/retry': '2' } })
    expect(actionOf(retried, 'CreateJob').attempt).toBe(2)
    expect(workOf(retried, 'verify')?.failures).toBe(0)
  })

  test('with a result of another lineage or an earlier epoch is void, and run again after a while', () => {
    for (const over of [{ lineage: 'other' }, { epoch: 4 }]) {
      const decision = go(dual({}), [job(name)], [workDone(name, verifyResult(), over)])
      expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
      expect(workOf(decision, 'verify')).toMatchObject({ state: 'Waiting', reason: 'EvidenceVoid' })
    }
  })

  test('of another direction is given up for the one that is due', () => {
    const status = statusAt('BackfillVerify', {
      over: { evidence: proven('backfill'), fence: 5, work: { verify: account({ direction: 'TargetToLegacy' }) } },
    })
    const decision = run(status, seen(status, [job(name)]), { spec: specOf({ targetPhase: 'BackfillVerify' }) })
    expect(actionOf(decision, 'DeleteJob').name).toBe(name)
    expect(actionOf(decision, 'CreateJob').work).toMatchObject({ jobName: 'ai-jobs-verify-2', direction: 'Both' })
  })

  test('O4: of a lost status is never taken for a new one: numbers go on above every Job seen', () => {
    const status = statusAt('DualWrite', { over: { evidence: proven() } })
    const decision = go(
      status,
      [job('ai-jobs-verify-7', { state: 'Succeeded' })],
      [workDone('ai-jobs-verify-7', verifyResult())],
    )
    expect(actionOf(decision, 'CreateJob').attempt).toBe(8)
    expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
  })
})

describe('what workers bring', () => {
  const dual = statusAt('DualWrite', {
    over: {
      evidence: proven(),
      work: { verify: account({ direction: 'TargetToLegacy' }) },
      soakCountedThrough: isoTime(T0),
    },
  })
  const name = 'ai-jobs-verify-1'

  test('O8: a result is read from Redis, though the Job still runs beside a sidecar', () => {
    const decision = run(
      dual,
      seen(dual, [job(name, { message: 'container proxy keeps the pod running' })], [workDone(name, verifyResult())]),
    )
    expect(decision.status.evidence?.verifiedTarget).toEqual({ job: name, epoch: 5, at: isoTime(T0 + MINUTE) })
    expect(eventReasons(decision)).toContain('Verified')
    expect(conditionText(decision, 'Verified')).toBe('True Verified')
  })

  test('O7: a recorded result is not run again when its Job is gone', () => {
    const recorded: Status = {
      ...dual,
      evidence: proven('verifiedTarget'),
      work: { verify: account({ state: 'Recorded' }) },
    }
    const decision = run(recorded, seen(recorded))
    expect(actionTypes(decision)).not.toContain('CreateJob')
    expect(conditionText(decision, 'Verified')).toBe('True Verified')
  })

  test.each([
    [
      'verify of both sides',
      verifyResult({ direction: 'Both', compared: 0 }),
      'verify',
      { verifiedTarget: PROOF, backfill: PROOF },
    ],
    ['backfill', { ...BACKFILL_OK, copied: 0, present: 0 }, 'backfill', { verifiedTarget: PROOF }],
  ] as const)(
    '%s of not one legacy key proves nothing, unless that is meant to be; the soak keeps its time',
    (_, result, kind, proofs) => {
      const over = {
        fence: 5,
        soakEndsAt: isoTime(T0 + HOUR),
        soakCountedThrough: isoTime(T0),
        evidence: { ...proven(), ...proofs },
        work: { [kind]: account({ ...(kind === 'verify' ? { direction: 'Both' as const } : {}) }) },
      }
      const last = statusAt('BackfillVerify', { over })
      const world = seen(last, [], [workDone(`ai-jobs-${kind}-1`, result)])
      const decision = run(last, world, { spec: specOf({ targetPhase: 'BackfillVerify' }) })
      expect(conditionText(decision, 'Stalled')).toBe('True NoLegacyKeys')
      expect(decision.status.soakRemainingMs).toBeGreaterThan(0)
      const keys = { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', allowEmpty: true }
      const meant = run(last, world, { spec: specOf({ targetPhase: 'BackfillVerify', keys }) })
      expect(meant.status.evidence?.[kind === 'verify' ? 'verifiedBoth' : 'backfill']).toBeDefined()
    },
  )

  test.each<[string, Parameters<typeof verifyResult>[0], string]>([
    ['different values', { different: 2, findings: [{ key: 'ai:job:w1:1', why: 'field a differs' }] }, '2 different'],
    ['orphans', { orphan: 3 }, '3 orphan'],
  ])('%s found by verify hold with counts and keys, until the retry annotation changes', (_, found, text) => {
    const decision = run(dual, seen(dual, [], [workDone(name, verifyResult(found))]))
    expect(conditionText(decision, 'Stalled')).toBe('True VerifyFailed')
    expect(conditionText(decision, 'Verified')).toBe('False VerifyFailed')
    expect(condition(decision, 'Verified').message).toContain(text)
    if (found?.findings) expect(decision.status.awaits).toContain('ai:job:w1:1 (field a differs)')
    const again = run(decision.status, seen(decision.status), { annotations: { 'keyshift.dev/retry': 'x' } })
    expect(actionOf(again, 'CreateJob').work.jobName).toBe('ai-jobs-verify-2')
  })

  test('legacy keys without target are nothing that verify of the target keys looks at', () => {
    const decision = run(dual, seen(dual, [], [workDone(name, verifyResult({ missing: 9 }))]))
    expect(decision.status.evidence?.verifiedTarget).toBeDefined()
  })

  test('a difference found takes away the soak that was earned', () => {
    const last = statusAt('BackfillVerify', {
      over: {
        evidence: proven('backfill'),
        fence: 5,
        soakEndsAt: undefined,
        soakRemainingMs: HOUR,
        soakLengthMs: 720 * HOUR,
        work: { verify: account({ direction: 'Both' }) },
      },
    })
    const found = workDone(name, verifyResult({ direction: 'Both', missing: 1 }))
    const decision = run(last, seen(last, [], [found]), { spec: specOf({ targetPhase: 'BackfillVerify' }) })
    expect(decision.status.soakRemainingMs).toBeUndefined()
    expect(condition(decision, 'Verified').message).toContain('1 missing')
  })

  test('a completed backfill is recorded, and marked in Redis for the reads', () => {
    const reads = statusAt('ReadRouting', {
      percent: 50,
      over: { evidence: proven('verifiedTarget'), fence: 5, work: { backfill: account() } },
    })
    const decision = run(reads, worldOf(reads, { work: [workDone('ai-jobs-backfill-1', BACKFILL_OK)] }), {
      spec: specOf({ targetPhase: 'ReadRouting' }),
    })
    expect(decision.status.evidence?.backfill?.job).toBe('ai-jobs-backfill-1')
    expect(actionOf(decision, 'MarkBackfilled').on).toBe(true)
    expect(conditionText(decision, 'BackfillComplete')).toBe('True BackfillComplete')
    expect(eventReasons(decision)).toContain('BackfillComplete')
  })

  test('malformed jobs that verify meets are listed, cut to twenty', () => {
    const malformedKeys = Array.from({ length: 30 }, (_, i) => ({ key: `k${i}`, why: 'no workspace_id' }))
    const decision = run(dual, seen(dual, [], [workDone(name, verifyResult({ malformed: 30, malformedKeys }))]))
    expect(decision.status.malformed?.count).toBe(30)
    expect(decision.status.malformed?.keys).toHaveLength(20)
  })
})

describe('purge', () => {
  const annotations = { 'keyshift.dev/purge': 'today' }
  const go = (status: Status, work: WorkObservation[] = [], over: Partial<SpecInput> = {}) =>
    run(status, seen(status, [], work), { spec: specOf(over), annotations })
  const created = (decision: Decision): string[] =>
    decision.actions.flatMap((action) => (action.type === 'CreateJob' ? [action.work.kind] : []))

  test('runs in a Legacy that has converged, and before anything else goes forward', () => {
    const status = legacy()
    expect(created(go(status))).toContain('purge')
    const done = legacy({ preflight: { ...PROOF, inputs: workOf(go(status), 'preflight')?.inputs ?? '' } })
    expect(conditionText(go(done), 'Ready')).toBe('False PurgeRunning')
    expect(created(go(legacy({ convergedAt: undefined, templates: undefined }), [], {}))).toBeDefined()
  })

  test('does not run before Legacy has converged, nor in any other phase', () => {
    const fresh = legacy({ convergedAt: undefined })
    const behind = run(fresh, worldOf(fresh, {}, { members: [{ ...member('a'), lease: { epoch: 0, hash: '' } }] }), {
      annotations,
    })
    expect(created(behind)).not.toContain('purge')
    expect(created(go(statusAt('DualWrite', { percent: 10 })))).toEqual([])
  })

  test('is done once for each value', () => {
    const running = legacy({ work: { purge: account({ inputs: 'today' }) } })
    const decision = go(running, [workDone('ai-jobs-purge-1', { kind: 'purge', deleted: 3 })])
    expect(decision.status.purged).toBe('today')
    expect(eventReasons(decision)).toContain('Purged')
    expect(created(go(legacy({ purged: 'today' })))).not.toContain('purge')
    expect(created(run(legacy(), seen(legacy()), { annotations: { 'keyshift.dev/purge': '' } }))).not.toContain('purge')
  })

  test('of another value is given up for the new one', () => {
    const running = legacy({ work: { purge: account({ inputs: 'yesterday' }) } })
    const decision = run(running, seen(running, [job('ai-jobs-purge-1')]), { annotations })
    expect(workOf(decision, 'purge')).toMatchObject({ attempt: 2, inputs: 'today' })
    expect(actionTypes(decision)).toContain('DeleteJob')
  })
})

describe('repair', () => {
  const annotations = { 'keyshift.dev/repair': 'x' }
  const to = { spec: specOf({ targetPhase: 'BackfillVerify' }) }
  const failed = account({ state: 'Held', reason: 'VerifyFailed', direction: 'Both', attempt: 3, message: '1 orphan' })
  const held = (over: Partial<Status> = {}) =>
    statusAt('BackfillVerify', {
      over: { evidence: proven('verifiedTarget', 'backfill'), fence: 5, work: { verify: failed }, ...over },
    })
  const running = (over: Partial<Status> = {}) =>
    held({ work: { verify: failed, repair: account({ inputs: 'x', direction: 'Both' }) }, ...over })
  const mended = {
    direction: 'Both',
    removed: 1,
    findings: [{ key: 'ai:job:w1:1', why: 'removed: no legacy key' }],
  } as const
  const result = workDone('ai-jobs-repair-1', repairResult(mended))
  const created = (decision: Decision): string[] =>
    decision.actions.flatMap((action) =>
      action.type === 'CreateJob' ? [`${action.work.jobName} ${action.work.direction ?? ''}`] : [],
    )

  test('is what a failed verify tells to do, in a command that can be pasted and is new each time', () => {
    const decision = run(held(), seen(held()), to)
    expect(conditionText(decision, 'Stalled')).toBe('True VerifyFailed')
    expect(decision.status.awaits).toContain(
      'kubectl annotate jkm ai-jobs -n prod --overwrite keyshift.dev/repair=ai-jobs-verify-3',
    )
    const long = held({ work: { verify: { ...failed, message: 'k'.repeat(1024) } } })
    expect(run(long, seen(long), to).status.awaits).toMatch(/keyshift\.dev\/repair=ai-jobs-verify-3/)
  })

  test.each<[string, Status, string[]]>([
    ['runs over both sides in BackfillVerify, before verify', held(), ['ai-jobs-repair-1 Both']],
    [
      'runs from the target keys in ReadRouting, before backfill',
      statusAt('ReadRouting', { percent: 50, over: { evidence: proven(), fence: 5 } }),
      ['ai-jobs-repair-1 TargetToLegacy'],
    ],
    [
      'runs from the target keys at DualWrite 100 %, where evidence went void',
      statusAt('DualWrite', { over: { evidence: { ...proven(), voided: 'a pod without the client ran' } } }),
      ['ai-jobs-repair-1 TargetToLegacy'],
    ],
    ['does not run in a canary', statusAt('DualWrite', { percent: 50 }), []],
    ['does not run twice for one value', held({ repaired: repairedAs('x') }), []],
  ])('%s', (_, status, expected) => {
    expect(created(run(status, seen(status), { ...to, annotations }))).toEqual(expected)
  })

  test('says that it runs, also where everything is proven', () => {
    const status = held({ evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth'), work: undefined })
    expect(conditionText(run(status, seen(status), { ...to, annotations }), 'Ready')).toBe('False RepairRunning')
  })

  test('shows in status and an Event what it did, and verify runs again', () => {
    const decision = run(running(), seen(running(), [], [result]), { ...to, annotations })
    expect(decision.status.repaired).toEqual({
      value: 'x',
      job: 'ai-jobs-repair-1',
      at: isoTime(T0 + MINUTE),
      copied: 0,
      replaced: 0,
      removed: 1,
      left: 0,
      keys: ['ai:job:w1:1 (removed: no legacy key)'],
    })
    const event = decision.events.find(({ reason }) => reason === 'Repaired')
    expect(event?.message).toMatch(/took away 1 without a legacy key: ai:job:w1:1/)
    expect(created(decision)).toEqual(['ai-jobs-verify-4 Both'])
    expect(conditionText(decision, 'Ready')).toBe('False VerifyRunning')
  })

  test('that changed keys voids what verify had proven of them, and the soak begins anew', () => {
    const status = running({
      evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth'),
      soakEndsAt: undefined,
      soakRemainingMs: HOUR,
      soakLengthMs: 720 * HOUR,
    })
    const decision = run(status, seen(status, [], [result]), { ...to, annotations })
    expect(decision.status.evidence).toEqual({ ...proven('backfill'), voided: 'repair put 1 key right' })
    expect(decision.status.soakRemainingMs).toBeUndefined()
  })

  test('that changed nothing leaves what is proven, and keys that it may not touch are listed', () => {
    const status = running({ evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth') })
    const left = { direction: 'Both', left: 1, leftKeys: [{ key: 'ai:job:1', why: 'no workspace_id' }] } as const
    const decision = run(status, seen(status, [], [workDone('ai-jobs-repair-1', repairResult(left))]), {
      ...to,
      annotations,
    })
    expect(decision.status.evidence).toEqual(status.evidence)
    expect(decision.status.repaired).toMatchObject({ left: 1, keys: ['ai:job:1 (left: no workspace_id)'] })
  })

  test('is given up for another value', () => {
    const decision = run(running(), seen(running(), [job('ai-jobs-repair-1')]), {
      ...to,
      annotations: { 'keyshift.dev/repair': 'y' },
    })
    expect(workOf(decision, 'repair')).toMatchObject({ attempt: 2, inputs: 'y' })
    expect(actionTypes(decision)).toContain('DeleteJob')
  })

  test('does not run on the way back', () => {
    expect(created(run(held(), seen(held()), { spec: specOf({ targetPhase: 'Legacy' }), annotations }))).toEqual([])
  })
})

function repairedAs(value: string): NonNullable<Status['repaired']> {
  return { value, job: 'ai-jobs-repair-1', at: isoTime(T0), copied: 0, replaced: 0, removed: 0, left: 0, keys: [] }
}

describe('Jobs that are there', () => {
  const status = (over: Partial<WorkAccount> = {}) =>
    statusAt('ReadRouting', {
      percent: 50,
      over: { evidence: proven('verifiedTarget'), fence: 5, work: { backfill: account(over) } },
    })
  const go = (before: Status, jobs: JobObservation[], over: Partial<SpecInput> = {}, work: WorkObservation[] = []) =>
    run(before, seen(before, jobs, work), { spec: specOf({ targetPhase: 'ReadRouting', ...over }) })
  const name = 'ai-jobs-backfill-1'

  test('are suspended while paused, and go on afterwards', () => {
    expect(actionOf(go(status(), [job(name)], { paused: true }), 'SuspendJob')).toMatchObject({ name, suspend: true })
    expect(actionOf(go(status(), [job(name, { suspended: true })]), 'SuspendJob')).toMatchObject({
      name,
      suspend: false,
    })
    const still = go(status(), [job(name, { suspended: true })], { paused: true })
    expect(actionTypes(still)).not.toContain('SuspendJob')
    expect(still.status.jobs?.[0]?.state).toBe('Suspended')
  })

  test('of a phase that does not allow their work are removed', () => {
    const dual = statusAt('DualWrite', {
      over: { evidence: proven('verifiedTarget'), work: { backfill: account({ state: 'Recorded' }) } },
    })
    expect(actionOf(run(dual, seen(dual, [job(name)])), 'DeleteJob').name).toBe(name)
    const stepping: Status = { ...status(), fence: 5 }
    const back = run(stepping, seen(stepping, [job(name)]), { spec: specOf({ targetPhase: 'DualWrite' }) })
    expect(back.status.work?.['backfill']?.state).toBe('Recorded')
    expect(actionTypes(back)).toContain('DeleteJob')
  })

  test('of attempts long past are removed, of the last ones kept for their logs', () => {
    const jobs = [1, 2, 3, 4].map((n) => job(`ai-jobs-backfill-${n}`, { state: 'Failed' }))
    const decision = go(status({ attempt: 5, state: 'Creating' }), jobs)
    const removed = decision.actions.flatMap((action) => (action.type === 'DeleteJob' ? [action.name] : []))
    expect(removed).toEqual(['ai-jobs-backfill-1', 'ai-jobs-backfill-2'])
  })

  test('at work for an attempt that was closed are removed, unless their result is in', () => {
    const closed = { ...status({ state: 'Recorded' }), evidence: proven('verifiedTarget', 'backfill') }
    expect(actionTypes(go(closed, [job(name)]))).toContain('DeleteJob')
    expect(actionTypes(go(closed, [job(name)], {}, [workDone(name, BACKFILL_OK)]))).not.toContain('DeleteJob')
  })

  test('of a kind without account are left alone', () => {
    const bare = statusAt('DualWrite', { percent: 10 })
    expect(run(bare, seen(bare, [job('ai-jobs-verify-3')])).actions).toEqual([])
  })

  test('D9: show their progress as an estimate, which is never 100 % before they are done', () => {
    const at = (work: Partial<WorkObservation>) => go(status(), [job(name)], {}, [working(name, work)]).status
    expect(at({}).progress).toBe('backfill ~40 %')
    expect(at({ done: 12 }).progress).toBe('backfill ~99 %')
    expect(at({ pass: 2 }).progress).toBe('backfill ~40 % of pass 2')
    expect(at({ done: 12, total: 0 }).progress).toBe('backfill 12 keys')
    expect(at({}).jobs).toEqual([{ name, kind: 'backfill', state: 'Active', done: 4, total: 10, rate: 2 }])
  })

  test('show the last that was known when they are gone', () => {
    const before: Status = {
      ...status({ state: 'Recorded' }),
      evidence: proven('verifiedTarget', 'backfill'),
      jobs: [{ name, kind: 'backfill', state: 'Succeeded', done: 10, total: 10, rate: 0 }],
    }
    const { jobs, progress } = go(before, []).status
    expect(jobs).toEqual(before.jobs)
    expect(progress).toBeUndefined()
  })

  test('that do not start say why, in status and in the message', () => {
    const last = statusAt('BackfillVerify', { over: { evidence: proven(), fence: 5, work: { backfill: account() } } })
    const stuck = seen(last, [job(name, { message: 'pod x: container worker waits: ImagePullBackOff' })])
    const decision = run(last, stuck, { spec: specOf({ targetPhase: 'BackfillVerify' }) })
    expect(decision.status.awaits).toContain('ImagePullBackOff')
    expect(decision.status.jobs?.[0]?.message).toContain('ImagePullBackOff')
    expect(conditionText(decision, 'BackfillComplete')).toBe('False BackfillRunning')
  })
})

describe('evidence', () => {
  const spec = specOf({ targetPhase: 'BackfillVerify' })
  const last = (over: Partial<Status> = {}) =>
    statusAt('BackfillVerify', {
      over: {
        evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth'),
        fence: 5,
        soakLengthMs: 720 * HOUR,
        soakEndsAt: isoTime(T0 + 10 * HOUR),
        ...over,
      },
    })
  const options = { spec, now: T0 + HOUR }

  test('O16: is void after a failover; the soak pauses and keeps what it has earned', () => {
    const decision = run(last(), worldOf(last(), {}, { lineage: 'replid-2' }), options)
    expect(decision.status.evidence).toEqual({
      lineage: 'replid-2',
      baseEpoch: 5,
      voided: 'Redis failed over, was started anew or was replaced',
    })
    expect(decision.status.soakRemainingMs).toBe(10 * HOUR - SECOND)
    expect(actionOf(decision, 'MarkBackfilled').on).toBe(false)
    expect(actionOf(decision, 'CreateJob').work.kind).toBe('backfill')
    expect(eventReasons(decision)).toContain('EvidenceVoid')
    expect(decision.status.awaits).toContain('void: Redis failed over')
    expect(condition(decision, 'BackfillComplete').message).toContain('failed over')
  })

  test('O16: proven again, the soak goes on with what was left', () => {
    const before = last({
      evidence: { ...proven('backfill'), voided: 'Redis failed over, was started anew or was replaced' },
      soakEndsAt: undefined,
      soakRemainingMs: 7 * HOUR,
      work: { verify: account({ direction: 'Both' }) },
    })
    const done = workDone('ai-jobs-verify-1', verifyResult({ direction: 'Both' }))
    const { status } = run(before, worldOf(before, { work: [done] }), options)
    expect(status.soakEndsAt).toBe(isoTime(T0 + 8 * HOUR))
    expect(status.evidence?.voided).toBeUndefined()
    expect(status.evidence?.verifiedBoth).toBeDefined()
  })

  test('not there yet changes its lineage without a word', () => {
    const bare = last({ evidence: proven() })
    const decision = run(bare, worldOf(bare, {}, { lineage: 'replid-2' }), options)
    expect(eventReasons(decision)).not.toContain('EvidenceVoid')
    expect(decision.status.evidence?.lineage).toBe('replid-2')
  })

  test('is void when reads find their job in legacy alone: the soak begins anew, and the message says how many', () => {
    const decision = run(last(), worldOf(last(), {}, { fallbackReads: 3 }), options)
    expect(decision.status.evidence).toMatchObject({ voided: '3 reads found its job in legacy alone' })
    expect(decision.status.soakRemainingMs).toBeUndefined()
    expect(decision.status.soakEndsAt).toBeUndefined()
    expect(decision.status.awaits).toContain('3 reads')
  })

  test.each<[string, Status, Parameters<typeof redisOf>[0]]>([
    ['reads before the mark of the backfill is set', last(), { fallbackReads: 3, backfilled: false }],
    ['reads before the backfill is complete', last({ evidence: proven() }), { fallbackReads: 3 }],
    [
      'reads in ReadRouting',
      statusAt('ReadRouting', { over: { evidence: proven('verifiedTarget', 'backfill') } }),
      { fallbackReads: 3 },
    ],
  ])('stays through %s', (_, status, redis) => {
    const decision = run(status, worldOf(status, {}, redis), options)
    expect(decision.status.evidence).toEqual(status.evidence)
  })

  test('an unaware pod also takes the attempts at work', () => {
    const before = last({ evidence: proven(), work: { backfill: account() } })
    const world = worldOf(before, {
      jobs: [job('ai-jobs-backfill-1')],
      pods: { known: true, value: [pod('a'), pod('o', { template: 't0' })] },
    })
    const pause = specOf({ targetPhase: 'BackfillVerify', slo: { ...spec.slo, onFailure: 'Pause' } })
    const decision = run(before, world, { ...options, spec: pause })
    expect(workOf(decision, 'backfill')?.state).toBe('Recorded')
    expect(actionTypes(decision)).toContain('DeleteJob')
    expect(actionTypes(decision)).not.toContain('CreateJob')
    expect(decision.status.evidence).toEqual({ lineage: LINEAGE, baseEpoch: 5 })
  })

  test.each<[string, Partial<PodObservation>[], Parameters<typeof redisOf>[0]]>([
    ['a pod without the client', [{}, { uid: 'uid-o', template: 't0' }], {}],
    ['a fence that was gone', [{}], { fence: 4 }],
  ])('no attempt goes on from a checkpoint of before %s, though none is at work then', (_, pods, redis) => {
    // The node of its worker was lost: the next attempt waits, and would go on in the middle.
    const lost = account({ attempt: 3, state: 'Waiting', failures: 1, since: isoTime(T0 + MINUTE) })
    const before = last({ evidence: proven(), work: { verify: { ...lost, direction: 'Both' }, backfill: lost } })
    const pause = specOf({ targetPhase: 'BackfillVerify', slo: { ...spec.slo, onFailure: 'Pause' } })
    const seen = pods.map((over) => pod('a', over))
    const { status } = run(before, worldOf(before, { pods: { known: true, value: seen } }, redis), {
      ...options,
      spec: pause,
    })
    const answered = { ...options, now: T0 + 2 * HOUR, annotations: { 'keyshift.dev/retry': '1' } }
    // Gone from the list, such a pod is seen to be gone first.
    const gone = run({ ...status, fence: 5 }, worldOf({ ...status, fence: 5 }), { ...answered, spec: pause })
    const decision = run(gone.status, worldOf(gone.status), { ...answered, spec: pause })
    const created = actionOf(decision, 'CreateJob')
    expect(created).toMatchObject({ attempt: 4, work: { kind: 'backfill' } })
    expect(created.resumes).toBeUndefined()
    expect(workOf(decision, 'verify')).toEqual({ attempt: 3, state: 'Recorded', failures: 0 })
  })

  test('is based anew on an epoch that is adopted: no attempt of before counts for it', () => {
    const waiting = account({ attempt: 3, state: 'Waiting', failures: 1, direction: 'TargetToLegacy' })
    const before = statusAt('DualWrite', { over: { evidence: proven(), work: { verify: waiting } } })
    const annotations = { 'keyshift.dev/adopt-epoch': '9' }
    const decision = run(before, worldOf(before, {}, { fence: 9 }), { ...options, annotations })
    expect(decision.status.evidence).toEqual({ lineage: LINEAGE, baseEpoch: 10 })
    expect(workOf(decision, 'verify')).toEqual({ attempt: 3, state: 'Recorded', failures: 0 })
  })

  test('is void when creates fall below 100 % again, with the attempts that would prove it', () => {
    const dual: Status = {
      ...statusAt('DualWrite', {
        over: {
          evidence: proven('verifiedTarget'),
          work: { verify: account(), preflight: account({ state: 'Recorded' }) },
        },
      }),
      fence: 5,
    }
    const decision = run(dual, worldOf(dual), { spec: specOf({ canaryPercentage: 10 }) })
    expect(decision.status.evidence).toBeUndefined()
    expect(decision.status.work).toEqual({
      verify: { attempt: 1, state: 'Recorded', failures: 0 },
      preflight: { attempt: 1, state: 'Recorded', failures: 0 },
    })
  })

  test('proven in every respect, and soaked, reaches BackfillVerify', () => {
    const done = last({ soakEndsAt: isoTime(T0 + 2 * SECOND), soakCountedThrough: isoTime(T0 + 3 * SECOND) })
    const decision = run(done, worldOf(done), options)
    expect(conditionText(decision, 'TargetReached')).toBe('True TargetReached')
    expect(conditionText(decision, 'Verified')).toBe('True Verified')
  })
})
