import { classifyPods, type PodClass, type PodInput } from '../../../src/decision/pods.ts'
import type { PodObservation } from '../../../src/decision/types.ts'
import { member, MINUTE, pod, SECOND, T0 } from './builders.ts'

const DOC = { epoch: 1, hash: 'h' }
const input: Omit<PodInput, 'pods'> = {
  members: [],
  templates: [],
  joinTimeoutMs: 2 * MINUTE,
  firstPublishedAt: T0,
  redisSince: T0 - 10 * MINUTE,
  now: T0 + 10 * MINUTE,
}
const fresh = T0 + 9 * MINUTE

const CASES: [string, PodClass, Partial<PodObservation>, Partial<PodInput>?][] = [
  ['a pod with a lease is a member', 'member', {}, { members: [member('a', DOC)] }],
  [
    'a pod with one lease among lapsed processes is a member',
    'member',
    {},
    { members: [member('a'), { ...member('a', DOC), id: 'm2' }] },
  ],
  ['a running pod whose client lost its lease is lapsed', 'lapsed', {}, { members: [member('a')] }],
  ['an ended pod that was a member is over', 'ended', { phase: 'Succeeded' }, { members: [member('a')] }],
  ['a pod without a started container is joining', 'joining', { startedAt: undefined as never }, {}],
  [
    'a pod that failed before any container started is over',
    'ended',
    { startedAt: undefined as never, phase: 'Failed' },
    {},
  ],
  ['a pod started less than joinTimeout ago is joining', 'joining', { startedAt: fresh }, {}],
  ['a pod started at joinTimeout ago is unaware', 'unaware', { startedAt: T0 + 8 * MINUTE }, {}],
  ['an old pod has joinTimeout from the publication of epoch 1', 'joining', {}, { firstPublishedAt: T0 + 9 * MINUTE }],
  [
    'a pod of a template that is a member is joining for as long as it takes',
    'joining',
    {},
    { members: [member('b', DOC)] },
  ],
  ['a pod of a template that was a member is joining', 'joining', {}, { templates: ['t1'] }],
  ['an ended pod of a template that was a member is over', 'ended', { phase: 'Failed' }, { templates: ['t1'] }],
  ['a running pod of a template never seen is unaware after joinTimeout', 'unaware', {}, { templates: ['t0'] }],
  [
    'a pod that ended without a client is unaware at once',
    'unaware',
    { phase: 'Succeeded', startedAt: fresh, endedAt: fresh + SECOND },
    {},
  ],
  ['a pod that ended, nobody knows when, is unaware', 'unaware', { phase: 'Failed' }, {}],
  ['a pod that ended before epoch 1 does not count', 'ended', { phase: 'Succeeded', endedAt: T0 - 1 }, {}],
  ['nobody is unaware until joinTimeout after Redis changed', 'joining', {}, { redisSince: T0 + 9 * MINUTE }],
  ['an ended pod neither', 'joining', { phase: 'Succeeded', endedAt: fresh }, { redisSince: T0 + 9 * MINUTE }],
]

test.each(CASES)('%s', (_, expected, over, more = {}) => {
  const pods = [pod('a', over), pod('b')]
  const [first] = classifyPods({ ...input, ...more, pods })
  expect(first?.class).toBe(expected)
})
