import type { CheckSpec } from '../../../src/api/schema.ts'
import type { StatusCheck } from '../../../src/api/status.ts'
import {
  allPass,
  noteChecks,
  overLimit,
  talliesOf,
  tally,
  windowPasses,
  worstNote,
} from '../../../src/decision/checks.ts'
import type { Outcome, SoakWindow } from '../../../src/decision/types.ts'
import { measure } from './builders.ts'

const check = (name: string, failureLimit = 3): CheckSpec => ({
  name,
  query: name,
  max: 1,
  interval: '30s',
  failureLimit,
  onNoData: 'Inconclusive',
})
const checks = [check('errors'), check('slow', 0)]

function window(...outcomes: [string, Outcome][]): SoakWindow {
  return { start: 0, end: 1, measurements: outcomes.map(([name, outcome]) => measure(outcome, { check: name })) }
}

describe('a window', () => {
  test.each<[string, boolean, readonly CheckSpec[], SoakWindow]>([
    ['passes when every check passed', true, checks, window(['errors', 'Pass'], ['slow', 'Pass'])],
    ['does not pass when one is inconclusive', false, checks, window(['errors', 'Pass'], ['slow', 'Inconclusive'])],
    ['does not pass when one is in error', false, checks, window(['errors', 'Error'], ['slow', 'Pass'])],
    ['does not pass when one was not measured', false, checks, window(['errors', 'Pass'])],
    ['without any check is never a pass', false, [], window()],
  ])('%s', (_, expected, of, seen) => {
    expect(windowPasses(of, seen)).toBe(expected)
  })
})

describe('failures', () => {
  const none = talliesOf(undefined)

  test('are counted for each check alone; nothing else counts', () => {
    const seen = [
      window(['errors', 'Fail'], ['slow', 'Error']),
      window(['errors', 'Inconclusive'], ['slow', 'Pass']),
      window(['errors', 'Fail']),
    ]
    const sums = seen.reduce((before, one) => tally(before, checks, one), none)
    expect([...sums]).toEqual([
      ['errors', { failures: 2, carried: false }],
      ['slow', { failures: 0, carried: false }],
    ])
  })

  test('are too many when they are more than the limit', () => {
    const times = (n: number) =>
      Array.from({ length: n }, () => window(['errors', 'Fail'])).reduce((sums, one) => tally(sums, checks, one), none)
    expect(overLimit(checks, times(3))).toBeUndefined()
    expect(overLimit(checks, times(4))?.name).toBe('errors')
    expect(overLimit(checks, none)).toBeUndefined()
  })

  test('from before a step back count once the check has passed again', () => {
    const carried = talliesOf([{ name: 'errors', outcome: 'Fail', failures: 0, carried: true }])
    const failing = tally(carried, checks, window(['errors', 'Fail']))
    expect(failing.get('errors')).toEqual({ failures: 0, carried: true })
    const unclear = tally(failing, checks, window(['errors', 'Inconclusive']))
    expect(unclear.get('errors')).toEqual({ failures: 0, carried: true })
    const passed = tally(unclear, checks, window(['errors', 'Pass']))
    expect(passed.get('errors')).toEqual({ failures: 0, carried: false })
    expect(tally(passed, checks, window(['errors', 'Fail'])).get('errors')?.failures).toBe(1)
  })
})

describe('checks in status', () => {
  const before: StatusCheck[] = [
    { name: 'errors', outcome: 'Pass', value: '0.5', failures: 0, query: 'errors' },
    { name: 'slow', outcome: 'Pass', failures: 0, query: 'slow' },
  ]
  const latest = [measure('Pass', { value: 0.25 }), measure('Pass', { check: 'slow', query: 'slow' })]
  const note = { before, checks, latest, tallies: talliesOf(before), refresh: false }

  test('keep their values while no outcome changes', () => {
    expect(noteChecks(note)).toBe(before)
  })

  test.each<[string, string, string, boolean]>([
    ['other words', 'ECONNREFUSED', 'Prometheus answers 401: put a valid token there', true],
    ['other numbers', 'left alone for 20 s more', 'left alone for 7 s more', false],
  ])('that do not pass are written again for %s', (_, then, message, written) => {
    const shown: StatusCheck[] = [{ name: 'errors', outcome: 'Error', message: then, failures: 0 }]
    const after = noteChecks({
      ...note,
      before: shown,
      checks: [check('errors')],
      latest: [measure('Error', { message })],
    })
    expect(after?.[0]?.message).toBe(written ? message : then)
  })

  test('get new values when asked to', () => {
    expect(noteChecks({ ...note, refresh: true })?.[0]?.value).toBe('0.2500')
  })

  test.each<[string, Partial<typeof note>]>([
    ['an outcome changes', { latest: [measure('Fail', { value: 2 }), latest[1] ?? measure('Pass')] }],
    ['a failure is counted', { tallies: new Map([['errors', { failures: 1, carried: false }]]) }],
    ['a check is carried over no more', { tallies: new Map([['errors', { failures: 0, carried: true }]]) }],
    ['a check is gone from the spec', { checks: [check('errors')] }],
  ])('are written when %s', (_, over) => {
    expect(noteChecks({ ...note, ...over })).not.toBe(before)
  })

  test('show worst elements, cut texts, and counts', () => {
    const worst = Array.from({ length: 9 }, (_, i) => ({ labels: 'x'.repeat(400), value: i + 0.123456 }))
    const failing = measure('Fail', { value: 2, worst, message: 'm'.repeat(900), query: 'q'.repeat(900) })
    const [shown] =
      noteChecks({ ...note, latest: [failing], tallies: new Map([['errors', { failures: 2, carried: true }]]) }) ?? []
    expect(shown).toMatchObject({ outcome: 'Fail', value: '2', failures: 2, carried: true })
    expect(shown?.worst).toHaveLength(5)
    expect(shown?.worst?.[1]?.value).toBe('1.123')
    expect(shown?.worst?.[0]?.labels).toHaveLength(256)
    expect([shown?.message?.length, shown?.query?.length]).toEqual([512, 512])
  })

  test('keep what is known of a check that was not measured in this pass', () => {
    const kept = noteChecks({ ...note, latest: [], tallies: new Map([['slow', { failures: 1, carried: true }]]) })
    expect(kept?.map(({ name, failures, carried }) => [name, failures, carried])).toEqual([
      ['errors', 0, undefined],
      ['slow', 1, true],
    ])
  })

  test('are left out before they are measured', () => {
    expect(noteChecks({ ...note, before: undefined, latest: [] })).toBeUndefined()
    expect(noteChecks({ ...note, checks: [], latest: [] })).toBeUndefined()
  })
})

test('all pass only when every check of the spec does', () => {
  expect(allPass(checks, [measure('Pass'), measure('Pass', { check: 'slow' })])).toBe(true)
  expect(allPass(checks, [measure('Pass')])).toBe(false)
  expect(allPass([], [])).toBe(false)
})

test.each<[string, Outcome[], string | undefined]>([
  ['a failure is worse than an error', ['Error', 'Fail'], 'CheckFailing'],
  ['an error is worse than no data', ['Inconclusive', 'Error'], 'CheckError'],
  ['no data is worse than a pass', ['Pass', 'Inconclusive'], 'CheckInconclusive'],
  ['passes are no trouble', ['Pass'], undefined],
])('%s', (_, outcomes, reason) => {
  const shown = outcomes.map((outcome, i) => ({
    name: `c${i}`,
    outcome,
    failures: 0,
    ...(i === 0 ? { message: 'why' } : {}),
  }))
  expect(worstNote(shown)?.reason).toBe(reason)
})
