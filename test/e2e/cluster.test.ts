import { badInput } from './bad-input.ts'
import { demoShort } from './demo-short.ts'
import { smallApp } from './small-app.ts'
import { makeStand, type Stand } from './support.ts'
import { tutorial } from './tutorial.ts'

const isRoot = process.getuid?.() === 0

if (!isRoot) {
  const why = 'the end-to-end suite starts a cluster of its own, which needs root: run it as root'
  if (process.env['CI'] === 'true') it('has root', () => expect(`skipped: ${why}`).toBe('run'))
  else it.skip(why, () => {})
} else {
  let stand: Stand

  // One cluster for all: the demo comes first, because it installs Keyshift and Prometheus.
  beforeAll(async () => {
    stand = await makeStand()
  }, 900_000)

  afterAll(async () => {
    await stand?.cluster.stop()
  }, 60_000)

  demoShort(() => stand)
  smallApp(() => stand)
  tutorial(() => stand)
  badInput(() => stand)
}
