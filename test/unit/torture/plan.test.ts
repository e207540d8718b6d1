import { expect, test } from '@jest/globals'
import { LEASE_TTL_MS } from '../../../src/protocol/control-keys.ts'
import { planRound, type PlanOptions, type Round } from '../../torture/plan.ts'
import { Population } from '../../torture/population.ts'

const options = (seed: number, more: Partial<PlanOptions> = {}): PlanOptions => ({
  seed,
  slots: 3,
  proxied: [1, 2],
  long: true,
  sentinel: false,
  ...more,
})
const rounds = (seed: number, count = 200, more: Partial<PlanOptions> = {}) =>
  Array.from({ length: count }, (_, number) => planRound(options(seed, more), number))

test.each([
  ['a short run', { long: false }],
  ['a short run under Sentinels', { long: false, sentinel: true }],
  ['a long run', { long: true }],
  ['a long run under Sentinels', { long: true, sentinel: true }],
])('a seed gives %s the same rounds each time, and another one others', (_, more) => {
  expect(rounds(5, 40, more)).toEqual(rounds(5, 40, more))
  const first = rounds(5, 1, more)
  expect(rounds(6, 1, more)).not.toEqual(first)
  // A round does not depend on those before it.
  expect([planRound(options(5, more), 0)]).toEqual(first)
})

const kindsIn = (...some: readonly Round[]) => some.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind))

test('whatever is drawn, a short run begins with each fault that the proof is about', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const [first, second] = rounds(seed, 2, { long: false }) as [Round, Round]
    expect(kindsIn(first)).toEqual(expect.arrayContaining(['kill-worker', 'kill-client', 'cut', 'kill-redis']))
    const stops = second.faults.map(({ fault }) => (fault.kind === 'stop-client' ? fault.ms : 0))
    expect(Math.max(...stops)).toBeGreaterThan(LEASE_TTL_MS)
    const [failing] = rounds(seed, 1, { long: false, sentinel: true }) as [Round]
    expect(kindsIn(failing)).toEqual(expect.arrayContaining(['kill-worker', 'kill-client', 'failover']))
  }
})

test('every fault and every phase comes within some rounds', () => {
  const all = rounds(1)
  expect([...new Set(kindsIn(...all))].sort()).toEqual([
    'cut',
    'cut-next',
    'delay',
    'double-worker',
    'kill-client',
    'kill-redis',
    'kill-worker',
    'old-status',
    'operator-dies',
    'stick',
    'stop-client',
    'stop-redis',
    'stop-worker',
    'vanish',
  ])
  expect(new Set(all.flatMap(({ aims }) => aims.map(({ aim }) => aim.targetPhase))).size).toBe(4)
})

test('every job is closed once, after its last round', () => {
  const population = new Population()
  const worked = new Map<string, number>()
  const closed = new Map<string, number>()
  for (let round = 1; round <= 40; round += 1) {
    for (const jobId of population.jobsOf(round)) {
      expect(closed.has(jobId)).toBe(false)
      worked.set(jobId, round)
    }
    for (const jobId of population.closing(round)) {
      expect(closed.has(jobId)).toBe(false)
      closed.set(jobId, round)
    }
  }
  for (const [jobId, round] of worked) if (round < 30) expect(closed.get(jobId)).toBeGreaterThanOrEqual(round)
})
