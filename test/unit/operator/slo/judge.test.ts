import type { CheckSpec } from '../../../../src/api/schema.ts'
import { Activity } from '../../../../src/operator/slo/activity.ts'
import { judge, type JudgeContext } from '../../../../src/operator/slo/judge.ts'
import { readingOf, readingsOf, type Reading } from '../../../../src/operator/slo/reading.ts'

const check = (changes: Partial<CheckSpec> = {}): CheckSpec => ({
  name: 'errors',
  query: 'q',
  max: 0.01,
  interval: '30s',
  failureLimit: 3,
  onNoData: 'Inconclusive',
  ...changes,
})
const values = (...list: number[]): Reading => ({
  kind: 'elements',
  elements: list.map((value, i) => ({ labels: { workspace_id: `w${i}` }, value })),
  warnings: [],
  ageMs: 0,
})
const context = (changes: Partial<JudgeContext> = {}): JudgeContext => ({
  emptyPasses: false,
  vanished: [],
  ...changes,
})

describe('a check', () => {
  const table: readonly (readonly [string, CheckSpec, Reading, JudgeContext, string, RegExp])[] = [
    [
      'passes while the worst value is at most max',
      check(),
      values(0, 0.01),
      context(),
      'Pass',
      /0.01000 of workspace_id="w1" is within max 0.01/,
    ],
    [
      'fails when one of many workspaces is above max',
      check(),
      values(0, 0.02, 0),
      context(),
      'Fail',
      /0.02000 of workspace_id="w1" is above max 0.01/,
    ],
    [
      'fails below min',
      { ...check({ min: 5 }), max: undefined },
      values(6, 4),
      context(),
      'Fail',
      /4 of .* is below min 5/,
    ],
    ['passes between min and max', check({ min: 1, max: 2 }), values(1, 2), context(), 'Pass', /within min 1, max 2/],
    ['fails at infinity', check(), values(Infinity), context(), 'Fail', /above/],
    ['is inconclusive without data', check(), values(), context(), 'Inconclusive', /no data/],
    ['passes without data where the spec says so', check({ onNoData: 'Pass' }), values(), context(), 'Pass', /no data/],
    ['fails without data where the spec says so', check({ onNoData: 'Fail' }), values(), context(), 'Fail', /no data/],
    [
      'passes without active workspace from BackfillVerify on',
      check(),
      values(),
      context({ emptyPasses: true }),
      'Pass',
      /no active workspace/,
    ],
    [
      'is inconclusive when all workspaces vanished, also in BackfillVerify',
      check(),
      values(),
      context({ emptyPasses: true, vanished: ['w1'] }),
      'Inconclusive',
      /missing together: w1/,
    ],
    [
      'is inconclusive at NaN and says how to leave idle ones out',
      check(),
      values(NaN),
      context(),
      'Inconclusive',
      /"> 0" on the divisor/,
    ],
    [
      'is inconclusive when one of several is NaN',
      check(),
      values(0, NaN),
      context(),
      'Inconclusive',
      /1 of 2 values NaN \(workspace_id="w1"\)/,
    ],
    ['fails when one is NaN and another too high', check(), values(NaN, 1), context(), 'Fail', /above/],
    [
      'is inconclusive when workspaces vanished, and names them (G3)',
      check(),
      values(0),
      context({ vanished: ['w8', 'w9'] }),
      'Inconclusive',
      /2 elements .* w8, w9/,
    ],
    [
      'fails when workspaces vanished and one that is there is too high',
      check(),
      values(1),
      context({ vanished: ['w8'] }),
      'Fail',
      /above/,
    ],
    [
      'is inconclusive under a warning, also when a value is too high (G3)',
      check(),
      { ...values(1), warnings: ['a store is away'] } as Reading,
      context(),
      'Inconclusive',
      /a store is away/,
    ],
    [
      'is inconclusive when the answer is old',
      check(),
      { ...values(0), ageMs: 61_000 } as Reading,
      context(),
      'Inconclusive',
      /61 s old/,
    ],
    [
      'is an error when nothing answers',
      check(),
      { kind: 'failed', failure: 'Unreachable', message: 'refused' },
      context(),
      'Error',
      /refused/,
    ],
  ]
  it.each(table)('%s', (_, spec, reading, given, outcome, message) => {
    expect(judge(spec, reading, given)).toMatchObject({ outcome, message: expect.stringMatching(message) as string })
  })

  it('shows the five worst, worst first, with their labels', () => {
    const { value, worst } = judge(check(), values(1, 7, 3, NaN, 5, 2, 6), context())
    expect(value).toBe(7)
    expect(worst.map((one) => one.value)).toEqual([7, 6, 5, 3, 2])
    expect(worst[0]?.labels).toBe('workspace_id="w1"')
  })

  it('takes the lowest for the worst under min', () => {
    expect(
      judge({ ...check({ min: 5 }), max: undefined }, values(9, 1, 4), context()).worst.map((one) => one.value),
    ).toEqual([1, 4, 9])
  })
})

describe('a reading', () => {
  it('of a scalar is one element without labels', () => {
    const sample = { labels: {}, time: 500, value: 3 }
    expect(readingOf({ kind: 'scalar', sample, warnings: [], infos: ['x'] }, 1500)).toEqual({
      kind: 'elements',
      elements: [{ labels: {}, value: 3 }],
      warnings: [],
      ageMs: 1000,
    })
  })

  it('of a range is one for each moment, empty where nothing was', () => {
    const readings = readingsOf(
      { kind: 'matrix', series: [{ labels: {}, points: [{ time: 1, value: 5 }] }], warnings: [], infos: [] },
      [1, 2],
    )
    expect(readings.get(1)).toMatchObject({ elements: [{ value: 5 }] })
    expect(readings.get(2)).toMatchObject({ elements: [] })
  })
})

describe('workspaces', () => {
  const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `w${i}`)
  const MINUTE = 60_000
  const table: readonly (readonly [string, number, number, number, number])[] = [
    ['a fifth missing is no sign', 10, 8, 1, 0],
    ['more than a fifth missing has vanished', 10, 7, 1, 3],
    ['all missing have vanished', 10, 0, 1, 10],
    ['what was quiet for an hour is forgotten', 10, 0, 61, 0],
  ]
  it.each(table)('%s', (_, before, now, minutes, vanished) => {
    const activity = new Activity()
    activity.see(names(before), 0)
    expect(activity.vanished(names(now), minutes * MINUTE)).toHaveLength(vanished)
  })

  it('that come back are active again', () => {
    const activity = new Activity()
    activity.see(names(10), 0)
    activity.see(names(5), 30 * MINUTE)
    expect(activity.vanished(names(5), 31 * MINUTE)).toHaveLength(5)
    activity.see(names(10), 32 * MINUTE)
    expect(activity.vanished(names(10), 33 * MINUTE)).toEqual([])
    expect(activity.vanished(names(5), 80 * MINUTE)).toHaveLength(5)
  })
})
