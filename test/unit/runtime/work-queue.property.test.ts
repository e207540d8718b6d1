import fc from 'fast-check'
import { WorkQueue } from '../../../src/runtime/work-queue.ts'
import { FakeClock, settle } from './fake-clock.ts'

const key = fc.constantFrom('a', 'b', 'c')
const step = fc.oneof(
  fc.record({ do: fc.constant('add' as const), key }),
  fc.record({ do: fc.constant('addAfter' as const), key, ms: fc.integer({ min: 0, max: 50 }) }),
  fc.record({ do: fc.constant('addRateLimited' as const), key }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant('finishOldest' as const) }),
  fc.record({ do: fc.constant('finishNewest' as const) }),
)

describe('WorkQueue, whatever is done to it in whatever order', () => {
  it('never works on a key twice at once, and works on each key after it was last added', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (steps, workers) => {
        const clock = new FakeClock()
        const queue = new WorkQueue({ clock })
        const running: { key: string; finish: () => void }[] = []
        /** Keys added whose processing has not begun since. */
        const owed = new Set<string>()
        const loop = async () => {
          for (let taken = await queue.take(); taken !== undefined; taken = await queue.take()) {
            const current = taken
            if (running.some((other) => other.key === current)) throw new Error(`${current} is worked on twice at once`)
            owed.delete(current)
            await new Promise<void>((finish) => running.push({ key: current, finish }))
            queue.done(current)
          }
        }
        const loops = Promise.all(Array.from({ length: workers }, loop))
        for (const action of steps) {
          if (action.do === 'add') {
            queue.add(action.key)
            owed.add(action.key)
          } else if (action.do === 'addAfter') {
            queue.addAfter(action.key, action.ms)
            owed.add(action.key)
          } else if (action.do === 'addRateLimited') {
            queue.addRateLimited(action.key)
            owed.add(action.key)
          } else if (action.do === 'wait') await clock.advance(action.ms)
          else (action.do === 'finishOldest' ? running.shift() : running.pop())?.finish()
          await settle()
        }
        // far beyond every delay and backoff; whatever is owed must come up by itself
        for (let i = 0; i < 10 || running.length > 0; i++) {
          await clock.advance(60_000)
          running.splice(0).forEach((work) => work.finish())
          await settle()
        }
        expect([...owed]).toEqual([])
        expect(queue.length).toBe(0)
        queue.shutDown()
        await loops
      }),
      { numRuns: 150 },
    )
  })
})
