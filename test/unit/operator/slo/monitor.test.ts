import type { CheckSpec } from '../../../../src/api/schema.ts'
import type { SoakWindow } from '../../../../src/decision/types.ts'
import { SloMonitor, type SloPlan } from '../../../../src/operator/slo/monitor.ts'
import type { InstantAnswer, PrometheusClient, RangeAnswer, RangeQuery } from '../../../../src/prometheus/client.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'

const check = (changes: Partial<CheckSpec> = {}): CheckSpec => ({
  name: 'errors',
  query: 'q',
  max: 1,
  interval: '30s',
  failureLimit: 3,
  onNoData: 'Inconclusive',
  ...changes,
})

/** Answers from functions of the time, and writes down what it was asked. */
class Server implements PrometheusClient {
  readonly instants: { query: string; time: number }[] = []
  readonly ranges: RangeQuery[] = []
  value: (query: string, time: number) => number | undefined = () => 0
  failure: InstantAnswer | undefined
  rangeFailure: (range: RangeQuery) => RangeAnswer | undefined = () => undefined

  async query(query: string, time: number): Promise<InstantAnswer> {
    this.instants.push({ query, time })
    if (this.failure !== undefined) return this.failure
    const value = this.value(query, time)
    const samples = value === undefined ? [] : [{ labels: { workspace_id: 'w1' }, time, value }]
    return { kind: 'vector', samples, warnings: [], infos: [] }
  }

  async range(range: RangeQuery): Promise<RangeAnswer> {
    this.ranges.push(range)
    const failed = this.failure?.kind === 'failed' ? this.failure : this.rangeFailure(range)
    if (failed !== undefined) return failed
    const points = []
    for (let time = range.start; time <= range.end; time += range.stepMs) {
      const value = this.value(range.query, time)
      if (value !== undefined) points.push({ time, value })
    }
    return {
      kind: 'matrix',
      series: points.length === 0 ? [] : [{ labels: { workspace_id: 'w1' }, points }],
      warnings: [],
      infos: [],
    }
  }
}

const START = Date.parse('2026-01-01T00:00:00Z')
const MINUTE = 60_000

let clock: FakeClock
let server: Server
let monitor: SloMonitor
let told: number
let stop: AbortController
let running: Promise<void>
beforeEach(() => {
  clock = new FakeClock(START)
  server = new Server()
  told = 0
  monitor = new SloMonitor({ clock, onMeasured: () => (told += 1) })
  stop = new AbortController()
  running = monitor.run(stop.signal)
})
afterEach(async () => {
  stop.abort()
  await running
})

const plan = (changes: Partial<SloPlan> = {}): SloPlan => ({
  checks: [check()],
  client: server,
  session: '2',
  countFrom: START,
  soakMs: 10 * MINUTE,
  ...changes,
})
const outcomes = (windows: readonly SoakWindow[]) =>
  windows.map(({ measurements }) => measurements.map(({ outcome }) => outcome).join())
/** Windows follow each other without a gap. */
function expectWhole(from: number, to: number): void {
  const edges = monitor.windows.flatMap(({ start, end }) => [start, end])
  expect([edges[0], edges.at(-1)]).toEqual([from, to])
  expect(monitor.windows.every(({ start }, i) => i === 0 || start === monitor.windows[i - 1]?.end)).toBe(true)
}
const unreachable: InstantAnswer = { kind: 'failed', failure: 'Unreachable', message: 'refused' }

describe('between steps', () => {
  it('measures at once and then at the interval, and keeps no windows', async () => {
    monitor.follow(plan({ countFrom: undefined }))
    await clock.advance(0)
    expect(monitor.latest).toMatchObject([{ check: 'errors', outcome: 'Pass' }])
    await clock.advance(MINUTE)
    expect(server.instants.map(({ time }) => time - START)).toEqual([0, 30_000, 60_000])
    expect(monitor.windows).toEqual([])
    expect(told).toBe(3)
  })

  it('asks nothing without checks, and nothing after the plan is taken away', async () => {
    monitor.follow(plan({ checks: [] }))
    await clock.advance(MINUTE)
    expect(server.instants).toEqual([])
    monitor.follow(plan({ countFrom: undefined }))
    await clock.advance(0)
    monitor.follow(undefined)
    await clock.advance(10 * MINUTE)
    expect(server.instants).toHaveLength(1)
  })
})

describe('a soak', () => {
  it('is judged in windows of the interval that follow each other', async () => {
    monitor.follow(plan())
    server.value = (_, time) => (time === START + MINUTE ? 5 : 0)
    await clock.advance(90_000)
    expect(monitor.windows.map(({ start, end }) => [start - START, end - START])).toEqual([
      [0, 30_000],
      [30_000, 60_000],
      [60_000, 90_000],
    ])
    expect(outcomes(monitor.windows)).toEqual(['Pass', 'Fail', 'Pass'])
  })

  it('shorter than the interval is one window', async () => {
    monitor.follow(plan({ soakMs: 2000 }))
    await clock.advance(4000)
    expect(monitor.windows.map(({ end }) => end - START)).toEqual([2000, 4000])
  })

  it('loses the windows that are counted', async () => {
    monitor.follow(plan())
    await clock.advance(90_000)
    monitor.follow(plan({ countFrom: START + MINUTE }))
    expect(monitor.windows.map(({ start }) => start - START)).toEqual([60_000])
  })

  it('begins anew with another epoch, and what was measured before proves nothing of it', async () => {
    const slow = check({ name: 'slow', interval: '10m' })
    monitor.follow(plan({ checks: [check(), slow], countFrom: undefined }))
    await clock.advance(MINUTE)
    server.instants.length = 0
    monitor.follow(plan({ checks: [check(), slow], session: '3', countFrom: START + MINUTE }))
    await clock.advance(30_000)
    expect(monitor.windows).toMatchObject([
      { start: START + MINUTE, measurements: [{ outcome: 'Pass' }, { outcome: 'Pass' }] },
    ])
    // Each once as the step begins, and once for the window.
    expect(server.instants.map(({ time }) => time - START)).toEqual([MINUTE, MINUTE, MINUTE + 30_000, MINUTE + 30_000])
  })

  it('keeps no window of the epoch before, nor what was asked under it', async () => {
    monitor.follow(plan())
    await clock.advance(MINUTE)
    expect(monitor.windows).toHaveLength(2)
    monitor.follow(plan({ session: '3', countFrom: START + MINUTE }))
    expect(monitor.windows).toEqual([])
    server.value = (_, time) => {
      // The answer comes when another epoch is in force already.
      if (time === START + 90_000) monitor.follow(plan({ session: '4', countFrom: START + 2 * MINUTE }))
      return 0
    }
    await clock.advance(30_000)
    expect(monitor.windows).toEqual([])
  })

  it('gives a failing window an error that holds it, when Prometheus is down', async () => {
    monitor.follow(plan())
    await clock.advance(30_000)
    server.failure = unreachable
    await clock.advance(30_000)
    expect(outcomes(monitor.windows)).toEqual(['Pass', 'Error'])
    expect(monitor.latest).toMatchObject([{ outcome: 'Error', message: 'refused' }])
  })

  it('carries a failure of a check measured seldom, without counting it again', async () => {
    const slow = check({ name: 'slow', query: 'slow', interval: '90s' })
    server.value = (query, time) => (query === 'slow' && time === START + 30_000 ? 9 : 0)
    monitor.follow(plan({ checks: [check(), slow] }))
    await clock.advance(2 * MINUTE)
    expect(outcomes(monitor.windows)).toEqual(['Pass,Fail', 'Pass,Inconclusive', 'Pass,Inconclusive', 'Pass,Pass'])
    expect(server.instants.filter(({ query }) => query === 'slow').map(({ time }) => time - START)).toEqual([
      0, 30_000, 120_000,
    ])
  })

  it('carries a pass of a check measured seldom as one', async () => {
    const slow = check({ name: 'slow', query: 'slow', interval: '90s' })
    monitor.follow(plan({ checks: [check(), slow] }))
    await clock.advance(90_000)
    expect(outcomes(monitor.windows)).toEqual(Array<string>(3).fill('Pass,Pass'))
    expect(server.instants.filter(({ query }) => query === 'slow')).toHaveLength(2)
  })

  it('misses a workspace that was active in a window before (G3)', async () => {
    server.value = (_, time) => (time >= START && time < START + MINUTE ? 0 : undefined)
    monitor.follow(plan())
    await clock.advance(MINUTE)
    expect(monitor.latest).toMatchObject([{ message: expect.stringMatching(/missing together: w1/) as string }])
  })

  it('measures a changed query anew and keeps the others', async () => {
    const kept = check({ name: 'kept' })
    monitor.follow(plan({ countFrom: undefined, checks: [check(), kept] }))
    await clock.advance(0)
    monitor.follow(plan({ countFrom: undefined, checks: [check({ query: 'other' }), kept] }))
    expect(monitor.latest).toMatchObject([{ check: 'kept' }])
    await clock.advance(30_000)
    expect(server.instants.map(({ query }) => query)).toContain('other')
  })
})

describe('after a restart', () => {
  it('judges the gap from history, window by window, and the next one as usual', async () => {
    server.value = (_, time) => (time === START - 5 * MINUTE ? 7 : 0)
    monitor.follow(plan({ countFrom: START - 10 * MINUTE }))
    await clock.advance(0)
    expect(monitor.windows).toHaveLength(20)
    expect(outcomes(monitor.windows).filter((outcome) => outcome !== 'Pass')).toEqual(['Fail'])
    expect(monitor.windows[9]).toMatchObject({ end: START - 5 * MINUTE, measurements: [{ outcome: 'Fail', value: 7 }] })
    expect(server.instants).toEqual([])
    await clock.advance(30_000)
    expect(monitor.windows).toHaveLength(21)
    expect(server.instants).toHaveLength(1)
  })

  it('finds no data where there is no history, which earns nothing', async () => {
    server.value = (_, time) => (time < START - MINUTE ? undefined : 0)
    monitor.follow(plan({ countFrom: START - 2 * MINUTE }))
    await clock.advance(0)
    expect(outcomes(monitor.windows)).toEqual(['Inconclusive', 'Pass', 'Pass', 'Pass'])
  })

  it('waits for a Prometheus that is away and reads the whole gap when it is back', async () => {
    server.failure = unreachable
    monitor.follow(plan({ countFrom: START - 10 * MINUTE }))
    await clock.advance(0)
    expect(monitor.windows).toEqual([])
    expect(monitor.latest).toMatchObject([{ outcome: 'Error' }])
    await clock.advance(5 * MINUTE)
    expect(monitor.windows).toEqual([])
    expect(server.ranges.length).toBeLessThan(30)
    server.failure = undefined
    await clock.advance(30_000)
    expect(monitor.windows).toHaveLength(31)
    expect(new Set(outcomes(monitor.windows))).toEqual(new Set(['Pass']))
  })

  it('asks for a long gap in pieces that one answer can hold', async () => {
    server.rangeFailure = ({ start, end, stepMs }) =>
      (end - start) / stepMs > 100 ? { kind: 'failed', failure: 'TooLarge', message: 'too long' } : undefined
    monitor.follow(plan({ countFrom: START - 10 * 60 * MINUTE }))
    await clock.advance(0)
    await clock.advance(0)
    expectWhole(START - 10 * 60 * MINUTE, START)
    expect(new Set(outcomes(monitor.windows))).toEqual(new Set(['Pass']))
  })

  it('asks a Prometheus too slow for a long gap for shorter pieces, and for long ones again later', async () => {
    const slow = (most: number) => {
      server.rangeFailure = ({ start, end, stepMs }) =>
        stepMs === 30_000 && (end - start) / stepMs > most
          ? { kind: 'failed', failure: 'Unreachable', message: 'no whole answer' }
          : undefined
    }
    slow(40)
    monitor.follow(plan({ countFrom: START - 60 * MINUTE }))
    await clock.advance(5 * MINUTE)
    expectWhole(START - 60 * MINUTE, START + 5 * MINUTE)
    slow(Infinity)
    server.ranges.length = 0
    monitor.follow(plan({ countFrom: START - 60 * MINUTE, session: '3' }))
    await clock.advance(0)
    expect(server.ranges.filter(({ stepMs }) => stepMs === 30_000)).toHaveLength(1)
  })

  it('gives up on a window that even alone is too large, and says so', async () => {
    server.rangeFailure = () => ({ kind: 'failed', failure: 'TooLarge', message: 'too many samples' })
    server.failure = { kind: 'failed', failure: 'TooLarge', message: 'too many samples' }
    monitor.follow(plan({ countFrom: START - MINUTE }))
    await clock.advance(0)
    expect(outcomes(monitor.windows)).toEqual(['Error', 'Error'])
    expect(monitor.latest).toMatchObject([{ outcome: 'Error', message: 'too many samples' }])
  })

  it('judges a query that Prometheus refuses as errors at once, for time will not mend it', async () => {
    server.rangeFailure = () => ({ kind: 'failed', failure: 'BadQuery', message: 'parse error' })
    monitor.follow(plan({ countFrom: START - MINUTE }))
    await clock.advance(0)
    expect(outcomes(monitor.windows)).toEqual(['Error', 'Error'])
  })

  it('remembers from history which workspaces were active, so that those gone meanwhile are missed (G3)', async () => {
    server.value = (_, time) => (time < START ? 0 : undefined)
    monitor.follow(plan({ countFrom: undefined }))
    await clock.advance(0)
    expect(monitor.latest).toMatchObject([
      { outcome: 'Inconclusive', message: expect.stringMatching(/missing together: w1/) as string },
    ])
  })
})

describe('where an application may be idle', () => {
  const clientsQuery = 'clients'
  /** The check has no active workspace; clients are there when `scraped`. */
  const scrapedAt = (scraped: (time: number) => boolean) => {
    server.value = (query, time) => (query === clientsQuery && scraped(time) ? 1 : undefined)
  }

  it('a quiet window passes while clients are scraped, live and from history alike', async () => {
    scrapedAt((time) => time > START - 5 * MINUTE)
    monitor.follow(plan({ clientsQuery, mayBeIdle: true, countFrom: START - 6 * MINUTE }))
    await clock.advance(MINUTE)
    expect(outcomes(monitor.windows)).toEqual(['Inconclusive', 'Inconclusive', ...Array<string>(12).fill('Pass')])
    expect(monitor.latest[0]?.message).toBe('no active workspace')
  })

  it('nothing scraped at all is no quiet hour', async () => {
    scrapedAt(() => false)
    monitor.follow(plan({ clientsQuery, mayBeIdle: true }))
    await clock.advance(30_000)
    expect(outcomes(monitor.windows)).toEqual(['Inconclusive'])
    expect(monitor.latest[0]?.message).toMatch(/is the application scraped/)
  })

  it('clients are asked for only where something depends on them', async () => {
    server.value = () => 0
    monitor.follow(plan({ clientsQuery, mayBeIdle: true }))
    await clock.advance(MINUTE)
    expect(server.instants.filter(({ query }) => query === clientsQuery)).toEqual([])
  })

  it('history of the clients that cannot be read now is asked for again', async () => {
    scrapedAt(() => true)
    server.rangeFailure = ({ query }) =>
      query === clientsQuery ? { kind: 'failed', failure: 'Unavailable', message: 'busy' } : undefined
    monitor.follow(plan({ clientsQuery, mayBeIdle: true, countFrom: START - 5 * MINUTE }))
    await clock.advance(MINUTE)
    expect(monitor.windows).toEqual([])
    expect(monitor.latest).toMatchObject([{ outcome: 'Error', message: 'busy' }])
    server.rangeFailure = () => undefined
    await clock.advance(30_000)
    expect(new Set(outcomes(monitor.windows))).toEqual(new Set(['Pass']))
  })
})

describe('windows that nobody counts', () => {
  it('are kept for a day in little room, and lose neither time nor failures', async () => {
    server.value = (_, time) => ((time - START) % (60 * MINUTE) === 0 ? 5 : 0)
    monitor.follow(plan({ checks: [check({ interval: '5s' })] }))
    for (let hour = 0; hour < 24; hour += 1) {
      clock.freeze(60 * MINUTE)
      await clock.advance(5000)
    }
    expectWhole(START, clock.now())
    expect(monitor.windows.length).toBeLessThan(600)
    expect(outcomes(monitor.windows).filter((outcome) => outcome === 'Fail')).toHaveLength(24)
  })

  it('are counted in part when the decision stops within one that was merged', async () => {
    monitor.follow(plan())
    clock.freeze(6 * 60 * MINUTE)
    await clock.advance(0)
    await clock.advance(0)
    monitor.follow(plan({ countFrom: START + 45_000 }))
    expectWhole(START + 45_000, START + 6 * 60 * MINUTE)
  })
})
