import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { startPrometheus, type LocalPrometheus } from '../../../hack/local/prometheus.ts'
import { findProgram, run } from '../../../hack/system/run.ts'
import { clientsSeen, presetChecks } from '../../../src/decision/presets.ts'
import type { CheckMeasurement } from '../../../src/decision/types.ts'
import { judge } from '../../../src/operator/slo/judge.ts'
import { SloMonitor } from '../../../src/operator/slo/monitor.ts'
import { readingOf } from '../../../src/operator/slo/reading.ts'
import { createPrometheusClient, MAX_POINTS, type PrometheusClient } from '../../../src/prometheus/client.ts'
import { systemClock } from '../../../src/runtime/clock.ts'

jest.setTimeout(60_000)

const dir = mkdtempSync(join(tmpdir(), 'keyshift-prometheus-'))
let prometheus: LocalPrometheus
let client: PrometheusClient
/** What the application shows on /metrics; undefined: it cannot be scraped. */
let page: string | undefined = ''
const app = http.createServer((_, response) => {
  if (page === undefined) response.writeHead(500)
  response.end(page)
})

beforeAll(async () => {
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
  await writeHistory()
  const target = `127.0.0.1:${(app.address() as AddressInfo).port}`
  const scrape = {
    job_name: 'app',
    scrape_interval: '200ms',
    scrape_timeout: '200ms',
    static_configs: [{ targets: [target] }],
  }
  prometheus = await startPrometheus({ dir, configYaml: JSON.stringify({ scrape_configs: [scrape] }) })
  client = createPrometheusClient({ address: prometheus.url })
}, 60_000)
afterAll(async () => {
  await prometheus.stop()
  app.closeAllConnections()
  await new Promise((resolve) => app.close(resolve))
  rmSync(dir, { recursive: true, force: true })
})

/**
 * Twenty minutes in which w1 worked: a Prometheus that has watched the application already. Clients of a pod that has
 * gone end more than five minutes ago, as nothing marks them stale here.
 */
async function writeHistory(): Promise<void> {
  const now = Math.floor(Date.now() / 1000)
  const samples = (series: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${series} ${i} ${now - 1200 + i * 15}`).join('\n')
  const file = join(dir, 'history.txt')
  const jobs = samples('ai_jobs_total{workspace_id="w1",status="done"}', 80)
  const epochs = samples('keyshift_client_epoch{migration="jobs"}', 58)
  writeFileSync(file, `# TYPE ai_jobs counter\n${jobs}\n# TYPE keyshift_client_epoch gauge\n${epochs}\n# EOF\n`)
  const promtool = findProgram('promtool')
  if (promtool === undefined) throw new Error('promtool is missing: it comes with the package prometheus')
  await run(promtool, ['tsdb', 'create-blocks-from', 'openmetrics', file, join(dir, 'data')])
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 100))
async function untilScraped(query: string): Promise<void> {
  for (;;) {
    const answer = await client.query(query, Date.now())
    if (answer.kind === 'vector' && answer.samples.length > 0) return
    await pause()
  }
}

describe('a real Prometheus', () => {
  it('answers vectors and scalars at the moment asked for', async () => {
    await untilScraped('up')
    const now = Date.now()
    expect(await client.query('vector(1) / 0', now)).toMatchObject({
      kind: 'vector',
      samples: [{ labels: {}, time: now, value: Infinity }],
      warnings: [],
    })
    expect(await client.query('scalar(vector(3))', now)).toMatchObject({ kind: 'scalar', sample: { value: 3 } })
    expect(await client.query('vector(0) / 0', now)).toMatchObject({ samples: [{ value: NaN }] })
    expect(await client.query('nothing_of_this_name', now)).toMatchObject({ kind: 'vector', samples: [] })
  })

  it('answers a range with points at exactly the moments asked for', async () => {
    const start = Date.now() - 10_000
    const answer = await client.range({ query: 'vector(1)', start, end: start + 2500, stepMs: 1250 })
    expect(answer).toMatchObject({
      kind: 'matrix',
      series: [{ points: [0, 1250, 2500].map((ms) => ({ time: start + ms, value: 1 })) }],
    })
  })

  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['that does not parse', 'sum(', /parse error/],
    ['of an unknown function', 'rte(up[1m])', /unknown function/],
    ['with a range selector at its end', 'up[1m]', /range selector/],
    ['that gives a text', '"text"', /gives a string/],
  ]
  it.each(bad)('refuses a query %s', async (_, query, message) => {
    expect(await client.query(query, Date.now())).toMatchObject({
      failure: 'BadQuery',
      message: expect.stringMatching(message) as string,
    })
  })

  it('gives no more points than a chunk holds', async () => {
    const range = (points: number) =>
      client.range({ query: 'vector(1)', start: 0, end: (points - 1) * 1000, stepMs: 1000 })
    expect(await range(MAX_POINTS)).toMatchObject({ kind: 'matrix' })
    expect(await range(MAX_POINTS + 2)).toMatchObject({
      failure: 'BadQuery',
      message: expect.stringMatching(/11,000/) as string,
    })
  })
})

describe('the preset error-rate (G1)', () => {
  const [check] = presetChecks('jobs')
  const ask = async (): Promise<CheckMeasurement> => {
    if (check === undefined) throw new Error('no preset')
    const now = Date.now()
    return judge(check, readingOf(await client.query(check.query, now), now), { vanished: [] })
  }
  const until = async (outcome: string): Promise<CheckMeasurement> => {
    for (;;) {
      const measured = await ask()
      if (measured.outcome === outcome) return measured
      await pause()
    }
  }
  const jobs = (workspace: string, done: number, failed?: number) =>
    [
      `ai_jobs_total{workspace_id="${workspace}",status="done"} ${done}`,
      ...(failed === undefined ? [] : [`ai_jobs_total{workspace_id="${workspace}",status="failed"} ${failed}`]),
    ].join('\n')
  const show = (...lines: string[]) => void (page = `${lines.join('\n')}\n`)

  it('passes where nothing ever failed, not even a series of failures exists', async () => {
    show(jobs('w1', 100))
    await untilScraped('ai_jobs_total == 100')
    show(jobs('w1', 200))
    const measured = await until('Pass')
    expect(measured.value).toBe(0)
  })

  it('fails at one burst in a workspace never seen before, then silence, and names it', async () => {
    show(jobs('w1', 300, 0), jobs('w9', 0, 500))
    const measured = await until('Fail')
    expect(measured.worst[0]).toEqual({ labels: 'workspace_id="w9"', value: 1 })
  })

  it('still fails after the pod was restarted in between', async () => {
    show(jobs('w1', 0, 0), jobs('w9', 0, 0))
    await untilScraped('ai_jobs_total{workspace_id="w9",status="failed"} == 0')
    expect(await ask()).toMatchObject({ outcome: 'Fail', worst: [{ labels: 'workspace_id="w9"' }, {}] })
  })
})

it('windows judged live and windows judged from history have the same outcomes', async () => {
  page = 'load 3\n'
  await untilScraped('load')
  const countFrom = Date.now()
  const checks = [
    { name: 'load', query: 'load', max: 2, interval: '1s', failureLimit: 3, onNoData: 'Inconclusive' as const },
  ]
  const judged = async (from: number, count: number) => {
    const stop = new AbortController()
    const monitor = new SloMonitor({
      clock: systemClock,
      onMeasured: () => monitor.windows.length >= count && stop.abort(),
    })
    monitor.follow({ checks, client, session: '1', countFrom: from, soakMs: 60_000 })
    await monitor.run(stop.signal)
    return monitor.windows.slice(0, count).map(({ start, end, measurements }) => ({
      start,
      end,
      outcomes: measurements.map(({ outcome, value }) => [outcome, value]),
    }))
  }
  const live = await judged(countFrom, 3)
  expect(live.map(({ outcomes }) => outcomes)).toEqual([[['Fail', 3]], [['Fail', 3]], [['Fail', 3]]])
  expect(await judged(countFrom, 3)).toEqual(live)
})

it('a quiet hour passes while clients are scraped, and no longer than that', async () => {
  page = 'keyshift_client_epoch{migration="jobs"} 7\n'
  await untilScraped('keyshift_client_epoch{migration="jobs"} == 7')
  const checks = [
    {
      name: 'idle',
      query: 'rate(load[1m]) > 1',
      max: 0,
      interval: '1s',
      failureLimit: 0,
      onNoData: 'Inconclusive' as const,
    },
  ]
  const stop = new AbortController()
  const monitor = new SloMonitor({ clock: systemClock, onMeasured: () => undefined })
  const plan = { checks, client, session: '1', countFrom: Date.now(), soakMs: 60_000, mayBeIdle: true }
  const running = monitor.run(stop.signal)
  const until = async (expected: string) => {
    while (!monitor.latest.some(({ outcome, message }) => `${outcome} ${message}`.startsWith(expected))) await pause()
  }
  try {
    monitor.follow({ ...plan, clientsQuery: clientsSeen('another') })
    await until('Inconclusive the query gives no data, metric not found: ')
    monitor.follow({ ...plan, session: '2', clientsQuery: clientsSeen('jobs') })
    await until('Pass no active workspace')
    // Prometheus marks the series stale: from then on it is absent, no error and no old sample.
    page = undefined
    await until('Inconclusive the query gives no data, metric not found: ')
  } finally {
    stop.abort()
    await running
  }
})
