import { KubeError } from '../../../../src/kube/errors.ts'
import { Workloads } from '../../../../src/operator/gather/workloads.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'

const fails = (status: number) => () =>
  Promise.reject(new KubeError({ status, reason: 'x', message: `status ${status}` }))
const known = (...value: string[]) => ({ known: true, value })
const signal = new AbortController().signal
let clock: FakeClock
beforeEach(() => (clock = new FakeClock()))

describe('a workload', () => {
  const API = [{ kind: 'Deployment' as const, name: 'api' }]
  it('that exists is asked for twice a minute, and always at a step', async () => {
    let asked = 0
    const workloads = new Workloads({ get: (() => ((asked += 1), Promise.resolve({}))) as never }, clock)
    for (const live of [false, false, true]) expect(await workloads.missing('app', API, live, signal)).toEqual(known())
    expect(asked).toBe(2)
    await clock.advance(30_000)
    await workloads.missing('app', API, false, signal)
    expect(asked).toBe(3)
  })

  it('that is missing is asked for each time', async () => {
    const workloads = new Workloads({ get: fails(404) }, clock)
    expect(await workloads.missing('app', API, false, signal)).toEqual(known('Deployment/api'))
  })

  it('that may not be read is unknown, and says which verb on what is missing', async () => {
    const message = 'GET /apis/apps/v1/namespaces/app/deployments/api: 403 Forbidden: cannot get resource "deployments"'
    const forbidden = () => Promise.reject(new KubeError({ status: 403, reason: 'Forbidden', message }))
    const answer = new Workloads({ get: forbidden }, clock).missing('app', API, false, signal)
    expect(await answer).toEqual({ known: false, reason: 'WorkloadsUnknown', message })
  })

  it('that cannot be read for another reason than the API server ends the pass', async () => {
    const broken = () => Promise.reject(new TypeError('a fault of the program'))
    await expect(new Workloads({ get: broken }, clock).missing('app', API, false, signal)).rejects.toThrow(TypeError)
  })
})
