import { countSoak, holdSoak, soakOf, withSoak, type SoakInput } from '../../../src/decision/soak.ts'
import { HOUR, MINUTE, SECOND, T0 } from './builders.ts'

const LENGTH = HOUR
const counted = T0 + 10 * MINUTE
const running = { endsAt: T0 + HOUR, lengthMs: LENGTH, countedThrough: counted }

const base: SoakInput = {
  account: running,
  soakMs: LENGTH,
  allowedBefore: true,
  allowed: true,
  reset: false,
  unchecked: false,
  windows: [],
  refresh: false,
  now: counted + 2 * MINUTE,
}

function windowsOf(...passed: boolean[]) {
  return passed.map((one, i) => ({
    start: counted + i * 30 * SECOND,
    end: counted + (i + 1) * 30 * SECOND,
    passed: one,
  }))
}

describe('a soak', () => {
  test('that is healthy is left as it was', () => {
    expect(countSoak({ ...base, windows: windowsOf(true, true) }).account).toEqual(running)
  })

  test('that is healthy is counted on when asked to', () => {
    const { account } = countSoak({ ...base, windows: windowsOf(true, true), refresh: true })
    expect(account).toEqual({ ...running, countedThrough: counted + MINUTE })
  })

  test('begins in full when it is allowed', () => {
    const { account, earned } = countSoak({ ...base, account: {}, allowedBefore: false })
    expect(account).toEqual({ endsAt: base.now + LENGTH, lengthMs: LENGTH, countedThrough: base.now })
    expect(earned).toBe(false)
  })

  test('does not begin before it is allowed', () => {
    const account = { countedThrough: T0 }
    expect(countSoak({ ...base, account, allowedBefore: false, allowed: false }).account).toEqual(account)
  })

  test('of length 0 is earned at once', () => {
    expect(countSoak({ ...base, soakMs: 0, account: {}, allowedBefore: false }).earned).toBe(true)
  })

  test('is pushed by each window that does not pass', () => {
    const { account } = countSoak({ ...base, windows: windowsOf(true, false, true, true) })
    expect(account.endsAt).toBe(running.endsAt + 30 * SECOND)
    expect(account.countedThrough).toBe(counted + 2 * MINUTE)
  })

  test('is held while windows do not pass, and writes nothing more meanwhile', () => {
    const first = countSoak({ ...base, windows: windowsOf(true, false) }).account
    expect(first).toEqual({
      lengthMs: LENGTH,
      endsAt: undefined,
      remainingMs: HOUR - 10 * MINUTE - 30 * SECOND,
      countedThrough: counted + MINUTE,
    })
    const later = [{ start: counted + MINUTE, end: counted + 2 * MINUTE, passed: false }]
    expect(countSoak({ ...base, account: first, windows: later }).account).toEqual(first)
  })

  test('goes on with the first window that passes again', () => {
    const held = { remainingMs: 20 * MINUTE, lengthMs: LENGTH, countedThrough: counted }
    const { account } = countSoak({ ...base, account: held, windows: windowsOf(false, true) })
    expect(account.endsAt).toBe(counted + 30 * SECOND + 20 * MINUTE)
    expect(account.remainingMs).toBeUndefined()
  })

  test('is not earned by time without history', () => {
    const gap = [{ start: counted + 5 * MINUTE, end: counted + 6 * MINUTE, passed: true }]
    const { account } = countSoak({ ...base, windows: gap })
    expect(account).toEqual({ ...running, endsAt: running.endsAt + 5 * MINUTE, countedThrough: counted + 6 * MINUTE })
  })

  test('counts no window twice', () => {
    const twice = [...windowsOf(true), ...windowsOf(false)]
    expect(countSoak({ ...base, windows: twice }).account).toEqual(running)
  })

  test('is earned when windows are judged to its end, not when its time is over', () => {
    const ends = counted + 30 * SECOND
    const account = { ...running, endsAt: ends }
    expect(countSoak({ ...base, account, now: ends + HOUR }).earned).toBe(false)
    expect(countSoak({ ...base, account, windows: windowsOf(true) }).earned).toBe(true)
  })

  test('is earned by time alone without checks', () => {
    const unchecked = { ...base, unchecked: true }
    expect(countSoak({ ...unchecked, now: running.endsAt - 1 }).earned).toBe(false)
    expect(countSoak({ ...unchecked, now: running.endsAt }).earned).toBe(true)
  })

  test('held up goes on at once without checks', () => {
    const held = { remainingMs: MINUTE, lengthMs: LENGTH, countedThrough: counted }
    expect(countSoak({ ...base, unchecked: true, account: held }).account.endsAt).toBe(base.now + MINUTE)
  })

  test('pauses while evidence is void and keeps what it has earned', () => {
    const held = countSoak({ ...base, allowed: false, windows: windowsOf(true, true) })
    expect(held.account.remainingMs).toBe(HOUR - 11 * MINUTE)
    expect(held.account.countedThrough).toBe(base.now)
    expect(held.earned).toBe(false)
    const later = base.now + HOUR
    const again = countSoak({ ...base, account: held.account, allowedBefore: false, now: later })
    expect(again.account).toEqual({
      endsAt: later + HOUR - 11 * MINUTE,
      remainingMs: undefined,
      lengthMs: LENGTH,
      countedThrough: later,
    })
  })

  test('earned stays earned while a later window does not pass', () => {
    const done = { ...running, endsAt: counted - MINUTE }
    const { account, earned } = countSoak({ ...base, account: done, windows: windowsOf(false) })
    expect(account.remainingMs).toBe(0)
    expect(earned).toBe(true)
  })

  test('is lost when it is reset', () => {
    expect(countSoak({ ...base, reset: true, allowed: false }).account).toEqual({ countedThrough: base.now })
  })

  test.each([
    ['longer', 2 * HOUR, { endsAt: running.endsAt + HOUR }],
    ['shorter', HOUR / 2, { endsAt: running.endsAt - HOUR / 2 }],
  ])('follows a spec that makes it %s', (_, soakMs, expected) => {
    expect(countSoak({ ...base, soakMs }).account).toEqual({ ...running, ...expected, lengthMs: soakMs })
  })

  test('held up follows the spec too, and never owes less than nothing', () => {
    const held = { remainingMs: 10 * MINUTE, lengthMs: LENGTH, countedThrough: counted }
    expect(countSoak({ ...base, account: held, soakMs: MINUTE }).account.remainingMs).toBe(0)
    expect(countSoak({ ...base, account: held, soakMs: 2 * HOUR }).account.remainingMs).toBe(70 * MINUTE)
  })

  test('held up at a moment owes the rest', () => {
    expect(holdSoak(running, T0 + 50 * MINUTE).remainingMs).toBe(10 * MINUTE)
    expect(holdSoak({}, T0)).toEqual({})
  })

  test('counts through where nothing was counted before', () => {
    const account = { endsAt: base.now + MINUTE, lengthMs: LENGTH }
    expect(countSoak({ ...base, account }).earned).toBe(false)
    expect(countSoak({ ...base, account, allowedBefore: false, allowed: false }).account.countedThrough).toBe(base.now)
  })

  test('survives status and back', () => {
    expect(soakOf(withSoak({}, running))).toEqual({ ...running, remainingMs: undefined })
    expect(soakOf({ soakEndsAt: 'not a time' }).endsAt).toBeUndefined()
  })
})
