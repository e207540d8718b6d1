import { Counter, Registry } from 'prom-client'
import { startProbeServer, type ProbeServer } from '../../../src/platform/http.ts'
import { createRegistry } from '../../../src/platform/metrics.ts'

let server: ProbeServer
let fault: string | undefined
const registry = new Registry()
new Counter({ name: 'keyshift_test_total', help: 'x', registers: [registry] }).inc(3)
const get = async (path: string, method = 'GET') => {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}
beforeAll(async () => {
  server = await startProbeServer({ port: 0, registry, healthy: () => undefined, ready: () => fault })
})
afterAll(() => server.close())

test('serves metrics in the format that Prometheus reads', async () => {
  const { status, type, text } = await get('/metrics')
  expect(status).toBe(200)
  expect(type).toBe(registry.contentType)
  expect(text).toContain('keyshift_test_total 3\n')
})

test('a probe passes, and fails with its reason', async () => {
  fault = undefined
  expect(await get('/readyz')).toMatchObject({ status: 200, text: 'ok\n' })
  fault = 'not connected'
  expect(await get('/readyz?verbose')).toMatchObject({ status: 503, text: 'not connected\n' })
  expect(await get('/healthz')).toMatchObject({ status: 200 })
})

test.each([
  ['/', 'GET', 404],
  ['/constructor', 'GET', 404],
  ['/metrics', 'POST', 405],
])('%s by %s is %i', async (path, method, status) => {
  expect((await get(path, method)).status).toBe(status)
})

test('a port that is taken is an error, not a hang', async () => {
  const again = startProbeServer({ port: server.port, registry, healthy: () => undefined, ready: () => undefined })
  await expect(again).rejects.toThrow('EADDRINUSE')
})

test('the registry has the metrics of the process', async () => {
  expect(await createRegistry().metrics()).toContain('process_resident_memory_bytes')
})
