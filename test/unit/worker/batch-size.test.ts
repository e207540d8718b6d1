import { BatchSize, MAX_BATCH, MIN_BATCH } from '../../../src/worker/batch-size.ts'

/** Size after batches whose time is `microsPerKey` for each key. */
const settle = (microsPerKey: number, limitMicros = 5000, perSecond = 1e6): number => {
  const size = new BatchSize(limitMicros, perSecond)
  for (let i = 0; i < 100; i += 1) size.observe(size.current * microsPerKey)
  return size.current
}

test.each([
  ['quick keys: the largest batch', 1, MAX_BATCH],
  ['very slow keys: the smallest batch', 100_000, MIN_BATCH],
])('%s', (_name, micros, expected) => {
  expect(settle(micros)).toBe(expected)
})

test('settles so that a batch takes most of the limit and not more', () => {
  for (const micros of [6, 10, 33, 80, 250]) {
    const took = settle(micros) * micros
    expect(took).toBeLessThanOrEqual(5000)
    expect(took).toBeGreaterThan(5000 * 0.65)
  }
})

test('shrinks at the second slow batch in a row, not at one alone', () => {
  const size = new BatchSize(5000, 1e6)
  for (let i = 0; i < 50; i += 1) size.observe(100)
  expect(size.current).toBe(MAX_BATCH)
  size.observe(50_000)
  expect(size.current).toBe(MAX_BATCH)
  size.observe(4000)
  size.observe(50_000)
  expect(size.current).toBe(MAX_BATCH)
  size.observe(50_000)
  expect(size.current).toBe(90)
})

test('grows again, by a fifth at a time', () => {
  const size = new BatchSize(5000, 1e6)
  const first = size.current
  size.observe(10)
  expect(size.current).toBe(Math.ceil(first * 1.2))
})

test.each([
  [10, 2],
  [1, 1],
  [500, 100],
  [10_000_000, MAX_BATCH],
])('at %i keys a second a batch has at most %i', (perSecond, most) => {
  expect(settle(0.001, 5000, perSecond)).toBe(most)
  expect(settle(1e9, 5000, perSecond)).toBeLessThanOrEqual(most)
  expect(settle(1e9, 5000, perSecond)).toBeGreaterThanOrEqual(1)
})
