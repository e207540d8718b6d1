import { Registry } from 'prom-client'
import { createOperatorMetrics } from '../../../src/operator/metrics.ts'

describe('metrics', () => {
  it('show a resource, and nothing of it once it is gone', async () => {
    const registry = new Registry()
    const metrics = createOperatorMetrics(registry)
    const latest = [{ check: 'errors', outcome: 'Fail' as const, value: 0.5, worst: [], message: '', query: '' }]
    const work = [
      {
        jobName: 'j',
        run: 'r',
        kind: 'backfill' as const,
        state: 'running' as const,
        done: 5,
        total: 9,
        rate: 1,
        pass: 1,
        lineage: '',
        epoch: 3,
      },
    ]
    metrics.show('app/jobs', {
      status: { phase: 'ReadRouting', epoch: 4, canaryPercentage: 50 },
      observations: { latest, work },
    })
    const text = await registry.metrics()
    for (const series of [
      'keyshift_phase{resource="app/jobs"} 2',
      'keyshift_epoch{resource="app/jobs"} 4',
      'keyshift_canary_percentage{resource="app/jobs"} 50',
      'keyshift_check_value{resource="app/jobs",check="errors"} 0.5',
      'keyshift_check_outcome{resource="app/jobs",check="errors"} 0',
      'keyshift_work_keys_done{resource="app/jobs",kind="backfill"} 5',
      'keyshift_work_keys_estimate{resource="app/jobs",kind="backfill"} 9',
    ])
      expect(text).toContain(series)
    expect(text).not.toContain('keyshift_fence{')
    metrics.show('app/jobs', undefined)
    expect(await registry.metrics()).not.toContain('app/jobs')
  })
})
