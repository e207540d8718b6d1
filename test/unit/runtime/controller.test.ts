import { Controller } from '../../../src/runtime/controller.ts'
import type { ControllerOptions, Reconcile } from '../../../src/runtime/controller.ts'
import { WorkQueue } from '../../../src/runtime/work-queue.ts'
import { FakeClock, settle } from './fake-clock.ts'

function setUp(reconcile: Reconcile, more: Partial<ControllerOptions> = {}) {
  const clock = new FakeClock()
  const backoff = { initialMs: 100, maxMs: 1000, factor: 2, jitter: 0 }
  const queue = new WorkQueue({ clock, backoff })
  const seen: unknown[] = []
  const observer = {
    reconciled: (key: string, ms: number) => seen.push(['reconciled', key, ms]),
    failed: (key: string, error: unknown, failures: number, retryInMs: number) =>
      seen.push(['failed', key, (error as Error).message, failures, retryInMs]),
    overdue: (key: string, ms: number) => seen.push(['overdue', key, ms]),
  }
  const stop = new AbortController()
  const controller = new Controller({ clock, queue, reconcile, observer, ...more })
  const run = controller.run(stop.signal)
  return { clock, queue, seen, run, stop: () => stop.abort() }
}

describe('Controller', () => {
  it('reconciles an added key once and reports it', async () => {
    const { queue, seen, run, stop } = setUp(async () => undefined)
    queue.add('ns/a')
    await settle()
    expect(seen).toEqual([['reconciled', 'ns/a', 0]])
    stop()
    expect(await run).toEqual([])
  })

  it('comes back after the time a reconcile asks for', async () => {
    const { clock, queue, seen } = setUp(async () => ({ requeueAfterMs: 5000 }))
    queue.add('a')
    await clock.advance(4999)
    expect(seen).toHaveLength(1)
    await clock.advance(1)
    expect(seen).toHaveLength(2)
  })

  it('does not come back when a reconcile asks for nothing', async () => {
    const { clock, queue, seen } = setUp(async () => ({}))
    queue.add('a')
    await clock.advance(3_600_000)
    expect(seen).toHaveLength(1)
  })

  it('tries a failed key again with growing pauses, and from the shortest again after a success', async () => {
    const outcomes = ['no', 'no', 'no', '', 'no']
    const { clock, queue, seen } = setUp(async () => {
      const message = outcomes.shift()
      if (message !== '' && message !== undefined) throw new Error(message)
      return undefined
    })
    queue.add('a')
    await clock.advance(700)
    queue.add('a')
    await settle()
    expect(seen).toEqual([
      ['failed', 'a', 'no', 1, 100],
      ['failed', 'a', 'no', 2, 200],
      ['failed', 'a', 'no', 3, 400],
      ['reconciled', 'a', 0],
      ['failed', 'a', 'no', 1, 100],
    ])
  })

  it('works on as many keys at once as it has workers', async () => {
    let running = 0
    let most = 0
    const { clock, queue, seen } = setUp(
      async () => {
        most = Math.max(most, ++running)
        await clock.sleep(1000)
        running--
        return undefined
      },
      { workers: 2 },
    )
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key)
    await clock.advance(2000)
    expect(most).toBe(2)
    expect(seen).toHaveLength(4)
  })

  it('aborts a reconcile at its deadline and tries the key again', async () => {
    const { clock, queue, seen } = setUp(
      (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      { deadlineMs: 1000 },
    )
    queue.add('a')
    await clock.advance(1000)
    expect(seen).toEqual([
      ['overdue', 'a', 1000],
      ['failed', 'a', 'not done within 1000 ms', 1, 100],
    ])
  })

  it('never starts a key again beside a reconcile that ignores its deadline', async () => {
    let starts = 0
    const { clock, queue, seen } = setUp(
      () => {
        starts++
        return new Promise(() => undefined)
      },
      { deadlineMs: 1000, workers: 2 },
    )
    queue.add('a')
    await clock.advance(1000)
    queue.add('a')
    await clock.advance(3_600_000)
    expect(starts).toBe(1)
    expect(seen).toEqual([['overdue', 'a', 1000]])
  })

  it('leaves no timer behind after a reconcile', async () => {
    const { clock, queue } = setUp(async () => undefined)
    queue.add('a')
    await settle()
    expect(clock.pending).toEqual([])
  })

  describe('on shutdown', () => {
    it('lets a running reconcile end undisturbed and starts no other', async () => {
      const aborted: boolean[] = []
      const { clock, queue, run, seen, stop } = setUp(async (_, signal) => {
        await clock.sleep(3000)
        aborted.push(signal.aborted)
        return undefined
      })
      queue.add('a')
      queue.add('b')
      await settle()
      stop()
      await clock.advance(3000)
      expect(await run).toEqual([])
      expect(aborted).toEqual([false])
      expect(seen).toEqual([['reconciled', 'a', 3000]])
    })

    it('aborts what still runs when its grace is over, and names it', async () => {
      let reason: unknown
      const { clock, queue, run, stop } = setUp(
        (_, signal) => {
          signal.addEventListener('abort', () => void (reason = signal.reason))
          return new Promise(() => undefined)
        },
        { graceMs: 5000 },
      )
      queue.add('stuck')
      await settle()
      stop()
      await clock.advance(4999)
      expect(reason).toBeUndefined()
      await clock.advance(1)
      expect(await run).toEqual(['stuck'])
      expect(reason).toEqual(new Error('shutting down'))
    })

    it('does nothing at all when it is told to stop before it starts', async () => {
      const queue = new WorkQueue({ clock: new FakeClock() })
      let starts = 0
      const reconcile = async () => {
        starts++
        return undefined
      }
      queue.add('a')
      const controller = new Controller({ queue, reconcile, clock: new FakeClock() })
      expect(await controller.run(AbortSignal.abort())).toEqual([])
      expect(starts).toBe(0)
    })
  })

  it('does not hide an observer that throws', async () => {
    const observer = {
      reconciled: () => {
        throw new Error('broken metric')
      },
      failed: () => {
        throw new Error('broken log')
      },
    }
    const { queue, run } = setUp(async () => undefined, { observer })
    queue.add('a')
    await expect(run).rejects.toThrow('broken log')
  })
})
