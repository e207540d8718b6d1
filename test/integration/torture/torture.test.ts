import { expect, jest, test } from '@jest/globals'
import type { FaultName } from '../../torture/plan.ts'
import { INVARIANTS } from '../../torture/tally.ts'
import { torture } from '../../torture/torture.ts'

jest.setTimeout(240_000)

const NOTHING = Object.fromEntries(INVARIANTS.map((name) => [name, 0]))

interface Short {
  readonly sentinel: boolean
  /** Faults without which the run is no proof. */
  readonly makes: readonly FaultName[]
}
const SHORT: readonly (readonly [string, Short])[] = [
  [
    'one server: kills of clients, workers and Redis, cuts, a stop that outlasts the lease',
    { sentinel: false, makes: ['kill-client', 'kill-worker', 'kill-redis', 'cut', 'stop-past-lease'] },
  ],
  [
    'Sentinels: kills of clients and workers, a failover',
    { sentinel: true, makes: ['kill-client', 'kill-worker', 'failover'] },
  ],
]

test.each(SHORT)('a short torture finds nothing over %s', async (_, { sentinel, makes }) => {
  // Another schedule each time; the seed in the output runs it again.
  const seed = Math.floor(Math.random() * 1e6)
  const { report, texts, faults, failure } = await torture({ minutes: 0.3, seed, sentinel, makes })
  console.log(JSON.stringify({ ...report, faults }))
  expect({ texts, failure, violations: report.violations }).toEqual({
    texts: [],
    failure: undefined,
    violations: NOTHING,
  })
  expect(Object.keys(faults)).toEqual(expect.arrayContaining([...makes]))
  expect(report.kills).toBeGreaterThanOrEqual(2)
  expect(report.operations).toBeGreaterThan(1000)
  expect(report.routingChanges).toBeGreaterThan(8)
})

test('a torture of clients that do not compare before they set finds it, and shows how', async () => {
  const { report, texts } = await torture({ minutes: 0.1, seed: 1, sabotage: 'compare' })
  expect(report.violations.I2).toBeGreaterThan(0)
  expect(texts[0]).toMatch(/^I2: job h\S+: no order of these operations gives these answers\n {2}before: /)
  expect(texts[0]).toMatch(/ if \{"a":"\S+"\} -> ok {3}<- cannot be$/m)
})
