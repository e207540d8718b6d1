import { backoffDelay } from '../../../src/runtime/backoff.ts'

const policy = { initialMs: 100, maxMs: 1000, factor: 2, jitter: 0.5 }

describe('backoffDelay', () => {
  it.each([
    ['waits the initial delay after the first failure', 1, 0, 100],
    ['doubles after the second failure', 2, 0, 200],
    ['keeps doubling', 4, 0, 800],
    ['stops growing at the maximum', 5, 0, 1000],
    ['stays at the maximum after ten thousand failures', 10_000, 0, 1000],
    ['takes half off at the most', 1, 1, 50],
    ['takes off a random part, also at the maximum', 9, 0.5, 750],
    ['treats no failure as the first', 0, 0, 100],
  ])('%s', (_, failures, random, expected) => {
    expect(backoffDelay(policy, failures, () => random)).toBe(expected)
  })

  it('never waits zero, which would be a busy loop', () => {
    expect(backoffDelay({ ...policy, initialMs: 0.1, jitter: 1 }, 1, () => 1)).toBe(1)
  })
})
