import type { CheckSpec } from '../../../../src/api/schema.ts'
import { Activity } from '../../../../src/operator/slo/activity.ts'
import { elementName, judge, type JudgeContext } from '../../../../src/operator/slo/judge.ts'
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
const others = (value: number): Reading => ({
  kind: 'elements',
  elements: [
    { labels: { workspace_id: 'w1' }, value: value > 0.9 ? 1 : 0 },
    { labels: { workspace_id: 'other' }, value },
  ],
  warnings: [],
  ageMs: 0,
})
const context = (changes: Partial<JudgeContext> = {}): JudgeContext => ({
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
      'passes without active workspace where that may be and clients are scraped',
      check(),
      values(),
      context({ clients: values(2), mayBeIdle: true }),
      'Pass',
      /no active workspace/,
    ],
    [
      'is inconclusive without active workspace in a canary step, though clients are scraped',
      check(),
      values(),
      context({ clients: values(2) }),
      'Inconclusive',
      /clients of this migration are scraped: has the application traffic/,
    ],
    [
      'is inconclusive without active workspace when no client is scraped either',
      check(),
      values(),
      context({ clients: values(), mayBeIdle: true }),
      'Inconclusive',
      /no keyshift_client_epoch of this migration/,
    ],
    [
      'names the metric that is not found, in any phase (K9)',
      check(),
      values(),
      context({ clients: values() }),
      'Inconclusive',
      /metric not found: .*is the application scraped, and was its client given the registry/,
    ],
    [
      'is an error when it depends on the clients and these cannot be asked for',
      check(),
      values(),
      context({ clients: { kind: 'failed', failure: 'Unavailable', message: 'busy' } }),
      'Error',
      /busy/,
    ],
    [
      'is inconclusive when the answer about the clients comes with a warning',
      check(),
      values(),
      context({ clients: { ...values(2), warnings: ['a store is away'] } as Reading, mayBeIdle: true }),
      'Inconclusive',
      /a store is away/,
    ],
    [
      'is inconclusive when all workspaces vanished, although clients are scraped',
      check(),
      values(),
      context({ clients: values(2), mayBeIdle: true, vanished: ['w1'] }),
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
      /2 of the elements .* w8, w9/,
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
      'never passes on a share of failures among the workspaces without series of their own (G5)',
      check(),
      others(0.001),
      context(),
      'Inconclusive',
      /0.001000 of workspace_id="other" stands for all workspaces .*workspace_id!="other"/,
    ],
    [
      'never passes on the lowest of workspaces without series of their own (G5)',
      { ...check({ min: 0.9 }), max: undefined },
      others(0.95),
      context(),
      'Inconclusive',
      /stands for all workspaces/,
    ],
    [
      'passes when none of the workspaces without series of their own has a failure (G5)',
      check(),
      others(0),
      context(),
      'Pass',
      /within max/,
    ],
    ['fails when they are too high together (G5)', check(), others(0.5), context(), 'Fail', /"other" is above/],
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
    ['the only one missing has vanished', 1, 0, 1, 1],
    ['one of three that falls idle is no sign', 3, 2, 1, 0],
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

  it('that fall idle one by one have not vanished, however many', () => {
    const activity = new Activity()
    for (let minute = 0; minute < 10; minute += 1) activity.see(names(20).slice(minute), minute * MINUTE)
    expect(activity.vanished(names(20).slice(10), 10 * MINUTE)).toEqual([])
  })

  it('that vanish together are noticed among those that fell idle before', () => {
    const activity = new Activity()
    for (let minute = 0; minute < 10; minute += 1) activity.see(names(20).slice(minute), minute * MINUTE)
    expect(activity.vanished(['w19'], 11 * MINUTE)).toEqual(names(19).slice(7).sort())
  })

  it.each([
    [{ workspace_id: 'w1', pod: 'a' }, 'w1'],
    [{ tenant: 't', pod: 'a', instance: 'b' }, 'tenant="t"'],
    [{ pod: 'a' }, ''],
  ])('%j is remembered as %j: a deploy changes the others', (labels, name) => {
    expect(elementName({ labels, value: 0 })).toBe(name)
  })
})
