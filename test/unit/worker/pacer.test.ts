import type { Clock } from '../../../src/runtime/clock.ts'
import { Pacer } from '../../../src/worker/pacer.ts'

class FakeClock implements Clock {
  time = 1000
  slept = 0
  now = () => this.time
  monotonic = () => this.time
  sleep = (ms: number) => {
    this.time += ms
    this.slept += ms
    return Promise.resolve()
  }
}
const signal = new AbortController().signal

test('never lets more through than the rate, batch after batch', async () => {
  const clock = new FakeClock()
  const pacer = new Pacer(clock, 1000)
  const began = clock.time
  for (let i = 0; i < 50; i += 1) await pacer.spend(100, signal)
  expect(clock.time - began).toBeGreaterThanOrEqual(4990)
  expect(clock.time - began).toBeLessThanOrEqual(5010)
})

test('does not wait where the work itself was slower', async () => {
  const clock = new FakeClock()
  const pacer = new Pacer(clock, 1000)
  for (let i = 0; i < 20; i += 1) {
    clock.time += 500
    await pacer.spend(100, signal)
  }
  expect(clock.slept).toBeLessThanOrEqual(100 * 20 + 1)
  expect(clock.time).toBeLessThan(1000 + 20 * 600 + 1)
})

test('time that was spent waiting is not saved up for a burst', async () => {
  const clock = new FakeClock()
  const pacer = new Pacer(clock, 1000)
  clock.time += 60_000
  await pacer.spend(500, signal)
  await pacer.spend(500, signal)
  expect(clock.slept).toBeGreaterThanOrEqual(990)
})

test('the rate is that of the last seconds, not of all time', async () => {
  const clock = new FakeClock()
  const pacer = new Pacer(clock, 1e9)
  expect(pacer.rate()).toBe(0)
  for (let i = 0; i < 100; i += 1) {
    clock.time += 100
    await pacer.spend(10, signal)
  }
  expect(pacer.rate()).toBe(100)
  for (let i = 0; i < 100; i += 1) {
    clock.time += 100
    await pacer.spend(50, signal)
  }
  expect(pacer.rate()).toBe(500)
})
