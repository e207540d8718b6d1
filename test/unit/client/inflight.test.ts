import { expect, test } from '@jest/globals'
import { Inflight } from '../../../src/client/inflight.ts'

test('with nothing in flight the current epoch may be reported', () => {
  expect(new Inflight().reportable(7)).toBe(7)
})

test('an operation of an older epoch holds the report there until it ends', () => {
  const inflight = new Inflight()
  const drained: number[] = []
  inflight.onDrained(() => drained.push(inflight.reportable(3)))
  const [a, b, c] = [inflight.begin(2), inflight.begin(2), inflight.begin(3)]
  expect(inflight.reportable(3)).toBe(2)
  a()
  a()
  expect(inflight.reportable(3)).toBe(2)
  b()
  expect(inflight.reportable(3)).toBe(3)
  c()
  expect(drained).toEqual([3, 3])
})

test('an operation of a newer epoch does not raise the report', () => {
  const inflight = new Inflight()
  inflight.begin(5)
  expect(inflight.reportable(4)).toBe(4)
})

test('idle resolves when the last one ends, or at its limit', async () => {
  const inflight = new Inflight()
  await inflight.idle(10_000)
  const end = inflight.begin(1)
  const idle = inflight.idle(10_000)
  end()
  await idle
  inflight.begin(1)
  await inflight.idle(1)
})
