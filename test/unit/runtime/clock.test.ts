import { DeadlineExceeded, MAX_TIMER_MS, systemClock, withDeadline } from '../../../src/runtime/clock.ts'
import { FakeClock } from './fake-clock.ts'

describe('systemClock', () => {
  it('sleeps until woken when the time is longer than a Node timer can hold', async () => {
    const stop = new AbortController()
    let awake = false
    const slept = systemClock.sleep(MAX_TIMER_MS + 1, stop.signal).then(() => (awake = true))
    // an overflowing setTimeout fires after 1 ms
    await systemClock.sleep(30)
    expect(awake).toBe(false)
    stop.abort()
    await slept
  })

  it('does not sleep when its signal is aborted already', async () => {
    await systemClock.sleep(60_000, AbortSignal.abort())
  })

  it('leaves no listener on the signal behind', async () => {
    let listeners = 0
    const counted = {
      aborted: false,
      addEventListener: () => listeners++,
      removeEventListener: () => listeners--,
    } as unknown as AbortSignal
    await systemClock.sleep(1, counted)
    expect(listeners).toBe(0)
  })
})

describe('withDeadline', () => {
  it('passes the result of work that is done in time and leaves no timer', async () => {
    const clock = new FakeClock()
    await expect(withDeadline(clock, 1000, undefined, async () => 7)).resolves.toBe(7)
    expect(clock.pending).toEqual([])
  })

  it('passes the error of work that fails in time', async () => {
    const clock = new FakeClock()
    const failing = withDeadline(clock, 1000, undefined, async () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
    expect(clock.pending).toEqual([])
  })

  it('rejects at the deadline though the work ignores its signal', async () => {
    const clock = new FakeClock()
    let seen: AbortSignal | undefined
    const stuck = withDeadline(clock, 1000, undefined, (signal) => {
      seen = signal
      return new Promise(() => undefined)
    })
    const outcome = expect(stuck).rejects.toBeInstanceOf(DeadlineExceeded)
    await clock.advance(999)
    expect(seen?.aborted).toBe(false)
    await clock.advance(1)
    expect(seen?.aborted).toBe(true)
    await outcome
  })

  it('rejects with the reason of the outer signal', async () => {
    const outer = new AbortController()
    const stuck = withDeadline(new FakeClock(), 1000, outer.signal, () => new Promise(() => undefined))
    outer.abort(new Error('going down'))
    await expect(stuck).rejects.toThrow('going down')
  })
})
