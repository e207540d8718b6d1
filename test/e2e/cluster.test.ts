import { badInput } from './bad-input.ts'
import { demoShort } from './demo-short.ts'
import { podClasses } from './pods.ts'
import { smallApp } from './small-app.ts'
import { asRoot, makeStand, type Stand } from './support.ts'
import { tutorial } from './tutorial.ts'

asRoot(() => {
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
  podClasses(() => stand)
})
