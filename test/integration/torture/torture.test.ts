import { expect, jest, test } from '@jest/globals'
import { INVARIANTS } from '../../torture/tally.ts'
import { torture } from '../../torture/torture.ts'

jest.setTimeout(180_000)

const NOTHING = Object.fromEntries(INVARIANTS.map((name) => [name, 0]))

test('a short torture over a walk to the last phase and back finds nothing', async () => {
  // Another schedule each time; the seed in the output runs it again.
  const seed = Math.floor(Math.random() * 1e6)
  const { report, texts, failure } = await torture({ minutes: 0.3, seed })
  console.log(JSON.stringify(report))
  expect({ texts, failure, violations: report.violations }).toEqual({
    texts: [],
    failure: undefined,
    violations: NOTHING,
  })
  expect(report.operations).toBeGreaterThan(1000)
  expect(report.routingChanges).toBeGreaterThan(8)
})

test('a torture of clients that do not compare before they set finds it, and shows how', async () => {
  const { report, texts } = await torture({ minutes: 0.1, seed: 1, sabotage: 'compare' })
  expect(report.violations.I2).toBeGreaterThan(0)
  expect(texts[0]).toMatch(/^I2: job h\S+: no order of these operations gives these answers\n {2}before: /)
  expect(texts[0]).toMatch(/ if \{"a":"\S+"\} -> ok {3}<- cannot be$/m)
})
