import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { Decision, Observations, RivalObservation } from '../../../src/decision/types.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { makeDocument, renderDocument } from '../../../src/protocol/document.ts'
import { documentInput } from '../../../src/decision/scene.ts'
import {
  actionOf,
  condition,
  conditionText,
  observe,
  recordOf,
  redisOf,
  resourceOf,
  run,
  specOf,
  statusAt,
  T0,
  worldOf,
} from './builders.ts'

const rival = (over: Partial<RivalObservation> = {}): RivalObservation => ({
  owner: 'prod/other',
  uid: 'u0',
  createdAt: T0,
  sharesConfigMap: true,
  sharesKeys: false,
  ...over,
})
const older = rival({ createdAt: T0 - 1 })
const younger = rival({ createdAt: T0 + 1 })

/** A pass over `prod/ai-jobs`, made at T0, uid u1. */
function passOf(
  observations: Observations,
  status?: Status,
  over: Partial<JobKeyMigration['metadata']> = {},
): Decision {
  return decide(resourceOf(specOf(), status, { creationTimestamp: isoTime(T0), ...over }), observations, T0)
}

const text = (name: string, epoch = 3) =>
  renderDocument(makeDocument(documentInput(specOf(), name), routingState('DualWrite', 0, 10), epoch))
const mounted = (name: string, foreignManager?: string): Observations['configMap'] => ({
  known: true,
  value: {
    exists: true,
    immutable: false,
    document: text(name),
    ...(foreignManager === undefined ? {} : { foreignManager }),
  },
})

describe('D8: of two resources that would write the same, one goes first and the other writes nothing', () => {
  const begun = statusAt('DualWrite', { percent: 10 })
  test.each<[string, 'held' | 'goes on', Observations, Status?]>([
    ['the younger waits for the older', 'held', observe({ rivals: [older] })],
    ['the older does not wait for the younger', 'goes on', observe({ rivals: [younger] })],
    ['of one second the lower uid goes first', 'held', observe({ rivals: [rival({ uid: 'u0' })] })],
    ['of one second the higher uid waits', 'goes on', observe({ rivals: [rival({ uid: 'u2' })] })],
    [
      'whose document is in the ConfigMap goes on, however young',
      'goes on',
      worldOf(begun, { rivals: [older] }),
      begun,
    ],
    [
      'the older one waits where the document of the younger is in the ConfigMap',
      'held',
      observe({ rivals: [younger], configMap: mounted('other') }),
    ],
    [
      'whose record is in Redis goes on, however young',
      'goes on',
      worldOf(begun, { rivals: [rival({ ...older, sharesConfigMap: false, sharesKeys: true })] }),
      begun,
    ],
    [
      'the older one waits where the record of the younger is in Redis',
      'held',
      observe({
        rivals: [rival({ ...younger, sharesConfigMap: false, sharesKeys: true })],
        redis: { known: true, value: redisOf({ record: recordOf(begun, { owner: 'prod/other' }) }) },
      }),
    ],
    [
      'one of several that goes first is enough',
      'held',
      observe({ rivals: [younger, rival({ owner: 'prod/third', createdAt: T0 - 5 })] }),
    ],
    ['of several younger ones none counts', 'goes on', observe({ rivals: [younger, rival({ createdAt: T0 + 2 })] })],
  ])('%s', (_, expected, observations, ...[status]) => {
    const decision = passOf(observations, status)
    const held = condition(decision, 'Ready').reason === 'HeldByOther'
    expect(held ? 'held' : 'goes on').toBe(expected)
    if (held) expect(decision.actions).toEqual([])
    if (held) expect(decision.status.routing).toBe(status?.routing)
  })

  test('it is Stalled, names the other resource and what both name, and says what to do', () => {
    const decision = passOf(observe({ rivals: [rival({ ...older, sharesKeys: true })] }))
    expect(conditionText(decision, 'Stalled')).toBe('True HeldByOther')
    expect(decision.status.awaits).toMatch(/prod\/other.*same keys.*ConfigMap ai-jobs-routing.*delete one of the two/)
  })

  test('no annotation lets it publish over the other one', () => {
    const observations = observe({ rivals: [older], configMap: mounted('other') })
    const decision = passOf(observations, undefined, { annotations: { 'keyshift.dev/adopt-epoch': '3' } })
    expect(conditionText(decision, 'Stalled')).toBe('True HeldByOther')
    expect(decision.actions).toEqual([])
  })
})

describe('a ConfigMap that carries the routing of another resource, of which nothing is seen', () => {
  const own = statusAt('DualWrite', { epoch: 5, percent: 10 })
  test.each<[string, Status | undefined, Observations]>([
    ['is not written over by a new resource', undefined, observe({ configMap: mounted('other') })],
    ['is not written over by one of a higher epoch', own, worldOf(own, { configMap: mounted('other') })],
  ])('%s', (_, status, observations) => {
    const decision = run(status, observations)
    expect(conditionText(decision, 'Stalled')).toBe('True StateConflict')
    expect(decision.status.awaits).toMatch(
      /ConfigMap ai-jobs-routing carries the routing of JobKeyMigration other, epoch 3/,
    )
    expect(decision.actions).toEqual([])
  })

  test('is taken over once a person adopts it', () => {
    const annotations = { 'keyshift.dev/adopt-epoch': '3' }
    const decision = run(undefined, observe({ configMap: mounted('other') }), { annotations })
    expect(decision.status).toMatchObject({ epoch: 4, phase: 'DualWrite' })
    expect(actionOf(decision, 'ApplyConfigMap').document).toContain('"ai-jobs"')
    const again = run(decision.status, worldOf(decision.status, { configMap: mounted('other') }), { annotations })
    expect(actionOf(again, 'ApplyConfigMap').document).toBe(decision.status.routing)
  })

  test('is put right where another manager has put an old document of that name back', () => {
    const decision = run(own, worldOf(own, { configMap: mounted('other', 'helm') }))
    expect(actionOf(decision, 'ApplyConfigMap').document).toBe(own.routing)
  })
})
