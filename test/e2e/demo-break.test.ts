import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Summary } from '../../demo/summary.ts'
import { rootOf } from '../../hack/cluster/layout.ts'
import { tryRun } from '../../hack/system/run.ts'
import { asRoot } from './support.ts'

const NAME = 'break'

asRoot(() => {
  describe('the demo breaks itself, by its command line', () => {
    const dir = mkdtempSync(join(tmpdir(), 'keyshift-break-'))
    const file = join(dir, 'summary.json')
    const demo = (...args: readonly string[]) =>
      tryRun(process.execPath, ['demo/main.ts', ...args], { limitMs: 900_000 })
    let said: Awaited<ReturnType<typeof demo>>
    let summary: Summary

    beforeAll(async () => {
      said = await demo('up', '--short', '--break', '--name', NAME, '--summary', file)
      process.stderr.write(said.stdout)
      if (said.code !== 0) throw new Error(`the demo ended with code ${said.code}: ${said.stderr}`)
      summary = JSON.parse(readFileSync(file, 'utf8')) as Summary
    }, 960_000)

    afterAll(async () => {
      await demo('down', '--name', NAME)
      rmSync(dir, { recursive: true, force: true })
    }, 60_000)

    it('recovers from every fault, each within its limit', () => {
      expect(summary.faults.map(({ name }) => name)).toEqual([
        'kill -9 one pod of ai-worker',
        "kill -9 the operator's leader",
        'deploy the sample app again',
        'an older routing document in the ConfigMap',
        'the status set back to an old copy',
        'kill -9 the backfill pod',
        'kill -9 Redis',
        'kill -9 one pod of ai-api',
        'kill -9 Prometheus',
        'the finished backfill Job deleted',
        'scale the sample app 2 -> 4 -> 2',
        'kill -9 the API server and etcd',
        'kill -9 both operators',
        'the keys of the ConfigMap removed',
      ])
      for (const { recoveredSeconds } of summary.faults) expect(recoveredSeconds).toBeGreaterThan(0)
    })

    it('loses, ages, revives, leaks and changes nothing, and no live pod answers with an error', () => {
      expect(summary).toMatchObject({
        requests: { failed: 0 },
        ...{ lost: 0, stale: 0, resurrected: 0, leaked: 0, different: 0 },
        malformed: { seeded: 50, reported: 50, kept: 50 },
        ok: true,
      })
      expect(summary.requests.total).toBeGreaterThan(5_000)
      expect(summary.requests.unknown).toBeLessThan(summary.requests.total / 100)
    })

    it('ends with its table, and leaves no cluster', () => {
      expect(said.stdout).toMatch(/verdict +ok/)
      expect(existsSync(rootOf(NAME))).toBe(false)
    })
  })
})
