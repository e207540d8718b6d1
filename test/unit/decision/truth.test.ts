import { keptOf } from '../../../src/api/kept.ts'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import type { Observations, RecordObservation } from '../../../src/decision/types.ts'
import { isoTime } from '../../../src/decision/time.ts'
import {
  actionOf,
  actionTypes,
  clean,
  condition,
  conditionText,
  documentIn,
  eventReasons,
  HOUR,
  LINEAGE,
  MINUTE,
  observe,
  proven,
  recordOf,
  redisOf,
  resourceOf,
  run,
  specOf,
  statusAt,
  T0,
  worldOf,
  type Loose,
} from './builders.ts'

const now = T0 + MINUTE

function configMap(document?: string): Observations['configMap'] {
  return { known: true, value: { exists: true, immutable: false, ...(document === undefined ? {} : { document }) } }
}

function unreadable({ kept: _, ...record }: RecordObservation): RecordObservation {
  return record
}

describe('the start', () => {
  test('publishes epoch 1, which routes as before: status, then record, then ConfigMap', () => {
    const decision = run(undefined, observe())
    expect(decision.status).toMatchObject({ phase: 'Legacy', step: 0, canaryPercentage: 0, epoch: 1 })
    expect(documentIn(decision.status)).toMatchObject({ epoch: 1, createTarget: 0, readTarget: 0 })
    expect(actionTypes(decision)).toEqual(['WriteRecord', 'ApplyConfigMap'])
    expect(actionOf(decision, 'ApplyConfigMap').document).toBe(decision.status.routing)
    expect(eventReasons(decision)).toContain('FirstPublished')
  })

  test('says at once that it is not ready, so that nobody takes it for done', () => {
    const decision = run(undefined, observe())
    expect(conditionText(decision, 'Ready')).toBe('False Publishing')
    expect(conditionText(decision, 'Reconciling')).toBe('True Publishing')
    expect(decision.status.observedGeneration).toBe(1)
  })

  test('is made although the resource is paused: it changes nothing for the application', () => {
    const decision = run(undefined, observe(), { spec: specOf({ paused: true }) })
    expect(decision.status.epoch).toBe(1)
    expect(conditionText(decision, 'Paused')).toBe('True Paused')
  })

  test('waits while the ConfigMap cannot be read: a document might be there', () => {
    const decision = run(
      undefined,
      observe({ configMap: { known: false, reason: 'Forbidden', message: 'may not read' } }),
    )
    expect(decision.status.epoch).toBeUndefined()
    expect(conditionText(decision, 'Ready')).toBe('False ConfigMapUnknown')
  })

  test('raises no fence by itself', () => {
    const first = run(undefined, observe()).status
    const decision = run(first, worldOf(first, {}, { members: [] }))
    expect(actionTypes(decision)).not.toContain('RaiseFence')
  })
})

describe('what lies behind is written again from what lies ahead, with an Adopted event', () => {
  const ahead = statusAt('ReadRouting', {
    epoch: 8,
    percent: 50,
    over: { evidence: { ...proven('verifiedTarget'), baseEpoch: 6 } },
  })
  const behind = statusAt('DualWrite', { epoch: 7 })

  test('O4: a status that was lost goes on from the record', () => {
    const decision = run(undefined, worldOf(ahead))
    expect(decision.status).toMatchObject({
      phase: 'ReadRouting',
      epoch: 8,
      routing: ahead.routing,
      evidence: ahead.evidence,
      templates: ['t1'],
    })
    expect(eventReasons(decision)).toContain('Adopted')
    expect(decision.status.history?.at(-1)).toMatchObject({ from: '-', to: 'ReadRouting 50 %', reason: 'Adopted' })
  })

  test('O4: a status of two epochs ago goes on from the record, and its epoch never falls', () => {
    const failures = [{ name: 'errors', outcome: 'Fail' as const, failures: 3 }]
    const old = statusAt('DualWrite', { epoch: 6, percent: 50, from: ['Legacy', 0], over: { checks: failures } })
    const decision = run(old, worldOf(ahead))
    expect(decision.status).toMatchObject({ epoch: 8, phase: 'ReadRouting', checks: [{ failures: 0 }] })
    expect(decision.status.previous).toBeUndefined()
  })

  const failed: NonNullable<Status['failed']> = {
    phase: 'DualWrite',
    step: 0,
    generation: 1,
    reason: 'CheckFailed',
    message: 'errors',
    at: isoTime(T0),
    destination: 'Legacy',
    targetPhase: 'DualWrite',
    canaryPercentage: 100,
  }
  const newcomer = { pod: 'u9', name: 'n', workload: 'Deployment/api', template: 't9', image: 'i', since: isoTime(T0) }
  test.each<[string, Loose<Status>]>([
    ['the latch of a failure', { failed }],
    ['the cap of a walk back', { lastCap: { targetPhase: 'DualWrite', canaryPercentage: 10 } }],
    ['a purge that was carried out', { purged: 'once' }],
    ['pods that may have run without the client', { newcomers: [newcomer] }],
    ['the state before', { previous: { phase: 'ReadRouting', step: 1, createTarget: 100, readTarget: 100 } }],
    ['when it was published and seen to converge', { publishedAt: isoTime(T0), convergedAt: isoTime(T0 + 1) }],
    ['attempts of worker Jobs', { work: { purge: { attempt: 3, state: 'Recorded', failures: 0 } } }],
    ['the preflight', { preflight: { job: 'ai-jobs-preflight-1', epoch: 1, at: isoTime(T0), inputs: 'x' } }],
  ])('O4: a lost status does not forget %s', (_, over) => {
    const before = statusAt('DualWrite', { epoch: 8, over })
    expect(run(undefined, worldOf(before)).status).toMatchObject(clean(over))
  })

  test('O4: a status lost after a failed check does not walk into the same canary again', () => {
    const held = statusAt('Legacy', { epoch: 8, over: { failed } })
    const decision = run(undefined, worldOf(held), { spec: specOf({ targetPhase: 'DualWrite' }) })
    expect(decision.status).toMatchObject({ phase: 'Legacy', epoch: 8, failed: { reason: 'CheckFailed' } })
    expect(conditionText(decision, 'Stalled')).toBe('True CheckFailed')
  })

  describe('within one epoch the higher revision counts', () => {
    const young = statusAt('DualWrite', {
      epoch: 8,
      percent: 10,
      over: { revision: 4, failed: { ...failed, destination: 'DualWrite' } },
    })
    const { failed: _, ...old } = { ...young, revision: 3 }

    test('a change of what the record keeps raises it, and the record follows', () => {
      const unseen = { ...old, convergedAt: undefined, soakEndsAt: undefined }
      const decision = run(clean<Status>(unseen), worldOf(clean<Status>(unseen)))
      expect(decision.status.revision).toBe(4)
      expect(actionOf(decision, 'WriteRecord')).toMatchObject({ epoch: 8, reason: 'Account' })
      expect(eventReasons(decision)).not.toContain('Adopted')
    })

    test('a status of the same epoch that was set back remembers the failure, with an Adopted event', () => {
      const decision = run(old, worldOf(young))
      expect(decision.status).toMatchObject({ epoch: 8, revision: 5, failed: { reason: 'CheckFailed' } })
      expect(eventReasons(decision)).toContain('Adopted')
    })

    test('a failure that was answered is not put back by an old status', () => {
      const decision = run({ ...young, revision: 3 }, worldOf({ ...old, revision: 4 }))
      expect(decision.status.failed).toBeUndefined()
    })

    test('a record that lies behind follows without a word', () => {
      const decision = run(young, worldOf(young, {}, { record: recordOf(old) }))
      expect(decision.status.revision).toBe(4)
      expect(actionOf(decision, 'WriteRecord').reason).toBe('Account')
      expect(eventReasons(decision)).not.toContain('Adopted')
    })

    test('of the same revision status counts: it is written first, under a lock', () => {
      const decision = run(young, worldOf(young, {}, { record: recordOf({ ...old, revision: 4 }) }))
      expect(decision.status).toMatchObject({ revision: 4, failed: { reason: 'CheckFailed' } })
      expect(actionOf(decision, 'WriteRecord').reason).toBe('Account')
    })

    test('a new epoch begins at none', () => {
      const at = statusAt('DualWrite', { epoch: 8, over: { revision: 4 } })
      const decision = run(at, worldOf(at, {}, { fence: 8 }), { spec: specOf({ targetPhase: 'Legacy' }) })
      const fenced = run({ ...at, fence: 8 }, worldOf(at, {}, { fence: 8 }), {
        spec: specOf({ targetPhase: 'Legacy' }),
      })
      expect([decision.status.epoch, fenced.status.epoch, fenced.status.revision]).toEqual([8, 9, undefined])
    })
  })

  test('an adopted soak that was held up keeps what was left to the millisecond', () => {
    const held = statusAt('ReadRouting', {
      epoch: 8,
      percent: 50,
      over: { evidence: ahead.evidence, soakEndsAt: undefined, soakRemainingMs: 5 * MINUTE, soakLengthMs: 24 * HOUR },
    })
    const { status } = run(undefined, worldOf(held), { now })
    expect(status).toMatchObject({ convergedAt: held.convergedAt, soakRemainingMs: 5 * MINUTE })
  })

  test('a soak that was running goes on, and what was not counted yet is left to be judged', () => {
    const running = statusAt('ReadRouting', {
      epoch: 8,
      percent: 50,
      over: {
        evidence: ahead.evidence,
        soakLengthMs: 24 * HOUR,
        soakEndsAt: isoTime(T0 + HOUR),
        soakCountedThrough: isoTime(T0 + 20 * MINUTE),
      },
    })
    const { status } = run(undefined, worldOf(running, {}, { members: [] }), { now })
    expect(status).toMatchObject({
      soakEndsAt: isoTime(T0 + HOUR),
      soakCountedThrough: isoTime(T0 + 20 * MINUTE),
      soakLengthMs: 24 * HOUR,
    })
  })

  test('an adopted record says whether its epoch is an abort', () => {
    const aborted = statusAt('DualWrite', { epoch: 8, over: { isAbort: true } })
    expect(run(undefined, worldOf(aborted)).status.isAbort).toBe(true)
  })

  test('an adopted Legacy has no soak', () => {
    const legacy = statusAt('Legacy', { epoch: 8, over: { templates: undefined } })
    const { status } = run(undefined, worldOf(legacy, {}, { members: [] }))
    expect(status.soakCountedThrough).toBeUndefined()
    expect(status.templates).toBeUndefined()
  })

  test('an adopted fence is confirmed anew before anything is built on it', () => {
    const decision = run(undefined, worldOf(ahead, {}, { fence: 7 }), { spec: specOf({ targetPhase: 'ReadRouting' }) })
    expect(actionOf(decision, 'RaiseFence').epoch).toBe(7)
  })

  test('a record that a failover took back is written again from status', () => {
    const decision = run(ahead, worldOf(ahead, {}, { record: recordOf(behind) }))
    expect(actionOf(decision, 'WriteRecord')).toMatchObject({ epoch: 8, document: ahead.routing })
    expect(eventReasons(decision)).toContain('Adopted')
    expect(decision.status.epoch).toBe(8)
  })

  test('a record that is gone is written again, and the fence raised to what was confirmed', () => {
    const decision = run(ahead, worldOf(ahead, {}, { record: undefined, fence: undefined }))
    expect(actionTypes(decision)).toEqual(expect.arrayContaining(['WriteRecord', 'RaiseFence']))
    expect(actionOf(decision, 'RaiseFence').epoch).toBe(7)
  })

  test.each<[string, string | undefined]>([
    ['an old document', behind.routing],
    ['no document', undefined],
    ['a text that is no document', '{}'],
  ])('%s in the ConfigMap is written over', (_, document) => {
    const decision = run(ahead, worldOf(ahead, { configMap: configMap(document) }))
    expect(actionTypes(decision)).toEqual(['ApplyConfigMap'])
    expect(conditionText(decision, 'Ready')).toBe('False Publishing')
  })

  test('a status whose document was stripped goes on from the record', () => {
    const stripped = clean<Status>({ ...ahead, routing: undefined })
    expect(run(stripped, worldOf(ahead)).status.routing).toBe(ahead.routing)
  })

  test.each<[string, Partial<ReturnType<typeof recordOf>>]>([
    ['evidence', { kept: { ...keptOf(ahead), evidence: { ...proven(), baseEpoch: 6 } } }],
    ['templates', { kept: { ...keptOf(ahead), templates: [] } }],
    ['whole account', { kept: {} }],
    ['document text', { document: 'x' }],
  ])('the record follows status in its %s too, without a word', (_, over) => {
    const decision = run(ahead, worldOf(ahead, {}, { record: recordOf(ahead, over) }))
    expect(actionOf(decision, 'WriteRecord').reason).toBe('Account')
    expect(eventReasons(decision)).not.toContain('Adopted')
  })

  test('a record whose account cannot be read is written again', () => {
    const { kept: _, ...bare } = recordOf(behind)
    expect(actionTypes(run(behind, worldOf(behind, {}, { record: bare })))).toContain('WriteRecord')
  })
})

describe('state that contradicts itself is StateConflict: nothing is published until a person adopts an epoch', () => {
  const status = statusAt('DualWrite', { epoch: 7, percent: 50 })
  const other = statusAt('DualWrite', { epoch: 7, percent: 10 })
  const higher = statusAt('ReadRouting', { epoch: 9, percent: 50 })
  const world = (redis: Loose<Parameters<typeof redisOf>[0]>, over: Partial<Observations> = {}) =>
    worldOf(status, over, redis)
  const moved: Partial<SpecInput> = { redis: { address: 'redis://elsewhere:6379/0' } }

  test.each<[string, Status | undefined, Observations, RegExp, Partial<SpecInput>?]>([
    ['equal epochs with other documents', status, world({ record: recordOf(other) }), /different documents of epoch 7/],
    [
      'O4: a record of another cluster',
      status,
      world({ record: recordOf(status, { cluster: 'c2' }) }),
      /another cluster \(c2\)/,
    ],
    [
      'D8: a second resource on the same keys',
      undefined,
      world({ record: recordOf(status, { owner: 'other/jobs' }) }),
      /managed by other\/jobs/,
    ],
    ['a fence above status and record', status, world({ fence: 8 }), /fence in Redis stands at 8, above epoch 7/],
    [
      'a fence without any document',
      undefined,
      observe({ redis: { known: true, value: redisOf({ fence: 3 }) } }),
      /no routing document is left/,
    ],
    [
      'a document in the ConfigMap above both',
      status,
      world({}, { configMap: configMap(higher.routing) }),
      /holds epoch 9, above epoch 7/,
    ],
    [
      'a document in the ConfigMap alone',
      undefined,
      observe({ configMap: configMap(higher.routing) }),
      /above epoch 0/,
    ],
    [
      'a record ahead that cannot be read',
      status,
      world({ record: recordOf(status, { epoch: 9, document: 'x' }) }),
      /is ahead of status and cannot be read/,
    ],
    [
      'a record ahead whose account cannot be read',
      status,
      world({ record: unreadable(recordOf(higher)) }),
      /is ahead of status and cannot be read/,
    ],
    [
      'a lost status and a record that cannot be read',
      undefined,
      world({ record: recordOf(status, { document: 'x' }) }),
      /is ahead of status and cannot be read/,
    ],
    [
      'a Redis elsewhere without the record',
      status,
      world({ record: undefined, fence: undefined }),
      /redis.address or redis.sentinel has changed/,
      moved,
    ],
    [
      'a Redis elsewhere with an older record',
      status,
      world({ record: recordOf(statusAt('Legacy', { epoch: 6 })), fence: 5 }),
      /redis.address or redis.sentinel has changed/,
      moved,
    ],
  ])('%s', (_, before, observations, message, spec = {}) => {
    const decision = run(before, observations, { spec: specOf(spec) })
    expect(conditionText(decision, 'Stalled')).toBe('True StateConflict')
    expect(decision.status.awaits).toMatch(message)
    expect(decision.actions).toEqual([])
    expect(decision.status.epoch).toBe(before?.epoch)
    expect(decision.status.redisSeen).toEqual(before?.redisSeen)
  })

  test('a Redis elsewhere that holds the same record goes on', () => {
    const decision = run(status, worldOf(status), { spec: specOf(moved) })
    expect(conditionText(decision, 'Stalled')).toMatch(/^False/)
    expect(decision.status.redisSeen?.address).toBe('redis://elsewhere:6379/0')
  })

  test('the epoch offered, once it stands in the annotation, goes on above everything seen', () => {
    const observations = world({ record: recordOf(higher, { owner: 'other/jobs' }), fence: 12 })
    const held = run(status, observations)
    expect(held.status.awaits).toContain('keyshift.dev/adopt-epoch: "12"')
    const decision = run(status, observations, { annotations: { 'keyshift.dev/adopt-epoch': '12' } })
    expect(decision.status).toMatchObject({ epoch: 13, phase: 'ReadRouting', canaryPercentage: 50 })
    expect(actionOf(decision, 'WriteRecord')).toMatchObject({ epoch: 13, takeOver: true })
    expect(actionTypes(decision)).toContain('ApplyConfigMap')
    expect(eventReasons(decision)).toContain('Adopted')
    // Nothing that was proven before is believed, and nothing is taken back without convergence.
    expect(decision.status.evidence).toEqual({ lineage: LINEAGE, baseEpoch: 13 })
    expect(decision.status.previous).toBeUndefined()
  })

  test('an adoption cut short after status was written is taken up again', () => {
    const observations = world({ record: recordOf(higher, { owner: 'other/jobs' }), fence: 12 })
    const annotations = { 'keyshift.dev/adopt-epoch': '12' }
    const adopted = run(status, observations, { annotations }).status
    const again = run(adopted, observations, { annotations })
    expect(again.status).toEqual(adopted)
    expect(actionOf(again, 'WriteRecord')).toMatchObject({ epoch: 13, takeOver: true })
    expect(actionTypes(again)).toContain('ApplyConfigMap')
  })

  test('any other epoch in the annotation changes nothing', () => {
    const observations = world({ fence: 12 })
    const decision = run(status, observations, { annotations: { 'keyshift.dev/adopt-epoch': '7' } })
    expect(conditionText(decision, 'Stalled')).toBe('True StateConflict')
  })

  test('of equal epochs the document of the record is adopted: workers obey it', () => {
    const decision = run(status, world({ record: recordOf(other) }), {
      annotations: { 'keyshift.dev/adopt-epoch': '7' },
    })
    expect(decision.status).toMatchObject({ epoch: 8, canaryPercentage: 10 })
  })

  test('an adopted epoch waits where the ConfigMap cannot be read', () => {
    const decision = run(status, world({ fence: 12 }, { configMap: { known: false, reason: 'x', message: 'no' } }), {
      annotations: { 'keyshift.dev/adopt-epoch': '12' },
    })
    expect(conditionText(decision, 'Ready')).toBe('False ConfigMapUnknown')
  })

  test('a conflict that was resolved is forgotten', () => {
    const stale = run(status, world({ fence: 12 })).status
    const decision = run(stale, worldOf(status))
    expect(condition(decision, 'Stalled').status).toBe('False')
  })
})

describe('the fence', () => {
  const status = statusAt('DualWrite', { epoch: 7, percent: 50, over: { fence: 6 } })

  test('is asserted again where a failover took it back', () => {
    expect(actionOf(run(status, worldOf(status, {}, { fence: 4 })), 'RaiseFence').epoch).toBe(6)
    expect(actionOf(run(status, worldOf(status, {}, { fence: undefined })), 'RaiseFence').epoch).toBe(6)
  })

  test('raised but not yet in status is confirmed', () => {
    expect(actionOf(run(status, worldOf(status, {}, { fence: 7 })), 'RaiseFence').epoch).toBe(7)
  })

  test.each([
    ['gone', undefined],
    ['set back', 4],
  ])('%s from a Redis that lost nothing else voids what was proven: an old client may have written', (_, fence) => {
    const evidence = proven('verifiedTarget')
    const full = statusAt('DualWrite', { epoch: 7, percent: 100, over: { fence: 6, evidence } })
    const decision = run(full, worldOf(full, {}, { fence }))
    expect(decision.status.evidence?.voided).toContain('the fence was gone')
    expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
    expect(decision.status.failed).toBeUndefined()
    expect(eventReasons(decision)).toContain('EvidenceVoid')
    expect(actionOf(decision, 'RaiseFence').epoch).toBe(6)
    const next = run(decision.status, worldOf(decision.status))
    expect(eventReasons(next)).not.toContain('EvidenceVoid')
  })

  test('in place is left alone', () => {
    expect(actionTypes(run(status, worldOf(status)))).not.toContain('RaiseFence')
  })
})

describe('a Redis that lost record and fence, whatever its lineage says', () => {
  const gone = { record: undefined, fence: undefined }
  const over = { evidence: proven('verifiedTarget'), convergedAt: isoTime(T0), soakEndsAt: isoTime(T0) }
  const reads = statusAt('ReadRouting', { epoch: 8, percent: 50, over })
  const forward = { spec: specOf({ targetPhase: 'BackfillVerify', slo: { disabled: true } }) }

  test('holds every forward step until a person answers, and gets both back at once', () => {
    const decision = run(reads, worldOf(reads, {}, gone), forward)
    expect(decision.status).toMatchObject({ epoch: 8, failed: { reason: 'RedisDataLost', destination: 'ReadRouting' } })
    expect(conditionText(decision, 'Stalled')).toBe('True RedisDataLost')
    expect(decision.status.awaits).toMatch(/epoch 8 are gone from Redis.*Restore.*keyshift\.dev\/retry/)
    expect(eventReasons(decision)).toEqual(expect.arrayContaining(['RedisDataLost', 'EvidenceVoid', 'Adopted']))
    expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
    expect(actionOf(decision, 'RaiseFence').epoch).toBe(7)
    const next = run(decision.status, worldOf(decision.status), forward)
    expect(conditionText(next, 'Stalled')).toBe('True RedisDataLost')
    const answered = run(decision.status, worldOf(decision.status), {
      ...forward,
      annotations: { 'keyshift.dev/retry': '1' },
    })
    expect(conditionText(answered, 'Stalled')).not.toContain('RedisDataLost')
    expect(answered.status.failed).toBeUndefined()
  })

  test('does not hold a way back that was under way', () => {
    const decision = run(reads, worldOf(reads, {}, gone), { spec: specOf({ targetPhase: 'Legacy' }) })
    expect(decision.status.failed?.reason).toBe('RedisDataLost')
    const next = run(decision.status, worldOf(decision.status, {}, { fence: 8 }), {
      spec: specOf({ targetPhase: 'Legacy' }),
    })
    expect(actionTypes(next)).toContain('RaiseFence')
    const fenced = { ...next.status, fence: 8 }
    expect(run(fenced, worldOf(fenced), { spec: specOf({ targetPhase: 'Legacy' }) }).status.epoch).toBe(9)
  })

  test('in Legacy makes preflight look again at what is there, and latches nothing', () => {
    const legacy = clean({ ...statusAt('Legacy', { epoch: 1 }), fence: undefined })
    const inputs = run(legacy, worldOf(legacy)).status.work?.['preflight']?.inputs ?? ''
    const status = { ...legacy, preflight: { job: 'ai-jobs-preflight-1', epoch: 1, at: isoTime(T0), inputs } }
    const decision = run(status, worldOf(status, {}, gone))
    expect(decision.status).toMatchObject({ epoch: 1 })
    expect([decision.status.failed, decision.status.preflight]).toEqual([undefined, undefined])
    expect(eventReasons(decision)).toContain('RedisDataLost')
    const next = run(decision.status, worldOf(decision.status))
    expect(next.status.work?.['preflight']?.state).toBe('Creating')
  })

  test('that holds an old record and an old fence has not lost them: both are raised, and nothing latches', () => {
    const old = recordOf(statusAt('DualWrite', { epoch: 5 }))
    const decision = run(reads, worldOf(reads, {}, { record: old, fence: 4, lineage: 'other' }), forward)
    expect(decision.status.failed).toBeUndefined()
    expect(actionTypes(decision)).toEqual(expect.arrayContaining(['WriteRecord', 'RaiseFence']))
    expect(eventReasons(decision)).toEqual(expect.arrayContaining(['Adopted', 'EvidenceVoid']))
  })

  test('is not one whose first record has yet to be written', () => {
    const first = run(undefined, observe()).status
    expect(eventReasons(run(first, worldOf(first, {}, gone)))).not.toContain('RedisDataLost')
  })
})

test('a resource under deletion is frozen: whatever lies behind stays behind', () => {
  const status = statusAt('DualWrite')
  const resource = resourceOf(specOf(), status, { deletionTimestamp: isoTime(now) })
  const decision = decide(resource, worldOf(status, { configMap: configMap() }), now)
  expect(decision).toMatchObject({ status, actions: [], events: [], wantsLive: false })
  const { status: _none, ...bare } = resource
  expect(decide(bare, observe(), now).status).toEqual({})
})
