import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import * as prom15 from 'prom-client'
import * as prom14 from 'prom-client14'
import { requireProgram } from '../../../hack/local/programs.ts'
import { startPrometheus, type LocalPrometheus } from '../../../hack/local/prometheus.ts'
import { InvalidId } from '../../../src/client/index.ts'
import { createPrometheusClient } from '../../../src/prometheus/client.ts'
import { until } from '../redis/support/redis.ts'
import { documentOf } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(60_000)

const dir = mkdtempSync(join(tmpdir(), 'keyshift-client-metrics-'))
const MAJORS = { 'prom-client 15': prom15, 'prom-client 14': prom14 }
/** What is shown to Prometheus, by job. */
const pages = new Map<string, { readonly text: string; readonly type: string }>()
const server = createServer((request, response) => {
  const page = pages.get(decodeURIComponent(request.url?.slice(1) ?? ''))
  response.writeHead(page === undefined ? 404 : 200, { 'Content-Type': page?.type ?? 'text/plain' })
  response.end(page?.text)
})
let world: World
let prometheus: LocalPrometheus
beforeAll(async () => {
  world = await World.start()
  await world.settle(documentOf(1, 'Legacy'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const scrape_configs = Object.keys(MAJORS).map((name) => ({
    job_name: name,
    metrics_path: `/${name}`,
    scrape_interval: '1s',
    static_configs: [{ targets: [target] }],
  }))
  prometheus = await startPrometheus({ dir, configYaml: JSON.stringify({ scrape_configs }) })
})
afterAll(async () => {
  await world.stop()
  await prometheus.stop()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(dir, { recursive: true, force: true })
})

/** Whatever others have taken for something else, alone and before a letter that an escape ends with. */
const IDS = [
  ...[':', '{', '}', '*', '?', '[', ']', '\\', '\0', '\n', '\r', '\t', '"', ' ', 'é', '😀', '\ud800', '\u2028'].flatMap(
    (c) => [c, `${c}n`, `a${c}${c}n`],
  ),
  'w1',
  'other',
]

describe.each(Object.entries(MAJORS))('K9 K12 in a registry of %s', (name, { Registry }) => {
  test('the page is valid and scraped, and no two workspaces share a label but that of all others', async () => {
    const registry = new Registry()
    const client = world.client('hash', { metrics: { registry } })
    await client.ready()
    for (const id of IDS)
      await client
        .forWorkspace(id)
        .get('j1')
        .catch((error: unknown) => expect(error).toBeInstanceOf(InvalidId))
    const text = await registry.metrics()
    const checked = spawnSync(requireProgram('promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect(checked).toMatchObject({ status: 0, stderr: '' })
    pages.set(name, { text, type: registry.contentType })
    const ask = createPrometheusClient({ address: prometheus.url })
    const samples = await until('it is scraped', async () => {
      const answer = await ask.query(`ai_job_latency_seconds_count{job="${name}"}`, Date.now())
      return answer.kind === 'vector' && answer.samples.length > 0 ? answer.samples : undefined
    })
    const { other = 0, ...own } = Object.fromEntries(
      samples.map(({ labels, value }) => [labels['workspace_id'] ?? '', value]),
    )
    for (const [id, n] of Object.entries(own)) {
      expect(IDS).toContain(id)
      expect([id, n]).toEqual([id, 1])
    }
    expect(other + Object.keys(own).length).toBe(IDS.length)
    expect(own).toMatchObject({ w1: 1, ':': 1, '{': 1, '\\': 1, '"': 1, '😀': 1 })
  })
})
