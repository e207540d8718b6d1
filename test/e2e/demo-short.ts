import { runDemo, type FinishedRun } from '../../demo/run.ts'
import { SABOTAGES, harmOf } from '../../demo/sabotage.ts'
import { SHORT_SIZES } from '../../demo/seed.ts'
import { table } from '../../demo/summary.ts'
import type { Stand } from './support.ts'

/** The demo in short form, and its check three times more on the same run, each time with other damage. */
export function demoShort(stand: () => Stand): void {
  describe('the demo in short form', () => {
    let run: FinishedRun

    beforeAll(async () => {
      const signal = new AbortController().signal
      run = await runDemo({ ...stand(), sizes: SHORT_SIZES, rates: { jobs: 60, docs: 15 }, signal })
    }, 600_000)

    afterAll(() => run?.close())

    it('walks both resources forward, back and forward again without a failed request or a wrong job', async () => {
      const outcome = await run.check()
      stand().screen.block(table(outcome, run.traffic))
      expect(outcome.violations.kept).toEqual([])
      expect(run.traffic.flatMap((traffic) => traffic.failures)).toEqual([])
      expect(outcome.summary).toMatchObject({
        jobs: { seeded: SHORT_SIZES.jobs + SHORT_SIZES.docs },
        requests: { failed: 0 },
        malformed: { seeded: 50, reported: 50, kept: 50 },
        ok: true,
      })
    })

    it.each(SABOTAGES)('is red after --sabotage %s', async (kind) => {
      const { summary } = await run.check(kind)
      expect(summary.ok).toBe(false)
      expect(summary[harmOf(kind)]).toBeGreaterThan(0)
    })

    it('is green again once the damage is undone', async () => {
      expect((await run.check()).summary.ok).toBe(true)
    })
  })
}
