import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { startFakePrometheus, vector, type FakePrometheus } from '../../unit/prometheus/fake-prometheus.ts'
import { App, startWorld, START_LIMIT_MS, type World } from './world.ts'

const PASSES = 10_000
/** What a pass may leave behind, bytes: a leak of one small object in each pass would be more. */
const GROWTH = 2 * 1024 * 1024

let world: World
let prometheus: FakePrometheus
beforeAll(async () => {
  ;[world, prometheus] = await Promise.all([startWorld(), startFakePrometheus()])
}, START_LIMIT_MS)
afterAll(() => Promise.all([world.stop(), prometheus.stop()]))

it(`memory is flat over ${PASSES} reconciles`, async () => {
  prometheus.answer((_, response) => response.end(vector([[{ workspace_id: 'w1' }, '0']])))
  const checks = [{ name: 'errors', query: 'errors', max: 0.01, interval: '1s' }]
  const app = await App.create(world, 'steady')
  await app.apply(app.spec({ slo: { prometheus: { address: prometheus.url }, checks } }))
  await app.join(await app.startPod())
  const program = join(import.meta.dirname, 'steady-process.ts')
  const args = ['--no-warnings', '--expose-gc', program, world.cluster.kubeconfigPath, 'steady', String(PASSES)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = (await text(child.stdout)).trim().split('\n')
  const [half, end] = lines.map((line) => JSON.parse(line) as { passes: number; heap: number })
  expect(half?.passes).toBeGreaterThanOrEqual(PASSES / 2)
  expect(end?.passes).toBeGreaterThanOrEqual(PASSES)
  expect((end?.heap ?? Infinity) - (half?.heap ?? 0)).toBeLessThan(GROWTH)
}, 300_000)
