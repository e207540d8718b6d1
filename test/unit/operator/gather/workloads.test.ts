import { KubeError } from '../../../../src/kube/errors.ts'
import { Workloads } from '../../../../src/operator/gather/workloads.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'

const fails = (status: number) => () =>
  Promise.reject(new KubeError({ status, reason: 'x', message: `status ${status}` }))
const signal = new AbortController().signal
let clock: FakeClock
beforeEach(() => (clock = new FakeClock()))

describe('a workload', () => {
  const API = [{ kind: 'Deployment' as const, name: 'api' }]
  it('that exists is asked for twice a minute, and always at a step', async () => {
    let asked = 0
    const workloads = new Workloads({ get: (() => ((asked += 1), Promise.resolve({}))) as never }, clock)
    for (const live of [false, false, true]) expect(await workloads.missing('app', API, live, signal)).toEqual([])
    expect(asked).toBe(2)
    await clock.advance(30_000)
    await workloads.missing('app', API, false, signal)
    expect(asked).toBe(3)
  })

  it('that is missing is asked for each time', async () => {
    const workloads = new Workloads({ get: fails(404) }, clock)
    expect(await workloads.missing('app', API, false, signal)).toEqual(['Deployment/api'])
    await expect(new Workloads({ get: fails(403) }, clock).missing('app', API, false, signal)).rejects.toThrow()
  })
})
