import type { Status } from '../../../src/api/status.ts'
import { conditionText, eventReasons, proven, recordOf, run, specOf, statusAt, worldOf } from './builders.ts'

const canary = statusAt('DualWrite', { percent: 10 })
const dual = statusAt('DualWrite', { over: { evidence: proven() } })
const legacy = statusAt('Legacy')
const verify = statusAt('BackfillVerify', { over: { evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth') } })
const failed: NonNullable<Status['failed']> = {
  phase: 'DualWrite',
  step: 0,
  generation: 1,
  reason: 'CheckFailed',
  message: 'errors',
  at: '2026-01-01T00:00:00.000Z',
  destination: 'DualWrite',
  targetPhase: 'DualWrite',
  canaryPercentage: 100,
}
const given = (name: string, value = 'x') => ({ annotations: { [`keyshift.dev/${name}`]: value } })
const kinds = (status: Status): string[] =>
  Object.entries(status.work ?? {}).flatMap(([kind, { inputs }]) => (inputs === 'x' ? [kind] : []))

describe('an annotation that cannot be obeyed now is answered at once, and orders nothing later', () => {
  test.each<[string, Status, string, string, Parameters<typeof specOf>[0]?]>([
    ['repair in a canary', canary, 'repair', 'x'],
    ['repair in Legacy', legacy, 'repair', 'x'],
    ['repair on the way back', dual, 'repair', 'x', { targetPhase: 'Legacy' }],
    ['purge past Legacy', canary, 'purge', 'x'],
    ['purge in BackfillVerify', verify, 'purge', 'x', { targetPhase: 'BackfillVerify' }],
    ['retry where nothing has failed', canary, 'retry', 'x'],
    ['adopt-epoch where nothing contradicts', canary, 'adopt-epoch', '5'],
  ])('%s', (_, status, name, value, ...[spec]) => {
    const options = { ...given(name, value), spec: specOf(spec) }
    const first = run(status, worldOf(status), options)
    expect(first.events.filter(({ reason }) => reason === 'AnnotationRefused').map(({ message }) => message)).toEqual([
      expect.stringMatching(new RegExp(`^keyshift.dev/${name}: "${value}" is not carried out, now or later: `)),
    ])
    expect(kinds(first.status)).toEqual([])
    const again = run(first.status, worldOf(first.status), options)
    expect(eventReasons(again)).not.toContain('AnnotationRefused')
  })

  test.each<[string, string, Status, Status]>([
    ['repair, refused in a canary, does nothing at 100 %', 'repair', canary, dual],
    ['purge, refused past Legacy, does nothing once the walk is back there', 'purge', canary, legacy],
  ])('%s; taken off and given again it is obeyed', (_, name, before, later) => {
    const { orders } = run(before, worldOf(before), given(name)).status
    const then = { ...later, orders }
    const still = run(then, worldOf(then), given(name)).status
    expect(kinds(still)).toEqual([])
    const off = run(then, worldOf(then)).status
    expect(off.orders).toBeUndefined()
    expect(kinds(run(off, worldOf(off), given(name)).status)).toEqual([name])
    expect(kinds(run(then, worldOf(then), given(name, 'y')).status)).toEqual([])
    expect(run(then, worldOf(then), given(name, 'y')).status.work?.[name]?.inputs).toBe('y')
  })

  test('adopt-epoch given in peace does not adopt when a conflict comes; taken off and given again it does', () => {
    const { orders } = run(canary, worldOf(canary), given('adopt-epoch', '9')).status
    const then = { ...canary, orders }
    const conflict = worldOf(then, {}, { fence: 9 })
    const still = run(then, conflict, given('adopt-epoch', '9'))
    expect(still.status.epoch).toBe(5)
    expect(still.status.awaits).toMatch(/adopt-epoch: "9", after taking off the one that is there/)
    const off = run(then, conflict).status
    expect(off.orders).toBeUndefined()
    expect(run(off, conflict, given('adopt-epoch', '9')).status.epoch).toBe(10)
  })

  test('adopt-epoch left from before takes no record over', () => {
    const then = { ...canary, orders: { adopt: '4' } }
    const record = recordOf(statusAt('Legacy', { epoch: 3 }), { owner: 'other/jobs' })
    const decision = run(then, worldOf(then, {}, { record }), given('adopt-epoch', '4'))
    expect(conditionText(decision, 'Stalled')).toBe('True StateConflict')
    expect(decision.actions).toEqual([])
  })

  test('a status that was lost does not arm it again', () => {
    const refused = run(canary, worldOf(canary), given('repair')).status
    expect(refused.orders).toEqual({ repair: 'x' })
    const restored = run(undefined, worldOf(refused), given('repair'))
    expect(eventReasons(restored)).not.toContain('AnnotationRefused')
    expect(restored.status.orders).toEqual({ repair: 'x' })
  })

  test('one that is obeyed is not refused, neither then nor afterwards', () => {
    const asked = run(dual, worldOf(dual), given('repair'))
    expect([eventReasons(asked).includes('AnnotationRefused'), kinds(asked.status)]).toEqual([false, ['repair']])
    const done = { ...canary, repaired: repaired('x') }
    expect(eventReasons(run(done, worldOf(done), given('repair')))).not.toContain('AnnotationRefused')
    const purged = { ...canary, purged: 'x' }
    expect(eventReasons(run(purged, worldOf(purged), given('purge')))).not.toContain('AnnotationRefused')
  })

  test('retry that answers a failure, or a held Job, is not refused, neither then nor afterwards', () => {
    const latched = { ...canary, failed }
    const held: Status = {
      ...dual,
      work: { verify: { attempt: 1, state: 'Held', failures: 0, reason: 'VerifyFailed', direction: 'TargetToLegacy' } },
    }
    for (const status of [latched, held]) {
      const first = run(status, worldOf(status), given('retry'))
      const again = run(first.status, worldOf(first.status), given('retry'))
      expect([...eventReasons(first), ...eventReasons(again)]).not.toContain('AnnotationRefused')
    }
  })
})

function repaired(value: string): NonNullable<Status['repaired']> {
  return { value, job: 'j', at: '2026-01-01T00:00:00.000Z', copied: 0, replaced: 0, removed: 0, left: 0, keys: [] }
}
