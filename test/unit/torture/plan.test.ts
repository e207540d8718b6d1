import { expect, test } from '@jest/globals'
import { planRound, type PlanOptions } from '../../torture/plan.ts'
import { Population } from '../../torture/population.ts'

const options = (seed: number, longStops = false): PlanOptions => ({
  seed,
  slots: 3,
  proxied: [1, 2],
  longStops,
  sentinel: false,
})
const rounds = (seed: number, count = 200, longStops = false) =>
  Array.from({ length: count }, (_, number) => planRound(options(seed, longStops), number))

test('a seed gives the same rounds each time, and another one others', () => {
  expect(rounds(5)).toEqual(rounds(5))
  expect(rounds(5)).not.toEqual(rounds(6))
})

test('every fault and every phase comes within some rounds', () => {
  const all = rounds(1)
  const kinds = new Set(all.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)))
  expect([...kinds].sort()).toEqual([
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

test('stops that outlast a lease come only where they are asked for', () => {
  const longest = (longStops: boolean): number =>
    Math.max(
      ...rounds(1, 50, longStops).flatMap(({ faults }) => faults.map(({ fault }) => ('ms' in fault ? fault.ms : 0))),
    )
  expect(longest(false)).toBeLessThan(5000)
  expect(longest(true)).toBeGreaterThan(15_000)
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
