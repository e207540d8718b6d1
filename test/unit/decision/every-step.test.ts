import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { Observations } from '../../../src/decision/types.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import {
  actionTypes,
  conditionText,
  HOUR,
  job,
  measure,
  member,
  MINUTE,
  proven,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  windows,
  worldOf,
} from './builders.ts'

type At = readonly [phase: Phase, percent: number]

/** Every step of the way forward with the state before it, and where a failure sends the walk from there. */
const STEPS: readonly { readonly at: At; readonly from: At; readonly safe: Phase }[] = [
  { at: ['DualWrite', 10], from: ['Legacy', 0], safe: 'Legacy' },
  { at: ['DualWrite', 50], from: ['DualWrite', 10], safe: 'Legacy' },
  { at: ['DualWrite', 100], from: ['DualWrite', 50], safe: 'Legacy' },
  { at: ['ReadRouting', 50], from: ['DualWrite', 100], safe: 'DualWrite' },
  { at: ['ReadRouting', 100], from: ['ReadRouting', 50], safe: 'DualWrite' },
  { at: ['BackfillVerify', 100], from: ['ReadRouting', 100], safe: 'DualWrite' },
]
const name = ([phase, percent]: At): string => `${phase} ${percent}`
const cases = STEPS.map((step) => [name(step.at), step] as const)

const spec = (over: Partial<SpecInput> = {}) =>
  specOf({
    targetPhase: 'BackfillVerify',
    phases: {
      dualWrite: {
        steps: [
          { percent: 10, soak: '1h' },
          { percent: 50, soak: '1h' },
        ],
      },
      readRouting: { steps: [{ percent: 50, soak: '1h' }] },
      backfillVerify: { soak: '1h' },
    },
    ...over,
  })
const pause = { slo: { ...spec().slo, onFailure: 'Pause' as const } }

/** Published, and one client is still on the epoch before. */
function fresh({ at: [phase, percent], from }: (typeof STEPS)[number], over: Partial<Status> = {}): Status {
  const unsettled = { convergedAt: undefined, soakEndsAt: undefined, soakCountedThrough: isoTime(T0) }
  const proofs = phase === 'BackfillVerify' ? proven('backfill', 'verifiedBoth') : proven('verifiedTarget')
  const evidence = percent === 100 || phase !== 'DualWrite' ? proofs : undefined
  return { ...statusAt(phase, { percent, from, over: { ...unsettled, evidence } }), ...over }
}
const behind = { members: [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }] }
/** One failure more than the limit. */
const failing = (start = T0): Partial<Observations> => ({
  windows: windows(start, ['Fail', 'Fail', 'Fail', 'Fail']),
  latest: [measure('Fail', { message: '0.2 is above max 0.01' })],
})
const stateIn = ({ phase, canaryPercentage }: Status): string => `${phase} ${canaryPercentage}`
const now = T0 + 3 * MINUTE

describe.each(cases)('%s that has not converged', (_, step) => {
  const status = fresh(step)
  const go = (over: Partial<SpecInput>, seen: Partial<Observations> = {}, before = status, at = now) =>
    run(before, worldOf(before, seen, behind), { spec: spec(over), now: at })

  test('is taken back at once, without waiting and without the fence, when targetPhase is lowered', () => {
    const decision = go({ targetPhase: 'Legacy' }, {}, status, T0 + SECOND)
    expect(stateIn(decision.status)).toBe(name(step.from))
    expect(decision.status).toMatchObject({ epoch: 6, isAbort: true })
    expect(actionTypes(decision)).not.toContain('RaiseFence')
  })

  test('is taken back at once when a check fails, and the failure latches', () => {
    const decision = go({}, failing())
    expect(stateIn(decision.status)).toBe(name(step.from))
    expect(decision.status).toMatchObject({
      epoch: 6,
      isAbort: true,
      failed: { phase: step.at[0], step: status.step, reason: 'CheckFailed', destination: step.safe },
    })
  })

  test('is taken back once: what follows waits for the clients', () => {
    const { status: aborted } = go({ targetPhase: 'Legacy' })
    const again = go({ targetPhase: 'Legacy' }, {}, aborted, now + SECOND)
    expect(again.status.epoch).toBe(6)
    const forward = go({}, {}, aborted, now + HOUR)
    expect(forward.status.epoch).toBe(6)
  })

  test('stays when a check fails under onFailure Pause, says so, and goes back when a person says so', () => {
    const held = go(pause, failing())
    expect(held.status).toMatchObject({ epoch: 5, failed: { phase: step.at[0], destination: step.at[0] } })
    expect(conditionText(held, 'Stalled')).toBe('True CheckFailed')
    const back = go({ ...pause, targetPhase: 'Legacy' }, failing(), held.status)
    expect(stateIn(back.status)).toBe(name(step.from))
  })

  test('stays while paused, whatever is asked for or fails; the failure latches all the same', () => {
    expect(go({ paused: true, targetPhase: 'Legacy' }).status.epoch).toBe(5)
    const held = go({ paused: true }, failing())
    expect(held.status).toMatchObject({ epoch: 5, failed: { destination: step.safe } })
    expect(held.status.awaits).toMatch(
      new RegExp(`paused at ${step.at[0]}.*${step.from[0]}.* is next: check errors failed more than 3 times`),
    )
    expect(stateIn(go({}, {}, held.status).status)).toBe(name(step.from))
  })
})

const lowered: readonly (readonly [At, number, string])[] = [
  [['DualWrite', 50], 10, 'DualWrite 10'],
  // Clients are on two epochs already: a third state would not be adjacent to both.
  [['DualWrite', 50], 5, 'DualWrite 10'],
  [['DualWrite', 100], 50, 'DualWrite 50'],
  [['ReadRouting', 100], 50, 'ReadRouting 50'],
]
test.each(lowered.map(([at, cap, to]) => [name(at), cap, to, at] as const))(
  '%s that has not converged goes back when canaryPercentage is lowered to %i: %s',
  (from, cap, to, [targetPhase]) => {
    const step = STEPS.find(({ at }) => name(at) === from)
    if (step === undefined) throw new Error(from)
    const status = fresh(step)
    const decision = run(status, worldOf(status, {}, behind), {
      spec: spec({ targetPhase, canaryPercentage: cap }),
      now,
    })
    expect(decision.status).toMatchObject({ epoch: 6, isAbort: true })
    expect(stateIn(decision.status)).toBe(to)
  },
)

describe.each(cases)('%s that has converged', (_, step) => {
  const status: Status = {
    ...fresh(step),
    convergedAt: isoTime(T0 + SECOND),
    soakEndsAt: isoTime(T0 + SECOND + HOUR),
    soakLengthMs: HOUR,
    fence: 5,
  }
  const go = (over: Partial<SpecInput>, seen: Partial<Observations> = {}, redis = {}, at = now) =>
    run(status, worldOf(status, seen, redis), { spec: spec(over), now: at })

  test('goes back when a check fails more often than it may, without abort', () => {
    const decision = go({}, failing(), {})
    expect(decision.status.epoch).toBe(6)
    expect(decision.status.isAbort).toBeUndefined()
    expect(decision.status.failed).toMatchObject({ phase: step.at[0], destination: step.safe })
  })

  test('holds when a check fails under onFailure Pause', () => {
    const decision = go(pause, failing())
    expect(decision.status).toMatchObject({ epoch: 5, failed: { destination: step.at[0] } })
  })

  test.each(['Error', 'Inconclusive'] as const)('holds at any number of checks with outcome %s', (outcome) => {
    const bad = windows(
      T0,
      Array.from({ length: 5 }, () => outcome),
    )
    const decision = go({}, { windows: bad, latest: [measure(outcome, { message: 'why it is' })] })
    expect(decision.status.epoch).toBe(5)
    expect(decision.status.failed).toBeUndefined()
    expect(conditionText(decision, 'SLOHealthy')).toBe(`Unknown Check${outcome}`)
  })

  test('checks that fail do not hold a person who goes back, not even under onFailure Pause', () => {
    const back = go({ ...pause, targetPhase: 'Legacy' }, failing(), behind)
    expect(back.status.epoch).toBe(6)
    expect(back.status.failed).toBeUndefined()
  })

  test('reached on the way back, waits for its clients and goes on back, whatever the checks say meanwhile', () => {
    const onWay = fresh({ ...step, from: ['BackfillVerify', 100] })
    const back = spec({ ...pause, targetPhase: 'Legacy' })
    const waiting = run(onWay, worldOf(onWay, failing(), behind), { spec: back, now: T0 + 110 * SECOND })
    expect(waiting.status.epoch).toBe(5)
    expect(waiting.status.failed).toBeUndefined()
    const going = run(waiting.status, worldOf(waiting.status, {}, behind), { spec: back, now })
    expect(actionTypes(going)).toContain('RaiseFence')
  })

  test('while paused goes neither back nor on, and suspends its Jobs; checks and soak go on', () => {
    const active = job('ai-jobs-verify-1')
    const working: Status = { ...status, work: { verify: { attempt: 1, state: 'Active', failures: 0 } } }
    const passing = windows(
      T0,
      Array.from({ length: 3 }, () => 'Pass' as const),
    )
    for (const over of [{}, { targetPhase: 'Legacy' as const }]) {
      const seen = { windows: passing, jobs: [active], latest: [measure('Pass', { value: 0.003 })] }
      const decision = run(working, worldOf(working, seen), { spec: spec({ paused: true, ...over }), now })
      expect(decision.status).toMatchObject({ epoch: 5, soakEndsAt: status.soakEndsAt })
      expect(decision.status.checks).toMatchObject([{ outcome: 'Pass', value: '0.003000' }])
      expect(conditionText(decision, 'Paused')).toBe('True Paused')
      expect(actionTypes(decision)).not.toContain('RaiseFence')
      if (step.at[1] === 100 || step.at[0] !== 'DualWrite') expect(actionTypes(decision)).toContain('SuspendJob')
    }
  })

  test('a soak is not what is waited for while Prometheus lets no window end', () => {
    const seen = { latest: [measure('Error', { message: 'Prometheus answers 503' })] }
    const decision = go({}, seen, {}, T0 + 2 * HOUR)
    expect(decision.status.epoch).toBe(5)
    expect(conditionText(decision, 'Ready')).toBe('False CheckError')
    expect(decision.status.awaits).toContain('the soak is held up: errors: Prometheus answers 503')
  })
})
