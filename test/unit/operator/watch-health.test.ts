import { KubeError } from '../../../src/kube/errors.ts'
import { WatchHealth } from '../../../src/operator/watch-health.ts'
import { FakeClock } from '../runtime/fake-clock.ts'

let clock: FakeClock
beforeEach(() => (clock = new FakeClock()))

describe('the health of watches (O1)', () => {
  const told: string[] = []
  const health = () => new WatchHealth({ clock, onError: () => undefined, onEnded: (watch) => void told.push(watch) })
  const lost = new KubeError({ status: 0, reason: 'ConnectionFailed', message: 'cut' })
  const refused = new KubeError({ status: 403, reason: 'Forbidden', message: 'no right' })

  it('is good while each gives a sign of life', async () => {
    const watches = health()
    watches.add('pods', { hasSynced: true, lastActivity: clock.monotonic() })
    await clock.advance(299_000)
    expect(watches.fault()).toBeUndefined()
  })

  it('is bad when one is silent for minutes, also where connecting fails each time', async () => {
    const watches = health()
    watches.add('pods', { hasSynced: true, lastActivity: clock.monotonic() })
    await clock.advance(301_000)
    expect(watches.fault()).toMatch(/pods gave no sign of life for 301 s/)
    watches.failed('pods', lost, 10)
    expect(watches.fault()).toMatch(/pods/)
    watches.remove('pods')
    expect(watches.fault()).toBeUndefined()
  })

  it('is good where the server answers, be it with a refusal: a new process would get the same', async () => {
    const watches = health()
    watches.add('pods', { hasSynced: false, lastActivity: clock.monotonic() })
    await clock.advance(301_000)
    watches.failed('pods', refused, 10)
    expect(watches.fault()).toBeUndefined()
    expect(watches.trouble('pods')).toBe('no right')
  })

  it('is bad when one has ended by itself, and good when it was told to', async () => {
    const watches = health()
    watches.add('pods', { hasSynced: true, lastActivity: 0 })
    const stop = new AbortController()
    watches.ended('jobs', Promise.resolve(), AbortSignal.abort())
    watches.ended('pods', Promise.reject(new Error('handler threw')), stop.signal)
    await Promise.resolve()
    await Promise.resolve()
    expect(watches.fault()).toMatch(/pods has ended/)
    expect(told).toEqual(['pods'])
  })
})
