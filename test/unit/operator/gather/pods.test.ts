import type { ContainerStatus, Pod } from '../../../../src/kube/types.ts'
import { Owners } from '../../../../src/operator/gather/owners.ts'
import { observePod } from '../../../../src/operator/gather/pods.ts'
import { KubeError } from '../../../../src/kube/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { pod } from '../objects.ts'

const API = [{ kind: 'Deployment' as const, name: 'api' }]
const OWNERS = [
  { kind: 'ReplicaSet', name: 'api-1' },
  { kind: 'Deployment', name: 'api' },
]
const observe = (given: Pod) => observePod(given, OWNERS, API)
const container = (changes: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name: 'api',
  ready: true,
  restartCount: 0,
  ...changes,
})
const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString()
const ms = (minute: number) => Date.UTC(2026, 0, 1, 0, minute)

describe('a pod', () => {
  it('belongs to the workload that owns it, through whatever lies between', () => {
    expect(observe(pod())).toMatchObject({
      workload: 'Deployment/api',
      uid: 'pod-1',
      image: 'api:1',
      phase: 'Running',
      deleting: false,
    })
    expect(
      observePod(
        pod(),
        [
          { kind: 'Job', name: 'run-1' },
          { kind: 'CronJob', name: 'run' },
        ],
        [{ kind: 'CronJob', name: 'run' }],
      )?.workload,
    ).toBe('CronJob/run')
  })

  it('of no workload named is left out', () => {
    expect(
      observePod(
        pod(),
        [
          { kind: 'ReplicaSet', name: 'other' },
          { kind: 'Deployment', name: 'other' },
        ],
        API,
      ),
    ).toBeUndefined()
    expect(observePod(pod(), [], API)).toBeUndefined()
  })

  const starts: readonly (readonly [string, Pod['status'], number | undefined])[] = [
    [
      'has not started while its containers wait',
      { containerStatuses: [container({ state: { waiting: { reason: 'ContainerCreating' } } })] },
      undefined,
    ],
    [
      'has started with the first of its containers',
      {
        containerStatuses: [
          container({ state: { running: { startedAt: at(5) } } }),
          container({ name: 'b', state: { running: { startedAt: at(3) } } }),
        ],
      },
      ms(3),
    ],
    [
      'has started before it was restarted',
      {
        containerStatuses: [
          container({
            restartCount: 1,
            state: { running: { startedAt: at(9) } },
            lastState: { terminated: { exitCode: 1, startedAt: at(2) } as never },
          }),
        ],
      },
      ms(2),
    ],
    [
      'that restarts again and again has started with its pod',
      {
        startTime: at(1),
        containerStatuses: [container({ restartCount: 7, state: { running: { startedAt: at(9) } } })],
      },
      ms(1),
    ],
    [
      'that ended has started',
      {
        phase: 'Succeeded',
        containerStatuses: [
          container({ state: { terminated: { exitCode: 0, startedAt: at(4), finishedAt: at(6) } as never } }),
        ],
      },
      ms(4),
    ],
  ]
  it.each(starts)('%s', (_, status, startedAt) => {
    expect(observe(pod({ status }))?.startedAt).toBe(startedAt)
  })

  it('that is over has ended with the last of its containers', () => {
    const end = (minute: number) => container({ state: { terminated: { exitCode: 0, finishedAt: at(minute) } } })
    expect(observe(pod({ status: { phase: 'Failed', containerStatuses: [end(6), end(8)] } }))?.endedAt).toBe(ms(8))
    expect(observe(pod({ status: { phase: 'Running', containerStatuses: [end(6)] } }))?.endedAt).toBeUndefined()
  })
})

describe('the template of a pod', () => {
  const template = (given: Pod) => observe(given)?.template
  it('is the hash that its controller gave it', () => {
    expect(template(pod({ metadata: { labels: { 'pod-template-hash': 'abc' } } }))).toBe('abc')
    expect(template(pod({ metadata: { labels: { 'controller-revision-hash': 'def' } } }))).toBe('def')
  })

  it('is the same for two pods of one Job, whatever admission and scheduler added', () => {
    const first = pod({ spec: { nodeName: 'n1', volumes: [{ name: 'kube-api-access-aaaaa' }] } })
    const second = pod({ spec: { nodeName: 'n2', volumes: [{ name: 'kube-api-access-bbbbb' }] } })
    expect(template(first)).toBe(template(second))
  })

  it('is another for another image or command', () => {
    const images = [{ name: 'api', image: 'api:2' }]
    const commands = [{ name: 'api', image: 'api:1', command: ['other'] }]
    const all = [pod(), pod({ spec: { containers: images } }), pod({ spec: { containers: commands } })].map(template)
    expect(new Set(all).size).toBe(3)
  })
})

describe('owners', () => {
  const owned = (kind: string, uid: string) =>
    pod({ metadata: { ownerReferences: [{ apiVersion: 'v1', kind, name: 'x', uid, controller: true }] } })
  const signal = new AbortController().signal
  const BOTH = [
    { kind: 'Deployment' as const, name: 'api' },
    { kind: 'CronJob' as const, name: 'nightly' },
  ]
  let clock: FakeClock
  beforeEach(() => (clock = new FakeClock()))
  const clientThat = (get: () => Promise<unknown>) => {
    const calls: unknown[] = []
    return { calls, get: ((...args: unknown[]) => (calls.push(args), get())) as never }
  }
  const set = {
    metadata: {
      uid: 'rs-1',
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'api', uid: 'd', controller: true }],
    },
  }

  it('of a ReplicaSet are asked for once', async () => {
    const client = clientThat(() => Promise.resolve(set))
    const owners = new Owners(client, clock)
    for (const _ of [1, 2])
      expect((await owners.above(owned('ReplicaSet', 'rs-1'), BOTH, signal)).map(({ kind }) => kind)).toEqual([
        'ReplicaSet',
        'Deployment',
      ])
    expect(client.calls).toHaveLength(1)
  })

  it('of a namesake made later are not taken for those of the first', async () => {
    const client = clientThat(() => Promise.resolve(set))
    const owners = new Owners(client, clock)
    await owners.above(owned('ReplicaSet', 'rs-0'), BOTH, signal)
    await owners.above(owned('ReplicaSet', 'rs-0'), BOTH, signal)
    expect(client.calls).toHaveLength(2)
  })

  it('of a StatefulSet are not asked for', async () => {
    const client = clientThat(() => Promise.reject(new Error('asked')))
    expect(await new Owners(client, clock).above(owned('StatefulSet', 's'), BOTH, signal)).toMatchObject([
      { kind: 'StatefulSet', name: 'x' },
    ])
  })

  it('end where the ReplicaSet is gone, and nowhere else', async () => {
    const fail = (status: number) =>
      clientThat(() => Promise.reject(new KubeError({ status, reason: 'x', message: 'x' })))
    expect(await new Owners(fail(404), clock).above(owned('ReplicaSet', 'r'), BOTH, signal)).toHaveLength(1)
    await expect(new Owners(fail(403), clock).above(owned('ReplicaSet', 'r'), BOTH, signal)).rejects.toThrow()
    expect(await new Owners(fail(500), clock).above(pod(), BOTH, signal)).toEqual([])
  })
  it('that a ReplicaSet gets later, by adoption, are found half a minute later', async () => {
    let adopted = false
    const client = clientThat(() => Promise.resolve(adopted ? set : { metadata: { uid: 'rs-1' } }))
    const owners = new Owners(client, clock)
    const kinds = async () => (await owners.above(owned('ReplicaSet', 'rs-1'), BOTH, signal)).map(({ kind }) => kind)
    expect([await kinds(), await kinds()]).toEqual([['ReplicaSet'], ['ReplicaSet']])
    expect(client.calls).toHaveLength(1)
    adopted = true
    await clock.advance(30_000)
    expect(await kinds()).toEqual(['ReplicaSet', 'Deployment'])
  })

  it('of a Job made by hand from a CronJob are that CronJob, which is not its controller', async () => {
    const byHand = {
      uid: 'j',
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: 'nightly', uid: 'c' }],
    }
    const owners = new Owners(
      clientThat(() => Promise.resolve({ metadata: byHand })),
      clock,
    )
    expect(await owners.above(owned('Job', 'j'), BOTH, signal)).toMatchObject([
      { kind: 'Job' },
      { kind: 'CronJob', name: 'nightly' },
    ])
  })

  it('are not asked for where no workload of the spec could be among them', async () => {
    const client = clientThat(() => Promise.reject(new Error('asked')))
    const owners = new Owners(client, clock)
    for (const kind of ['ReplicaSet', 'Job'])
      expect(await owners.above(owned(kind, 'u'), [{ kind: 'Job', name: 'x' }], signal)).toMatchObject([{ kind }])
  })

  const stuck: [string, Partial<Record<'kind' | 'name' | 'hash', string>>, string | undefined][] = [
    [
      'a ReplicaSet is the Deployment that its name tells',
      { kind: 'ReplicaSet', name: 'api-abc', hash: 'abc' },
      'Deployment/api',
    ],
    ['a ReplicaSet of another hash is unknown', { kind: 'ReplicaSet', name: 'api-abc', hash: 'other' }, undefined],
    ['a ReplicaSet is unknown without a hash', { kind: 'ReplicaSet', name: 'api-abc' }, undefined],
    [
      'a scheduled Job is the CronJob that its name tells',
      { kind: 'Job', name: 'nightly-29000000' },
      'CronJob/nightly',
    ],
    ['a Job of another name is unknown', { kind: 'Job', name: 'nightly-1' }, undefined],
  ]
  it.each(stuck)('of a pod that outlives %s', async (_, { kind = '', name = '', hash }, expected) => {
    const gone = clientThat(() => Promise.reject(new KubeError({ status: 404, reason: 'NotFound', message: 'x' })))
    const left = pod({
      metadata: {
        labels: hash === undefined ? {} : { 'pod-template-hash': hash },
        ownerReferences: [{ apiVersion: 'v1', kind, name, uid: 'gone', controller: true }],
      },
    })
    const [, second] = await new Owners(gone, clock).above(left, BOTH, signal)
    expect(second && `${second.kind}/${second.name}`).toBe(expected)
  })
})
