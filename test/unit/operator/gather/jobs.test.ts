import type { ContainerState, Job, Pod } from '../../../../src/kube/types.ts'
import { observeJobs } from '../../../../src/operator/gather/jobs.ts'
import { job, pod } from '../objects.ts'

const condition = (type: string, more = {}) => ({ type, status: 'True' as const, ...more })
const observe = (given: Job, pods: readonly Pod[] = []) => observeJobs([given], pods, 'uid-1')[0]
const workerPod = (status: Pod['status']): Pod =>
  pod({
    metadata: {
      name: 'p',
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: 'jobs-preflight-1', uid: 'job-1' }],
    },
    status,
  })
const containers = (states: Record<string, ContainerState>) => ({
  containerStatuses: Object.entries(states).map(([name, state]) => ({ name, state, ready: false, restartCount: 0 })),
})

describe('a worker Job', () => {
  it('is named, numbered and Active until its controller says otherwise', () => {
    expect(observe(job())).toEqual({
      name: 'jobs-preflight-1',
      kind: 'preflight',
      attempt: 1,
      state: 'Active',
      suspended: false,
    })
    expect(observe(job({ status: { conditions: [condition('SuccessCriteriaMet')] } }))?.state).toBe('Active')
    expect(observe(job({ status: { conditions: [condition('Complete')] } }))?.state).toBe('Succeeded')
  })

  it('that failed says why', () => {
    const failed = condition('Failed', { reason: 'DeadlineExceeded', message: 'Job was active too long' })
    expect(observe(job({ status: { conditions: [failed] } }))).toMatchObject({
      state: 'Failed',
      message: 'DeadlineExceeded: Job was active too long',
    })
  })

  it('may be suspended', () => {
    expect(observe(job({ spec: { suspend: true, template: { spec: { containers: [] } } } }))?.suspended).toBe(true)
  })

  it('of another resource, or not made by the operator, is left out', () => {
    expect(observeJobs([job()], [], 'uid-2')).toEqual([])
    expect(observe(job({ metadata: { ...job().metadata, labels: {} } }))).toBeUndefined()
  })

  const table: readonly (readonly [string, Pod['status'], RegExp | undefined])[] = [
    [
      'says that its image cannot be pulled',
      containers({ worker: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } } }),
      /container worker waits: ImagePullBackOff: no such image/,
    ],
    [
      'says nothing while it is being made',
      containers({ worker: { waiting: { reason: 'ContainerCreating' } } }),
      undefined,
    ],
    ['says nothing while it works', containers({ worker: { running: {} } }), undefined],
    [
      'says that it is not scheduled',
      { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes fit' }] },
      /not scheduled: 0\/3 nodes fit/,
    ],
    [
      'says what its worker died of',
      containers({ worker: { terminated: { exitCode: 1, message: 'no right to SCAN' } } }),
      /container worker ended with 1: no right to SCAN/,
    ],
    [
      'names the sidecar that keeps it running (O8)',
      containers({ worker: { terminated: { exitCode: 0 } }, 'istio-proxy': { running: {} } }),
      /container istio-proxy keeps the pod running/,
    ],
    [
      'names the sidecar that failed (O8)',
      containers({ worker: { running: {} }, mesh: { terminated: { exitCode: 1, reason: 'Error' } } }),
      /container mesh ended with 1: Error/,
    ],
  ]
  it.each(table)('%s', (_, status, message) => {
    const seen = observe(job(), [workerPod(status)])?.message
    if (message === undefined) expect(seen).toBeUndefined()
    else expect(seen).toMatch(message)
  })

  it('does not speak of pods that are not its own', () => {
    const stranger = pod({ status: containers({ worker: { waiting: { reason: 'ImagePullBackOff' } } }) })
    expect(observe(job(), [stranger])?.message).toBeUndefined()
  })
})
