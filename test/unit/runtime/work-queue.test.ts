import { WorkQueue } from '../../../src/runtime/work-queue.ts'
import { MAX_TIMER_MS } from '../../../src/runtime/clock.ts'
import { FakeClock, settle } from './fake-clock.ts'

function setUp() {
  const clock = new FakeClock()
  const backoff = { initialMs: 100, maxMs: 1000, factor: 2, jitter: 0.5 }
  const queue = new WorkQueue({ clock, backoff, random: () => 0 })
  const taken: string[] = []
  /** Takes whatever is due now. */
  const takeAll = async () => {
    while (queue.length > 0) taken.push((await queue.take()) as string)
    return taken.splice(0)
  }
  return { clock, queue, takeAll }
}

describe('WorkQueue', () => {
  it('hands keys out in the order they were added', async () => {
    const { queue, takeAll } = setUp()
    for (const key of ['a', 'b', 'c']) queue.add(key)
    expect(await takeAll()).toEqual(['a', 'b', 'c'])
  })

  it('hands a key out once however often it was added', async () => {
    const { queue, takeAll } = setUp()
    for (let i = 0; i < 5; i++) queue.add('a')
    expect(await takeAll()).toEqual(['a'])
  })

  it('does not hand out a key that is being processed', async () => {
    const { queue, takeAll } = setUp()
    queue.add('a')
    await queue.take()
    queue.add('a')
    expect(await takeAll()).toEqual([])
    expect(queue.processing).toEqual(['a'])
  })

  it('hands a key out again that was added while it was processed', async () => {
    const { queue, takeAll } = setUp()
    queue.add('a')
    await queue.take()
    queue.add('a')
    queue.done('a')
    expect(await takeAll()).toEqual(['a'])
    queue.done('a')
    expect(await takeAll()).toEqual([])
  })

  it('wakes one waiting taker for each key', async () => {
    const { queue } = setUp()
    const takes = [queue.take(), queue.take()]
    queue.add('a')
    queue.add('b')
    expect(await Promise.all(takes)).toEqual(['a', 'b'])
  })

  it('ignores done for a key nobody holds', async () => {
    const { queue, takeAll } = setUp()
    queue.add('a')
    queue.done('a')
    expect(await takeAll()).toEqual(['a'])
  })

  describe('delayed keys', () => {
    it('become due at their time, not before', async () => {
      const { clock, queue, takeAll } = setUp()
      queue.addAfter('a', 500)
      await clock.advance(499)
      expect(await takeAll()).toEqual([])
      await clock.advance(1)
      expect(await takeAll()).toEqual(['a'])
    })

    it('become due in the order of their times', async () => {
      const { clock, queue, takeAll } = setUp()
      queue.addAfter('late', 500)
      queue.addAfter('soon', 100)
      queue.addAfter('middle', 300)
      await clock.advance(500)
      expect(await takeAll()).toEqual(['soon', 'middle', 'late'])
    })

    it('are due at the earliest of several times asked for, and once', async () => {
      const { clock, queue, takeAll } = setUp()
      queue.addAfter('a', 1000)
      queue.addAfter('a', 200)
      queue.addAfter('a', 600)
      await clock.advance(200)
      expect(await takeAll()).toEqual(['a'])
      queue.done('a')
      await clock.advance(5000)
      expect(await takeAll()).toEqual([])
    })

    it('are due at once when the delay is zero or negative', async () => {
      const { queue, takeAll } = setUp()
      queue.addAfter('a', 0)
      queue.addAfter('b', -5)
      expect(await takeAll()).toEqual(['a', 'b'])
    })

    it('of 60 days are neither due after a millisecond nor lost', async () => {
      const { clock, queue, takeAll } = setUp()
      const days = 24 * 3600 * 1000
      queue.addAfter('a', 60 * days)
      expect(clock.pending).toEqual([MAX_TIMER_MS])
      await clock.advance(60 * days - 1)
      expect(await takeAll()).toEqual([])
      await clock.advance(1)
      expect(await takeAll()).toEqual(['a'])
    })

    it('do not wait longer when the wall clock is set back', async () => {
      const { clock, queue, takeAll } = setUp()
      queue.addAfter('a', 500)
      clock.jumpWall(-3_600_000)
      await clock.advance(500)
      expect(await takeAll()).toEqual(['a'])
    })
  })

  describe('backoff', () => {
    it('grows with each failure of a key up to its maximum', () => {
      const { queue } = setUp()
      const delays = Array.from({ length: 6 }, () => queue.addRateLimited('a'))
      expect(delays).toEqual([100, 200, 400, 800, 1000, 1000])
      expect(queue.failures('a')).toBe(6)
    })

    it('of one key does not slow another', () => {
      const { queue } = setUp()
      queue.addRateLimited('a')
      queue.addRateLimited('a')
      expect(queue.addRateLimited('b')).toBe(100)
    })

    it('starts again after forget', () => {
      const { queue } = setUp()
      queue.addRateLimited('a')
      queue.addRateLimited('a')
      queue.forget('a')
      expect(queue.failures('a')).toBe(0)
      expect(queue.addRateLimited('a')).toBe(100)
    })
  })

  describe('shutdown', () => {
    it('sends waiting takers home and hands out nothing more', async () => {
      const { clock, queue } = setUp()
      const waiting = queue.take()
      queue.addAfter('b', 100)
      queue.shutDown()
      queue.add('a')
      expect(await waiting).toBeUndefined()
      expect(await queue.take()).toBeUndefined()
      expect(clock.pending).toEqual([])
    })

    it('drops keys that wait, and those added again while processed', async () => {
      const { queue } = setUp()
      queue.add('a')
      queue.add('b')
      await queue.take()
      queue.add('a')
      queue.shutDown()
      queue.done('a')
      expect(queue.length).toBe(0)
    })

    it('is drained when the last key in process is done', async () => {
      const { queue } = setUp()
      queue.add('a')
      queue.add('b')
      await queue.take()
      await queue.take()
      queue.shutDown()
      let drained = false
      const wait = queue.drained().then(() => (drained = true))
      queue.done('a')
      await settle()
      expect(drained).toBe(false)
      queue.done('b')
      await wait
    })
  })
})
