import type { ContainerStatus, Pod } from '../../../../src/kube/types.ts'
import { podTrouble } from '../../../../src/operator/gather/pod-trouble.ts'
import { pod } from '../objects.ts'

const container = (over: Partial<ContainerStatus>): ContainerStatus => ({
  name: 'api',
  ready: false,
  restartCount: 0,
  ...over,
})
const withContainer = (over: Partial<ContainerStatus>): Pod => pod({ status: { containerStatuses: [container(over)] } })
const waits = (reason: string, message?: string): Pod =>
  withContainer({ state: { waiting: { reason, ...(message === undefined ? {} : { message }) } } })
const ended = { terminated: { exitCode: 1, reason: 'Error' } }

const CASES: [string, Pod, RegExp | undefined][] = [
  ['nothing, of a pod that runs', withContainer({ state: { running: {} } }), undefined],
  ['nothing, of one that is about to', waits('ContainerCreating'), undefined],
  ['nothing, of one that has no status', { metadata: {} }, undefined],
  [
    'that its image cannot be pulled, the same for the error and for the pause after it',
    waits('ErrImagePull'),
    /^the image of container api cannot be pulled: /,
  ],
  [
    'that its image cannot be pulled',
    waits('ImagePullBackOff', 'Back-off pulling image'),
    /^the image of container api cannot be pulled: [^B]*$/,
  ],
  [
    'why a container cannot start',
    waits('CreateContainerConfigError', 'secret "x" not found'),
    /cannot start: CreateContainerConfigError: secret "x"/,
  ],
  [
    'why a container cannot start, where no more is told',
    waits('RunContainerError'),
    /cannot start: RunContainerError$/,
  ],
  [
    'that it crashes, in the pause',
    withContainer({ state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: ended }),
    /^container api keeps ending \(exit code 1, Error\): see its logs$/,
  ],
  [
    'that it crashes, while it runs again',
    withContainer({ state: { running: {} }, lastState: { terminated: { exitCode: 0 } } }),
    /^container api keeps ending \(exit code 0\)/,
  ],
  [
    'that it has ended, with its last words',
    withContainer({ state: { terminated: { exitCode: 1, message: 'no right to SCAN\n' } } }),
    /^container api ended \(exit code 1\): no right to SCAN$/,
  ],
  [
    'that it crashes, the moment after, as in the pause',
    withContainer({ restartCount: 1, state: ended }),
    /^container api keeps ending \(exit code 1, Error\): see its logs$/,
  ],
  ['nothing, of one that has ended well', withContainer({ state: { terminated: { exitCode: 0 } } }), undefined],
  [
    'that it was evicted, whatever its containers say',
    pod({
      status: {
        phase: 'Failed',
        reason: 'Evicted',
        message: 'low on memory',
        containerStatuses: [container({ state: ended })],
      },
    }),
    /^failed: Evicted: low on memory$/,
  ],
  [
    'that it is taken away with its node',
    pod({
      metadata: { deletionTimestamp: 'now' },
      status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager' }] },
    }),
    /^being deleted: if it stays, its node is lost; delete the node/,
  ],
  [
    'that a container before it crashes',
    pod({ status: { initContainerStatuses: [container({ name: 'init', lastState: ended })] } }),
    /container init keeps ending/,
  ],
  [
    'that no node takes it',
    pod({ status: { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes' }] } }),
    /^not scheduled: 0\/1 nodes$/,
  ],
  [
    'that no node takes it, for whatever reason',
    pod({ status: { conditions: [{ type: 'PodScheduled', status: 'False' }] } }),
    /^not scheduled: no reason given$/,
  ],
  ['that its node is lost', pod({ status: { phase: 'Unknown' } }), /node is lost/],
  ['that its node is lost, as older servers say it', pod({ status: { reason: 'NodeLost' } }), /node is lost/],
  [
    'what to do about one that is being deleted',
    pod({ metadata: { deletionTimestamp: 'now' } }),
    /^being deleted: if it stays, its node is lost; delete the node, or the pod with --force$/,
  ],
  [
    'which finalizer holds one that is being deleted',
    pod({ metadata: { deletionTimestamp: 'now', finalizers: ['a/b', 'c/d'] } }),
    /^being deleted, held by finalizer a\/b, c\/d: /,
  ],
]

describe('what is wrong with a pod says', () => {
  it.each(CASES)('%s', (_, given, text) => {
    if (text === undefined) expect(podTrouble(given)).toBeUndefined()
    else expect(podTrouble(given)).toMatch(text)
  })
})
