import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { Counter, Registry, Summary } from 'prom-client'
import { makeMetrics } from '../../../src/client/metrics.ts'

const none = async (): Promise<ReadonlyMap<string, number>> => new Map()
/** Lines of the page, without help, by series. */
async function page(registry: { metrics(): Promise<string> }): Promise<Map<string, string>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]))
}

describe('metrics', () => {
  test('every status series of a workspace is there at 0 before its first count', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    metrics.workspace('w1')
    const series = await page(registry)
    for (const status of ['created', 'completed', 'failed', 'returned'])
      expect(series.get(`ai_jobs_total{workspace_id="w1",status="${status}"}`)).toBe('0')
    expect(series.get('security_decisions_total{workspace_id="w1",result="deny"}')).toBe('0')
    metrics.job('w1', 'failed')
    metrics.workspace('w1')
    expect((await page(registry)).get('ai_jobs_total{workspace_id="w1",status="failed"}')).toBe('1')
  })

  test('K9 a metric of the same name but of other labels or kind is refused at once, not at the first count', () => {
    for (const Kind of [Summary, Counter]) {
      const registry = new Registry()
      new Kind({ name: 'ai_job_latency_seconds', help: 'the app', labelNames: ['queue'], registers: [registry] })
      expect(() => makeMetrics({ registry }, none)).toThrow(/named ai_job_latency_seconds.*metrics.rename/)
      expect(() => makeMetrics({ registry, rename: { ai_job_latency_seconds: 'k' } }, none)).not.toThrow()
    }
  })

  test('G5 the first 1,000 workspaces keep their label, the rest share one, and nothing falls', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    for (let i = 0; i < 1500; i += 1) metrics.job(`w${i}`, 'created')
    metrics.job('w1499', 'failed')
    metrics.job('w3', 'created')
    const series = await page(registry)
    expect(series.get('ai_jobs_total{workspace_id="w999",status="created"}')).toBe('1')
    expect(series.get('ai_jobs_total{workspace_id="w3",status="created"}')).toBe('2')
    expect(series.get('ai_jobs_total{workspace_id="w1000",status="created"}')).toBeUndefined()
    expect(series.get('ai_jobs_total{workspace_id="other",status="created"}')).toBe('500')
    expect(series.get('ai_jobs_total{workspace_id="other",status="failed"}')).toBe('1')
  })

  test('G5 a hundred thousand workspaces that come once add no series, and no counter falls', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    for (let i = 0; i < 1001; i += 1) metrics.job(`w${i}`, 'completed')
    let before = await page(registry)
    for (let round = 1; round <= 4; round += 1) {
      // Who is busiest changes with every round; one of those without series of their own fails.
      for (let i = 0; i < 25_000; i += 1) metrics.job(`once-${round}-${i}`, i === 7 ? 'failed' : 'completed')
      for (let i = 0; i < 100; i += 1) metrics.job(`w${(round * 250 + i) % 1001}`, 'completed')
      const after = await page(registry)
      expect([...after.keys()]).toEqual([...before.keys()])
      for (const [series, value] of after) expect(Number(value)).toBeGreaterThanOrEqual(Number(before.get(series)))
      before = after
    }
    expect(before.get('ai_jobs_total{workspace_id="other",status="failed"}')).toBe('4')
  })

  test('K12 a workspace named like the shared label gets no label of its own', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    for (let i = 0; i < 1000; i += 1) metrics.job(`w${i}`, 'created')
    metrics.job('other', 'created')
    metrics.job('w1000', 'created')
    expect((await page(registry)).get('ai_jobs_total{workspace_id="other",status="created"}')).toBe('2')
  })

  test('the ratio is the share of creates since the epoch began', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    metrics.routing('m', 2)
    for (const onTarget of [true, false, false, false]) metrics.created('m', onTarget)
    expect((await page(registry)).get('ai_jobs_dual_write_ratio{migration="m"}')).toBe('0.25')
    metrics.routing('m', 3)
    metrics.created('m', true)
    const series = await page(registry)
    expect(series.get('ai_jobs_dual_write_ratio{migration="m"}')).toBe('1')
    expect(series.get('keyshift_client_epoch{migration="m"}')).toBe('3')
  })

  test('reads, refusals and operations carry the migration, at 0 first', async () => {
    const registry = new Registry()
    const metrics = makeMetrics({ registry }, none)
    metrics.routing('m', 2)
    metrics.read('m', 'fallback')
    metrics.operation('m', 'get')
    const series = await page(registry)
    expect(series.get('keyshift_client_reads_total{migration="m",served="fallback"}')).toBe('1')
    expect(series.get('keyshift_client_reads_total{migration="m",served="target"}')).toBe('0')
    expect(series.get('keyshift_client_stale_epoch_total{migration="m"}')).toBe('0')
    expect(series.get('keyshift_client_operations_total{migration="m",operation="get"}')).toBe('1')
  })

  test('queue depth is asked at each scrape, and falls to 0', async () => {
    const registry = new Registry()
    let depth = new Map([['w1', 3]])
    makeMetrics({ registry }, async () => depth)
    expect((await page(registry)).get('ai_queue_depth{workspace_id="w1"}')).toBe('3')
    depth = new Map()
    expect((await page(registry)).get('ai_queue_depth{workspace_id="w1"}')).toBe('0')
  })

  test('K9 a second client in the same registry uses the metrics that are there', async () => {
    const registry = new Registry()
    const [a, b] = [makeMetrics({ registry }, none), makeMetrics({ registry }, none)]
    a.job('w1', 'created')
    b.job('w1', 'created')
    expect((await page(registry)).get('ai_jobs_total{workspace_id="w1",status="created"}')).toBe('2')
  })

  test('K9 a metric that the app has already is used as it is', async () => {
    const registry = new Registry()
    const own = new Counter({
      name: 'ai_jobs_total',
      help: 'mine',
      labelNames: ['workspace_id', 'status'],
      registers: [registry],
    })
    own.inc({ workspace_id: 'w1', status: 'created' }, 5)
    makeMetrics({ registry }, none).job('w1', 'created')
    expect((await page(registry)).get('ai_jobs_total{workspace_id="w1",status="created"}')).toBe('6')
  })

  test('K9 the registry may come from another copy of prom-client', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'keyshift-prom-'))
    try {
      const modules = join(import.meta.dirname, '../../../node_modules')
      cpSync(join(modules, 'prom-client'), join(dir, 'node_modules/prom-client'), { recursive: true })
      for (const name of ['tdigest', 'bintrees', '@opentelemetry'])
        symlinkSync(join(modules, name), join(dir, 'node_modules', name))
      const other = createRequire(join(dir, 'x.js'))('prom-client') as { Registry: typeof Registry }
      const registry = new other.Registry()
      expect(registry).not.toBeInstanceOf(Registry)
      const metrics = makeMetrics({ registry }, async () => new Map([['w1', 2]]))
      metrics.job('w1', 'created')
      metrics.latency('w1', 0.2)
      const series = await page(registry)
      expect(series.get('ai_jobs_total{workspace_id="w1",status="created"}')).toBe('1')
      expect(series.get('ai_job_latency_seconds_count{workspace_id="w1"}')).toBe('1')
      expect(series.get('ai_queue_depth{workspace_id="w1"}')).toBe('2')
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })

  test('a prefix, another name, or none at all', async () => {
    const registry = new Registry()
    const metrics = makeMetrics(
      { registry, prefix: 'my_', rename: { ai_jobs_total: 'jobs', ai_queue_depth: false } },
      none,
    )
    metrics.job('w1', 'created')
    expect((await page(registry)).get('my_jobs{workspace_id="w1",status="created"}')).toBe('1')
    expect(registry.getSingleMetric('my_ai_queue_depth')).toBeUndefined()
  })

  test('without a registry nothing is kept and nothing fails', () => {
    const metrics = makeMetrics(undefined, none)
    metrics.routing('m', 1)
    metrics.job('w1', 'created')
    metrics.created('m', true)
  })
})
