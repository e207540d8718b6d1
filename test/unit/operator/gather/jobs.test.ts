import type { ContainerState, Job, Pod } from '../../../../src/kube/types.ts'
import { observeJobs } from '../../../../src/operator/gather/jobs.ts'
import { job, pod } from '../objects.ts'

const NOW = Date.UTC(2026, 0, 1)
const condition = (type: string, more = {}) => ({ type, status: 'True' as const, ...more })
const observe = (given: Job, pods: readonly Pod[] = []) => observeJobs([given], pods, 'uid-1', NOW)[0]
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
    expect(observeJobs([job()], [], 'uid-2', NOW)).toEqual([])
    expect(observe(job({ metadata: { ...job().metadata, labels: {} } }))).toBeUndefined()
  })

  const table: readonly (readonly [string, Pod['status'], RegExp | undefined])[] = [
    [
      'says that its image cannot be pulled',
      containers({ worker: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } } }),
      /^pod p: the image of container worker cannot be pulled: /,
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
      /^pod p: container worker ended \(exit code 1\): no right to SCAN$/,
    ],
    [
      'says that it was evicted',
      { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
      /^pod p: failed: Evicted: The node was low on resource: memory/,
    ],
    [
      'says that its node was taken away',
      { conditions: [condition('DisruptionTarget', { reason: 'DeletionByTaintManager', message: 'no execute' })] },
      /^pod p: being taken away: DeletionByTaintManager: no execute/,
    ],
    [
      'names the sidecar that failed (O8)',
      containers({ worker: { running: {} }, mesh: { terminated: { exitCode: 1, reason: 'Error' } } }),
      /^pod p: container mesh ended \(exit code 1, Error\): see its logs$/,
    ],
  ]
  it.each(table)('%s', (_, status, message) => {
    const seen = observe(job(), [workerPod(status)])?.message
    if (message === undefined) expect(seen).toBeUndefined()
    else expect(seen).toMatch(message)
  })

  const overstaying: readonly (readonly [string, Record<string, ContainerState>, RegExp | undefined])[] = [
    [
      'a sidecar that keeps the pod running',
      { worker: { terminated: { exitCode: 0 } }, 'istio-proxy': { running: {} } },
      /container istio-proxy keeps the pod running/,
    ],
    [
      'a sidecar that keeps the pod of a failed worker running',
      { worker: { terminated: { exitCode: 137 } }, mesh: { running: {} } },
      /container mesh keeps the pod running/,
    ],
    [
      'a sidecar that made the pod of a worker that was done fail',
      { worker: { terminated: { exitCode: 0 } }, mesh: { terminated: { exitCode: 1 } } },
      /container mesh made the pod fail/,
    ],
    ['nothing while the worker works', { worker: { running: {} }, mesh: { running: {} } }, undefined],
    [
      'nothing while a sidecar fails before it',
      { worker: { running: {} }, mesh: { terminated: { exitCode: 1 } } },
      undefined,
    ],
    ['nothing in a pod of its own', { worker: { terminated: { exitCode: 0 } } }, undefined],
    [
      'nothing where the worker failed by itself',
      { worker: { terminated: { exitCode: 1 } }, mesh: { terminated: { exitCode: 0 } } },
      undefined,
    ],
  ]
  it.each(overstaying)('overstays by %s (O8)', (_, states, text) => {
    const overstays = observe(job(), [workerPod(containers(states))])?.overstays
    if (text === undefined) expect(overstays).toBeUndefined()
    else expect(overstays).toMatch(text)
  })

  it('speaks of the pod that was made last', () => {
    const made = (name: string, at: string, status: Pod['status']): Pod => {
      const one = workerPod(status)
      return { ...one, metadata: { ...one.metadata, name, creationTimestamp: at } }
    }
    const failed = containers({ worker: { terminated: { exitCode: 1, message: 'x' } } })
    const [first, second] = ['2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z']
    const works = containers({ worker: { running: {} } })
    expect(observe(job(), [made('b', second, works), made('a', first, failed)])?.message).toBeUndefined()
    expect(observe(job(), [made('a', first, works), made('b', second, failed)])?.message).toMatch(/pod b/)
  })

  it('for which no pod can be made says where to look', () => {
    const started = (ago: number) => job({ status: { startTime: new Date(NOW - ago).toISOString() } })
    expect(observe(started(31_000))?.message).toMatch(
      /no pod has been made for it: kubectl describe job jobs-preflight-1/,
    )
    expect(observe(started(29_000))?.message).toBeUndefined()
  })

  it('whose pod does not start, and nobody says why, says where to look', () => {
    const made = (ago: number, status: Pod['status']): Pod => {
      const one = workerPod(status)
      return { ...one, metadata: { ...one.metadata, creationTimestamp: new Date(NOW - ago).toISOString() } }
    }
    const creating = containers({ worker: { waiting: { reason: 'ContainerCreating' } } })
    for (const status of [{ phase: 'Pending' }, { phase: 'Pending', ...creating }] as const) {
      expect(observe(job(), [made(121_000, status)])?.message).toMatch(
        /pod p has not started within 2 minutes: kubectl describe pod p/,
      )
      expect(observe(job(), [made(119_000, status)])?.message).toBeUndefined()
    }
    const works = { phase: 'Running', ...containers({ worker: { running: {} } }) } as const
    expect(observe(job(), [made(121_000, works)])?.message).toBeUndefined()
  })

  it('that failed says what became of its last pod', () => {
    const failed = condition('Failed', { reason: 'BackoffLimitExceeded', message: 'the limit is reached' })
    const killed = workerPod(containers({ worker: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }))
    expect(observe(job({ status: { conditions: [failed] } }), [killed])?.message).toMatch(
      /^BackoffLimitExceeded: the limit is reached; pod p: container worker ended \(exit code 137, OOMKilled\): see its logs$/,
    )
  })

  it('does not speak of pods that are not its own', () => {
    const stranger = pod({ status: containers({ worker: { waiting: { reason: 'ImagePullBackOff' } } }) })
    expect(observe(job(), [stranger])?.message).toBeUndefined()
  })
})
