import type { Spec, SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { Observations } from '../../../src/decision/types.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import type { redisOf } from './builders.ts'
import {
  actionOf,
  actionTypes,
  conditionText,
  documentIn,
  eventReasons,
  HOUR,
  measure,
  member,
  MINUTE,
  pod,
  proven,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  windows,
  worldOf,
  type Put,
  type Seen,
} from './builders.ts'

/** A step whose soak is over and judged to the end. */
const unknown = { known: false, reason: 'x', message: 'forbidden' } as const
const later = T0 + 3 * HOUR
const counted = T0 + 40 * MINUTE
const judged = {
  windows: windows(
    counted,
    Array.from({ length: 50 }, () => 'Pass' as const),
  ),
}
const steps = (over: Partial<SpecInput> = {}) =>
  specOf({
    phases: {
      dualWrite: {
        steps: [
          { percent: 10, soak: '1h' },
          { percent: 50, soak: '1h' },
        ],
      },
      readRouting: { steps: [{ percent: 50, soak: '1h' }] },
    },
    ...over,
  })

const PASSING: Status['checks'] = [{ name: 'errors', outcome: 'Pass', failures: 0 }]

function soaked(phase: Parameters<typeof statusAt>[0], put: Put = {}): Status {
  return statusAt(phase, {
    ...put,
    over: { soakLengthMs: HOUR, soakCountedThrough: isoTime(counted), checks: PASSING, ...put.over },
  })
}

const KEYS = { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' }

describe('a forward step', () => {
  const spec = steps()
  const status = soaked('DualWrite', { percent: 10, from: ['Legacy', 0] })
  const go = (over: Seen = {}, redis: Parameters<typeof redisOf>[0] = {}, before = status) =>
    run(before, worldOf(before, { ...judged, ...over }, redis), { spec, now: later })

  test('asks for a live look first', () => {
    const decision = go({ live: false })
    expect(decision.wantsLive).toBe(true)
    expect(actionTypes(decision)).toEqual([])
  })

  test('raises the fence to the epoch in force, and publishes nothing yet', () => {
    const decision = go()
    expect(actionTypes(decision)).toEqual(['RaiseFence'])
    expect(actionOf(decision, 'RaiseFence').epoch).toBe(5)
    expect(decision.status.epoch).toBe(5)
    expect(conditionText(decision, 'Reconciling')).toBe('True RaisingFence')
  })

  test.each<[string, number | undefined, number | undefined]>([
    ['status says so alone', 5, 4],
    ['Redis says so alone', 4, 5],
    ['neither knows of a fence', undefined, undefined],
  ])('is not taken when the fence is raised and %s', (_, confirmed, fence) => {
    const decision = go({}, { fence }, { ...status, fence: confirmed })
    expect(decision.status.epoch).toBe(5)
    expect(actionTypes(decision)).toContain('RaiseFence')
  })

  test('publishes the next state once the fence stands, with everything of the old epoch cleared', () => {
    const before: Status = { ...status, fence: 5, checks: [{ name: 'errors', outcome: 'Pass', failures: 2 }] }
    const decision = go({}, { fence: 5 }, before)
    expect(decision.status).toMatchObject({
      phase: 'DualWrite',
      step: 1,
      canaryPercentage: 50,
      epoch: 6,
      previous: routingState('DualWrite', 0, 10),
      publishedAt: isoTime(later),
      phaseStartedAt: status.phaseStartedAt,
      soakCountedThrough: isoTime(later),
      checks: [{ failures: 0 }],
    })
    for (const field of ['convergedAt', 'soakEndsAt', 'soakRemainingMs', 'isAbort'] as const)
      expect(decision.status[field]).toBeUndefined()
    expect(documentIn(decision.status)).toMatchObject({ epoch: 6, createTarget: 50, readTarget: 0 })
    expect(actionTypes(decision)).toEqual(['WriteRecord', 'ApplyConfigMap'])
    expect(eventReasons(decision)).toContain('StepTaken')
    expect(decision.status.history?.at(-1)).toMatchObject({ from: 'DualWrite 10 %', to: 'DualWrite 50 %', epoch: 6 })
  })

  test.each<[string, Status, Spec, boolean]>([
    ['a step forward', status, spec, true],
    ['a step back', status, specOf({ targetPhase: 'Legacy' }), true],
    [
      'other queues in the document',
      status,
      steps({ targetPhase: 'DualWrite', canaryPercentage: 10, keys: { ...KEYS, queues: [{ key: 'q' }] } }),
      true,
    ],
    [
      'an abort, which waits for nothing',
      { ...status, convergedAt: undefined },
      specOf({ targetPhase: 'Legacy' }),
      false,
    ],
  ])('%s gets a WAIT of its own, though its fence stands since one that was withdrawn', (_, put, wanted, guarded) => {
    const before: Status = { ...put, fence: 5 }
    const behind = { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }
    const decision = run(before, worldOf(before, judged, guarded ? {} : behind), { spec: wanted, now: later })
    expect(decision.status.epoch).toBe(6)
    expect(decision.guard).toEqual(guarded ? { type: 'RaiseFence', epoch: 5, lineage: 'replid-1' } : undefined)
  })

  test('is not published where the fence was refused: that is tried in a pass of its own, which says so', () => {
    const before: Status = { ...status, fence: 5 }
    const refused = { action: 'RaiseFence', reason: 'FenceNotConfirmed', message: '0 of 1 replicas have it' } as const
    const decision = go({ refused }, { fence: 5 }, before)
    expect(decision.guard).toBeUndefined()
    expect(decision.status.epoch).toBe(5)
    expect(actionTypes(decision)).toEqual(['RaiseFence'])
    expect(decision.status.awaits).toContain('0 of 1 replicas')
  })

  test.each<[string, Seen, Parameters<typeof redisOf>[0], string]>([
    ['a client is behind', {}, { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }, 'MembersBehind'],
    [
      'a client runs another document of the epoch',
      {},
      { members: [{ ...member('a'), lease: { epoch: 5, hash: 'x' } }] },
      'MembersBehind',
    ],
    [
      'a pod is joining',
      { pods: { known: true, value: [pod('a'), pod('b', { startedAt: later })] } },
      {},
      'PodsJoining',
    ],
    ['pods cannot be listed', { pods: { known: false, reason: 'x', message: 'forbidden' } }, {}, 'PodsUnknown'],
    ['a workload is missing', { missingWorkloads: ['Deployment/api'] }, {}, 'WorkloadMissing'],
    ['a workload cannot be read', { missingWorkloads: unknown }, {}, 'WorkloadsUnknown'],
    ['Jobs cannot be listed', { jobs: unknown }, {}, 'JobsUnknown'],
    ['the newest measurement fails', { latest: [measure('Fail')] }, {}, 'CheckFailing'],
    ['the newest measurement is unclear', { latest: [measure('Inconclusive')] }, {}, 'CheckInconclusive'],
    ['Prometheus is away', { latest: [measure('Error')] }, {}, 'CheckError'],
    ['nothing was measured', { latest: [] }, {}, 'ChecksPending'],
    ['a Redis user lacks rights', {}, { rightsMissing: ['ACL SETUSER app +copy'] }, 'RedisRightsMissing'],
    [
      'windows end before the soak',
      {
        windows: windows(
          T0 + SECOND,
          Array.from({ length: 100 }, () => 'Pass'),
        ),
      },
      {},
      'Soaking',
    ],
    [
      'the ConfigMap is unknown',
      { configMap: { known: false, reason: 'x', message: 'forbidden' } },
      {},
      'ConfigMapUnknown',
    ],
  ])('is held when %s', (_, over, redis, reason) => {
    const decision = go(over, redis)
    expect(decision.status.epoch).toBe(5)
    expect(decision.wantsLive).toBe(false)
    expect(actionTypes(decision)).not.toContain('RaiseFence')
    expect(decision.status.conditions?.find(({ type }) => type === 'Ready')?.reason).toBe(reason)
  })

  test('is held while paused; checks are still judged', () => {
    const paused = steps({ paused: true })
    const decision = run(status, worldOf(status, { ...judged, latest: [measure('Fail')] }), {
      spec: paused,
      now: later,
    })
    expect(decision.actions.map(({ type }) => type)).not.toContain('RaiseFence')
    expect(conditionText(decision, 'Ready')).toBe('True Paused')
    expect(conditionText(decision, 'SLOHealthy')).toBe('False CheckFailing')
  })

  test('without checks waits for the soak alone', () => {
    const unchecked = steps({ slo: { disabled: true } })
    const at = (now: number) => run(status, worldOf(status, { latest: [] }), { spec: unchecked, now })
    expect(actionTypes(at(T0 + HOUR))).not.toContain('RaiseFence')
    expect(actionTypes(at(later))).toContain('RaiseFence')
    expect(conditionText(at(later), 'SLOHealthy')).toBe('Unknown ChecksDisabled')
  })

  test('a member of a pod that is not listed is named when it is behind', () => {
    const stray = { ...member('ghost'), lease: { epoch: 4, hash: 'x' } }
    const decision = go({}, { members: [member('a', documentIn(status)), stray] })
    expect(decision.status.awaits).toContain('ghost (epoch 4, in a pod of no workload')
  })
})

describe('the way forward', () => {
  const fenced = (status: Status): Status => ({ ...status, fence: status.epoch })
  const next = (status: Status, spec = steps({ targetPhase: 'BackfillVerify' })): string => {
    const decision = run(fenced(status), worldOf(fenced(status), judged), { spec, now: later })
    return `${decision.status.phase} ${decision.status.canaryPercentage}`
  }
  const evidence = proven('verifiedTarget')

  test.each<[string, Status, string, Partial<SpecInput>?]>([
    [
      'DualWrite at 100 % goes on to the first share of reads',
      soaked('DualWrite', { over: { evidence } }),
      'ReadRouting 50',
    ],
    [
      'the last share of reads goes on to BackfillVerify',
      soaked('ReadRouting', { over: { evidence } }),
      'BackfillVerify 100',
    ],
    [
      'a target of DualWrite ends at its cap',
      soaked('DualWrite', { percent: 10 }),
      'DualWrite 10',
      { targetPhase: 'DualWrite', canaryPercentage: 10 },
    ],
    [
      'Legacy to BackfillVerify in one edit walks through all',
      soaked('DualWrite', { percent: 10 }),
      'DualWrite 50',
      { targetPhase: 'BackfillVerify' },
    ],
    [
      'a step below a raised cap goes on',
      soaked('DualWrite', { percent: 10 }),
      'DualWrite 30',
      { targetPhase: 'DualWrite', canaryPercentage: 30 },
    ],
  ])('%s', (_, status, expected, spec = { targetPhase: 'BackfillVerify' }) => {
    expect(next(status, steps(spec))).toBe(expected)
  })

  test('evidence is based on the epoch that reaches 100 %, and not before', () => {
    const before = fenced(soaked('DualWrite', { percent: 50 }))
    const decision = run(before, worldOf(before, judged), { spec: steps(), now: later })
    expect(decision.status.evidence).toEqual({ lineage: 'replid-1', baseEpoch: 6 })
  })

  test('evidence survives a step between states that create everything on both schemas', () => {
    const before = fenced(soaked('DualWrite', { over: { evidence } }))
    const decision = run(before, worldOf(before, judged), { spec: steps({ targetPhase: 'ReadRouting' }), now: later })
    expect(decision.status.evidence).toEqual(evidence)
  })

  test('the target at its cap is reached once it is soaked', () => {
    const capped = steps({ canaryPercentage: 10 })
    const status = soaked('DualWrite', { percent: 10 })
    const soaking = run(status, worldOf(status), { spec: capped })
    expect([conditionText(soaking, 'Ready'), conditionText(soaking, 'TargetReached')]).toEqual([
      'True Soaking',
      'False Soaking',
    ])
    const done = run(status, worldOf(status, judged), { spec: capped, now: later })
    expect([conditionText(done, 'Ready'), conditionText(done, 'TargetReached')]).toEqual([
      'True TargetReached',
      'True TargetReached',
    ])
    expect(done.actions).toEqual([])
  })
})

describe('a step back', () => {
  const spec = specOf({ targetPhase: 'Legacy' })
  const status: Status = { ...statusAt('DualWrite', { percent: 50, from: ['DualWrite', 10] }), fence: 5 }
  const unfenced: Status = { ...status, fence: 4 }
  const behind = { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }

  test('takes neither soak nor check nor work', () => {
    const decision = run(status, worldOf(status, { latest: [measure('Fail')], live: false }), { spec })
    expect(decision.status).toMatchObject({ epoch: 6, phase: 'Legacy', canaryPercentage: 0 })
    expect(eventReasons(decision)).toContain('SteppedBack')
  })

  test('waits for a live member to follow, at most joinTimeout', () => {
    const waiting = run(unfenced, worldOf(unfenced, {}, behind), { spec, now: T0 + MINUTE })
    expect(waiting.actions).toEqual([])
    expect(conditionText(waiting, 'Ready')).toBe('False SteppingBack')
    const over = run(unfenced, worldOf(unfenced, {}, behind), { spec, now: T0 + 2 * MINUTE })
    expect(over.actions).toEqual([{ type: 'RaiseFence', epoch: 5 }])
  })

  test('does not wait a second time for a member that the fence shuts out already', () => {
    // It did not follow epoch 5: the fence is at 5, and 6 was published without it.
    const on: Status = { ...statusAt('DualWrite', { epoch: 6, percent: 10, from: ['DualWrite', 50] }), fence: 5 }
    expect(run(on, worldOf(on, {}, behind), { spec }).actions).toEqual([{ type: 'RaiseFence', epoch: 6 }])
    const unconfirmed = { ...on, fence: 4 }
    expect(conditionText(run(unconfirmed, worldOf(unconfirmed, {}, behind), { spec }), 'Ready')).toBe(
      'False SteppingBack',
    )
    expect(conditionText(run(on, worldOf(on, {}, { ...behind, fence: 4 }), { spec }), 'Ready')).toBe(
      'False SteppingBack',
    )
  })

  test('names who it waits for', () => {
    const waiting = run(unfenced, worldOf(unfenced, {}, behind), { spec })
    expect(waiting.status.awaits).toContain('a (epoch 4, image api:2)')
  })

  test.each<[string, Seen, Parameters<typeof redisOf>[0]]>([
    ['a joining pod', { pods: { known: true, value: [pod('b', { startedAt: T0 + MINUTE })] } }, {}],
    ['a lapsed pod', {}, { members: [member('a')] }],
    ['an unknown number of pods', { pods: { known: false, reason: 'x', message: 'y' } }, {}],
    ['a missing workload', { missingWorkloads: ['Deployment/api'] }, {}],
    ['a workload that cannot be read', { missingWorkloads: unknown }, {}],
    ['Jobs that cannot be listed', { jobs: unknown }, {}],
    ['a Redis user without its rights', {}, { rightsMissing: ['ACL SETUSER app +copy'] }],
    ['a pod without the client', { pods: { known: true, value: [pod('old', { template: 't0' })] } }, { members: [] }],
  ])('is not held by %s', (_, over, redis) => {
    expect(run(status, worldOf(status, over, redis), { spec }).status.epoch).toBe(6)
  })

  test('raises the fence first, so that whoever does not follow is held out', () => {
    const open = { ...status, fence: 4 }
    const decision = run(open, worldOf(open), { spec })
    expect(actionTypes(decision)).toEqual(['RaiseFence'])
    expect(decision.status.epoch).toBe(5)
  })

  test.each<[string, Seen, string]>([
    ['the ConfigMap cannot be read', { configMap: { known: false, reason: 'x', message: 'y' } }, 'ConfigMapUnknown'],
    [
      'the document in force is not in place yet',
      { configMap: { known: true, value: { exists: true, immutable: false } } },
      'Publishing',
    ],
  ])('is held while %s: the fence would hold out everybody', (_, over, reason) => {
    const decision = run(status, worldOf(status, over), { spec })
    expect(decision.status.epoch).toBe(5)
    expect(conditionText(decision, 'Ready')).toBe(`False ${reason}`)
  })

  test('is not taken while paused', () => {
    const decision = run(status, worldOf(status), { spec: specOf({ targetPhase: 'Legacy', paused: true }) })
    expect(decision.status.epoch).toBe(5)
  })

  test('from reads ends at 100 % of creates, and the cap counts again at its next change', () => {
    const reads: Status = {
      ...statusAt('ReadRouting', { percent: 50, over: { evidence: proven('verifiedTarget') } }),
      fence: 5,
    }
    const capped = (canaryPercentage: number) => specOf({ targetPhase: 'DualWrite', canaryPercentage })
    const back = run(reads, worldOf(reads), { spec: capped(10) }).status
    expect(back).toMatchObject({ phase: 'DualWrite', canaryPercentage: 100, lastCap: { canaryPercentage: 10 } })
    expect(back.evidence).toEqual(proven('verifiedTarget'))

    const settled: Status = { ...back, convergedAt: isoTime(T0 + MINUTE), fence: 6 }
    const rests = run(settled, worldOf(settled), { spec: capped(10) })
    expect(rests.status).toMatchObject({ epoch: 6, canaryPercentage: 100 })
    const lowered = run(settled, worldOf(settled), { spec: capped(5) }).status
    expect(lowered).toMatchObject({ epoch: 7, canaryPercentage: 5, phase: 'DualWrite' })
    expect(lowered.evidence).toBeUndefined()
  })

  test('to Legacy forgets that the cap did not count', () => {
    const status: Status = {
      ...statusAt('DualWrite', { over: { lastCap: { targetPhase: 'DualWrite', canaryPercentage: 10 } } }),
      fence: 5,
    }
    expect(run(status, worldOf(status), { spec }).status.lastCap).toBeUndefined()
  })

  test('a lower percentage is one step, whatever lies between', () => {
    const all: Status = { ...statusAt('DualWrite'), fence: 5 }
    expect(run(all, worldOf(all), { spec: specOf({ canaryPercentage: 5 }) }).status.canaryPercentage).toBe(5)
  })

  test('carries a failing check over: what it failed on before says nothing of the state that it is left for', () => {
    const failing: Status = { ...status, checks: [{ name: 'errors', outcome: 'Fail', failures: 2 }] }
    const decision = run(failing, worldOf(failing, { latest: [measure('Fail')] }), {
      spec: specOf({ canaryPercentage: 10 }),
    })
    expect(decision.status.checks).toMatchObject([{ failures: 0, carried: true }])
  })
})

describe('an abort', () => {
  const spec = specOf({ targetPhase: 'Legacy' })
  const fresh = (over: Partial<Status> = {}): Status => ({
    ...statusAt('DualWrite', {
      percent: 10,
      from: ['Legacy', 0],
      over: { convergedAt: undefined, soakEndsAt: undefined },
    }),
    ...over,
  })
  const behind = { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }

  test('takes a step back that has not converged, at once and without the fence', () => {
    const decision = run(fresh(), worldOf(fresh(), {}, behind), { spec })
    expect(decision.status).toMatchObject({ epoch: 6, phase: 'Legacy', isAbort: true })
    expect(actionTypes(decision)).toEqual(['WriteRecord', 'ApplyConfigMap'])
    expect(eventReasons(decision)).toContain('Aborted')
  })

  test('is made once: the next step back waits', () => {
    const aborted: Status = {
      ...statusAt('DualWrite', {
        percent: 50,
        from: ['DualWrite', 100],
        over: { convergedAt: undefined, isAbort: true },
      }),
      fence: 3,
    }
    const decision = run(aborted, worldOf(aborted, {}, behind), { spec })
    expect(decision.status.epoch).toBe(5)
    expect(conditionText(decision, 'Ready')).toBe('False SteppingBack')
  })

  test.each<[string, Status]>([
    ['a step that has converged', { ...fresh(), convergedAt: isoTime(T0) }],
    ['a step back', fresh({ previous: routingState('ReadRouting', 0, 50) })],
    ['an epoch whose state before is not known', fresh({ previous: undefined })],
  ])('is not made of %s', (_, status) => {
    expect(run(status, worldOf(status, {}, behind), { spec }).status.epoch).toBe(5)
  })

  test('is not made while paused', () => {
    const paused = specOf({ targetPhase: 'Legacy', paused: true })
    expect(run(fresh(), worldOf(fresh(), {}, behind), { spec: paused }).status.epoch).toBe(5)
  })

  test('is made although the document is not in place everywhere, but not where it cannot be written', () => {
    const absent: Seen = { configMap: { known: true, value: { exists: false, immutable: false } } }
    const unknown: Seen = { configMap: { known: false, reason: 'x', message: 'y' } }
    expect(run(fresh(), worldOf(fresh(), absent, behind), { spec }).status.epoch).toBe(6)
    expect(run(fresh(), worldOf(fresh(), unknown, behind), { spec }).status.epoch).toBe(5)
  })
})

describe('a failure', () => {
  const spec = specOf({ targetPhase: 'BackfillVerify' })
  const failing = (start = T0 + SECOND): Seen => ({
    windows: windows(start, ['Fail', 'Fail', 'Fail', 'Fail']),
    latest: [measure('Fail', { message: '0.2 is above max 0.01' })],
  })
  const fenced = (status: Status): Status => ({ ...status, fence: 5 })
  const reads = fenced(statusAt('ReadRouting', { percent: 50, over: { evidence: proven('verifiedTarget') } }))

  test('within its limit only holds up the soak', () => {
    const few = { ...failing(), windows: windows(T0 + SECOND, ['Fail', 'Fail', 'Fail']) }
    const decision = run(reads, worldOf(reads, few), { spec, now: T0 + 5 * MINUTE })
    expect(decision.status).toMatchObject({ epoch: 5, checks: [{ failures: 3 }], soakRemainingMs: HOUR })
    expect(conditionText(decision, 'Ready')).toBe('False CheckFailing')
    expect(decision.status.failed).toBeUndefined()
  })

  test.each<[string, Status, string]>([
    ['in DualWrite goes to Legacy', fenced(statusAt('DualWrite', { percent: 10 })), 'Legacy 0'],
    ['in ReadRouting goes to DualWrite with 100 % of creates', reads, 'DualWrite 100'],
    [
      'in BackfillVerify goes back by one state for each phase',
      fenced(statusAt('BackfillVerify', { over: { evidence: proven() } })),
      'ReadRouting 100',
    ],
  ])('%s', (_, status, expected) => {
    const decision = run(status, worldOf(status, failing()), { spec, now: T0 + 5 * MINUTE })
    expect(`${decision.status.phase} ${decision.status.canaryPercentage}`).toBe(expected)
    expect(decision.status.failed).toMatchObject({
      phase: status.phase,
      reason: 'CheckFailed',
      destination: status.phase === 'DualWrite' ? 'Legacy' : 'DualWrite',
      targetPhase: 'BackfillVerify',
      canaryPercentage: 100,
      generation: 1,
    })
    expect(decision.status.failed?.message).toContain('0.2 is above max 0.01')
    expect(eventReasons(decision)).toEqual(expect.arrayContaining(['CheckFailed', 'SteppedBack']))
  })

  test('before the step has converged takes it back at once', () => {
    const fresh = statusAt('DualWrite', {
      percent: 50,
      from: ['DualWrite', 10],
      over: { convergedAt: undefined, soakEndsAt: undefined, soakCountedThrough: isoTime(T0) },
    })
    const decision = run(
      fresh,
      worldOf(fresh, failing(T0), { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }),
      {
        spec,
        now: T0 + 5 * MINUTE,
      },
    )
    expect(decision.status).toMatchObject({ canaryPercentage: 10, isAbort: true, failed: { destination: 'Legacy' } })
  })

  test('with onFailure Pause holds where it is, and shows why', () => {
    const pause = specOf({ targetPhase: 'BackfillVerify', slo: { ...spec.slo, onFailure: 'Pause' } })
    const decision = run(reads, worldOf(reads, failing()), { spec: pause, now: T0 + 5 * MINUTE })
    expect(decision.status).toMatchObject({ epoch: 5, failed: { destination: 'ReadRouting' } })
    expect(conditionText(decision, 'Stalled')).toBe('True CheckFailed')
    const again = run(decision.status, worldOf(decision.status, failing()), { spec: pause, now: T0 + 10 * MINUTE })
    expect(again.status.failed).toEqual(decision.status.failed)
  })

  const latched = (over: Partial<NonNullable<Status['failed']>> = {}): Status => ({
    ...statusAt('DualWrite', { epoch: 6, over: { evidence: proven('verifiedTarget') } }),
    failed: {
      phase: 'ReadRouting',
      step: 0,
      generation: 1,
      reason: 'CheckFailed',
      message: 'check errors failed',
      at: isoTime(T0),
      destination: 'DualWrite',
      targetPhase: 'BackfillVerify',
      canaryPercentage: 100,
      ...over,
    },
    fence: 6,
  })

  test('latches: no forward step though everything passes', () => {
    const decision = run(latched(), worldOf(latched(), judged), { spec, now: later })
    expect(decision.status.epoch).toBe(6)
    expect(conditionText(decision, 'Stalled')).toBe('True CheckFailed')
    expect(conditionText(decision, 'TargetReached')).toMatch(/^False/)
    expect(decision.status.awaits).toContain('keyshift.dev/retry')
  })

  test.each<[string, Partial<SpecInput>, Record<string, string>?]>([
    ['targetPhase changes', { targetPhase: 'ReadRouting' }],
    ['canaryPercentage changes', { targetPhase: 'BackfillVerify', canaryPercentage: 99 }],
    ['the retry annotation gets a value', { targetPhase: 'BackfillVerify' }, { 'keyshift.dev/retry': '1' }],
  ])('is answered when %s', (_, over, annotations = {}) => {
    const decision = run(latched(), worldOf(latched(), judged), { spec: specOf(over), now: later, annotations })
    expect(decision.status.failed).toBeUndefined()
    expect(eventReasons(decision)).toContain('Unlatched')
  })

  test('is not answered by the annotation that stood there when it failed', () => {
    const status = latched({ retry: '1' })
    const same = { annotations: { 'keyshift.dev/retry': '1' } }
    expect(run(status, worldOf(status), { spec, ...same }).status.failed).toBeDefined()
    expect(
      run(status, worldOf(status), { spec, annotations: { 'keyshift.dev/retry': '2' } }).status.failed,
    ).toBeUndefined()
  })

  test('remembers the annotation that stood there', () => {
    const options = { spec, now: T0 + 5 * MINUTE, annotations: { 'keyshift.dev/retry': 'old' } }
    expect(run(reads, worldOf(reads, failing()), options).status.failed?.retry).toBe('old')
  })

  test('answered, counts failures anew', () => {
    const status: Status = { ...latched(), checks: [{ name: 'errors', outcome: 'Pass', failures: 4 }] }
    const decision = run(status, worldOf(status), { spec, annotations: { 'keyshift.dev/retry': '2' } })
    expect(decision.status.checks?.[0]?.failures).toBe(0)
    expect(decision.status.failed).toBeUndefined()
  })

  test('where an earlier one sent the walk sends it on', () => {
    const status: Status = { ...latched(), soakCountedThrough: isoTime(T0 + SECOND) }
    const decision = run(status, worldOf(status, failing()), { spec, now: T0 + 5 * MINUTE })
    expect(decision.status.failed).toMatchObject({ phase: 'DualWrite', destination: 'Legacy' })
    expect(decision.status.phase).toBe('Legacy')
  })

  test('on the way to where an earlier one sent the walk changes nothing', () => {
    const { failed } = latched({ phase: 'BackfillVerify' })
    const status: Status = { ...statusAt('ReadRouting', { epoch: 6, over: { failed } }), fence: 5 }
    const decision = run(status, worldOf(status, failing()), { spec, now: T0 + 5 * MINUTE })
    expect(decision.status.failed).toEqual(failed)
  })

  test('never sends the walk further forward than the spec', () => {
    const status: Status = {
      ...statusAt('ReadRouting', { epoch: 6, over: { failed: latched({ targetPhase: 'Legacy' }).failed } }),
      fence: 6,
    }
    const back = run(status, worldOf(status), { spec: specOf({ targetPhase: 'Legacy' }) }).status
    expect(back.phase).toBe('DualWrite')
    const there: Status = { ...back, convergedAt: isoTime(T0), fence: 7 }
    expect(run(there, worldOf(there), { spec: specOf({ targetPhase: 'Legacy' }) }).status.phase).toBe('Legacy')
  })

  test('in Legacy has nowhere to go', () => {
    const legacy = statusAt('Legacy', { over: { soakCountedThrough: isoTime(T0) } })
    const decision = run(legacy, worldOf(legacy, failing()), { spec })
    expect(decision.status.failed).toBeUndefined()
    expect(decision.status.epoch).toBe(5)
  })
})

describe('a pod without the client', () => {
  const spec = specOf({ targetPhase: 'BackfillVerify' })
  const stranger = pod('old', { template: 't0', image: 'api:1' })
  const seen = (status: Status): Observations => worldOf(status, { pods: { known: true, value: [pod('a'), stranger] } })

  test('in Legacy only holds', () => {
    const legacy = statusAt('Legacy')
    const decision = run(legacy, seen(legacy), { spec })
    expect(decision.status.failed).toBeUndefined()
    expect(conditionText(decision, 'Converged')).toBe('False UnawarePod')
    expect(decision.status.conditions?.find(({ type }) => type === 'Converged')?.message).toContain(
      'old (Deployment/api, image api:1)',
    )
  })

  test('later voids what was proven and sends the walk back as a failed check does', () => {
    const reads: Status = {
      ...statusAt('ReadRouting', { percent: 50, over: { evidence: proven('verifiedTarget', 'backfill') } }),
      fence: 5,
    }
    const decision = run(reads, seen(reads), { spec })
    expect(decision.status).toMatchObject({
      phase: 'DualWrite',
      failed: { reason: 'UnawarePod', destination: 'DualWrite' },
    })
    expect(decision.status.evidence).toMatchObject({ baseEpoch: 5, voided: '1 pod without the client ran' })
    expect(decision.status.evidence?.backfill).toBeUndefined()
    expect(eventReasons(decision)).toEqual(expect.arrayContaining(['UnawarePod', 'EvidenceVoid']))
    expect(actionTypes(decision)).toContain('MarkBackfilled')
  })

  test('is not judged again before the document that it caused is in place', () => {
    const reads: Status = { ...statusAt('ReadRouting', { percent: 50 }), fence: 5 }
    const back = run(reads, seen(reads), { spec })
    const again = run(back.status, seen(reads), { spec })
    expect(again.status.failed).toEqual(back.status.failed)
  })

  test('that is still there where it sent the walk does not send it further', () => {
    const reads: Status = { ...statusAt('ReadRouting', { percent: 50 }), fence: 5 }
    const { status } = run(reads, seen(reads), { spec })
    const settled = run(status, worldOf(status, seen(status)), { spec })
    expect(settled.status.failed).toMatchObject({ phase: 'ReadRouting', destination: 'DualWrite' })
    expect(settled.status.phase).toBe('DualWrite')
    expect(conditionText(settled, 'Stalled')).toBe('True UnawarePod')
    // Answered while it is there, it fails the phase that it is in.
    const answered = run(settled.status, worldOf(settled.status, seen(settled.status)), {
      spec,
      annotations: { 'keyshift.dev/retry': '1' },
    })
    expect(answered.status.failed).toMatchObject({ phase: 'DualWrite', destination: 'Legacy' })
  })

  test('with onFailure Pause holds, and goes on being Stalled', () => {
    const pause = specOf({ targetPhase: 'BackfillVerify', slo: { ...spec.slo, onFailure: 'Pause' } })
    const reads: Status = { ...statusAt('ReadRouting', { percent: 50 }), fence: 5 }
    const decision = run(reads, seen(reads), { spec: pause })
    expect(decision.status.epoch).toBe(5)
    expect(conditionText(decision, 'Stalled')).toBe('True UnawarePod')
  })
})

describe('the document follows the spec', () => {
  const spec = (over: Partial<SpecInput>) => specOf({ targetPhase: 'DualWrite', ...over })
  const keys = { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' }
  const fenced = (status: Status): Status => ({ ...status, fence: 5 })

  test('queues that change are published under a new epoch; the soak keeps what it earned', () => {
    const status = fenced(
      statusAt('DualWrite', { over: { soakLengthMs: 4 * HOUR, evidence: proven('verifiedTarget') } }),
    )
    const decision = run(status, worldOf(status), {
      spec: spec({ keys: { ...keys, queues: [{ key: 'q' }] } }),
      now: T0 + 31 * MINUTE,
    })
    expect(decision.status).toMatchObject({
      epoch: 6,
      phase: 'DualWrite',
      canaryPercentage: 100,
      evidence: proven('verifiedTarget'),
    })
    expect(documentIn(decision.status).queues).toEqual(['q'])
    expect(decision.status.soakRemainingMs).toBe(HOUR + SECOND - 31 * MINUTE)
    expect(eventReasons(decision)).toContain('Redocumented')
  })

  test('it waits for the clients as a step back does', () => {
    const status = statusAt('DualWrite')
    const behind = { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }
    const decision = run(status, worldOf(status, {}, behind), {
      spec: spec({ keys: { ...keys, queues: [{ key: 'q' }] } }),
    })
    expect(conditionText(decision, 'Ready')).toBe('False SteppingBack')
  })

  test('templates that change in Legacy raise the fence under the new prefix before they are published', () => {
    const status = fenced(statusAt('Legacy'))
    const changed = spec({ keys: { ...keys, legacy: 'app:job:{job_id}', target: 'app:job:{workspace_id}:{job_id}' } })
    const nothingThere = { record: undefined, fence: undefined, members: [] }
    const raise = run(status, worldOf(status, {}, nothingThere), { spec: changed })
    expect(actionTypes(raise)).toEqual(['RaiseFence'])
    expect(actionOf(raise, 'RaiseFence').epoch).toBe(5)
    const decision = run(status, worldOf(status, {}, { ...nothingThere, fence: 5 }), { spec: changed })
    expect(documentIn(decision.status)).toMatchObject({ epoch: 6, phase: 'Legacy', legacy: 'app:job:{job_id}' })
    expect(actionTypes(decision)).toEqual(['WriteRecord', 'ApplyConfigMap'])
    expect(eventReasons(decision)).not.toContain('Adopted')
  })

  const drawnBy = ({ canary, keys: changed }: Partial<SpecInput>) =>
    canary === undefined ? { workspaceField: changed?.workspaceField } : { canaryBy: canary.by }

  test.each<[string, Partial<SpecInput>, string]>([
    ['a template', { keys: { ...keys, target: 'ai:task:{workspace_id}:{job_id}' } }, 'keys.target'],
    ['the legacy template', { keys: { ...keys, legacy: 'ai:jobs:{job_id}' } }, 'keys.legacy'],
    ['the workspace field', { keys: { ...keys, workspaceField: 'tenant' } }, 'keys.workspaceField'],
    ['what the canary is drawn by', { canary: { by: 'Workspace' } }, 'canary.by'],
  ])('%s that changes later is refused, and nothing moves', (_, over, field) => {
    const status = fenced(
      statusAt('DualWrite', { over: { work: { verify: { attempt: 2, state: 'Creating', failures: 0 } } } }),
    )
    const decision = run(status, worldOf(status, judged), { spec: spec(over), now: later })
    expect(conditionText(decision, 'Stalled')).toBe('True InvalidSpec')
    expect(decision.status.awaits).toContain(field)
    expect(decision.status.epoch).toBe(5)
    expect(actionTypes(decision)).not.toContain('CreateJob')
  })

  test.each<[string, Partial<SpecInput>]>([
    ['the workspace field', { keys: { ...keys, workspaceField: 'tenant' } }],
    ['what the canary is drawn by', { canary: { by: 'Workspace' } }],
  ])('with %s changed the way back to Legacy is open, by the document in force; there it may change', (_, over) => {
    const status = fenced(statusAt('DualWrite'))
    const changed = { spec: spec({ targetPhase: 'Legacy', ...over }), now: later }
    const back = run(status, worldOf(status, judged), changed).status
    const was = documentIn(status)
    expect(documentIn(back)).toEqual({ ...was, ...routingState('Legacy', 0, 0), epoch: 6, hash: documentIn(back).hash })
    const there = { ...back, fence: 6 }
    const decision = run(there, worldOf(there, judged), changed)
    expect(documentIn(decision.status)).toMatchObject({ epoch: 7, phase: 'Legacy', ...drawnBy(over) })
    expect(eventReasons(decision)).toContain('Redocumented')
  })
})
