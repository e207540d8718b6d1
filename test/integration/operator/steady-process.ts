/**
 * An operator that looks at its resources again and again, without a pause: `steady-process.ts <kubeconfig> <namespace> <passes>`.
 * Prints `{ passes, heap }` as JSON lines, heap in bytes after a collection, once half of the passes are done and at the end.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { decide } from '../../../src/decision/decide.ts'
import { connect } from '../../../src/kube/connection.ts'
import { runOperator, type World } from './world.ts'

const [path = '', namespace = '', last = ''] = process.argv.slice(2)
const connection = connect({ from: 'file', path })
const again: typeof decide = (resource, observations, now) => ({
  ...decide(resource, observations, now),
  requeueAfterMs: 1,
})
const world = { cluster: { connection } } as World
const running = runOperator(world, namespace, { decide: again })
for (const passes of [Number(last) / 2, Number(last)]) {
  while ((await running.passes()) < passes) {
    // What it would print is kept by the test's logger.
    running.lines.length = 0
    running.requests.calls.length = 0
    await sleep(20)
  }
  global.gc?.()
  console.log(JSON.stringify({ passes: await running.passes(), heap: process.memoryUsage().heapUsed }))
}
await running.stop()
connection.close()
