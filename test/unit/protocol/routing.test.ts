import { bucketOf, isSelected } from '../../../src/protocol/bucket.ts'
import { CONNECTION_NAME, controlKeys } from '../../../src/protocol/control-keys.ts'
import { isPhase, phaseIndex, PHASES, rampPercent, routingState, ROUTING_TABLE } from '../../../src/protocol/phases.ts'
import { PLANNED_STATES } from '../../../src/protocol/planned.ts'
import { queueEntry, readQueueEntry } from '../../../src/protocol/queue-entry.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { WORK_KINDS, WORK_PHASES } from '../../../src/protocol/work.ts'

const t = parseTemplates('ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}')

describe('the bucket', () => {
  test('is the first 8 hex digits of SHA-1 of name and id, mod 10000', () => {
    // sha1sum of "ai-jobs:job-1" begins with 7d8f281f
    expect(bucketOf('ai-jobs', 'job-1')).toBe(3919)
  })

  test('selects none at 0, all at 100, whatever the id', () => {
    expect([isSelected('n', 'x', 0), isSelected('n', 'x', -1)]).toEqual([false, false])
    expect([isSelected('n', 'x', 100), isSelected('n', 'x', 101)]).toEqual([true, true])
  })
})

describe('the routing table', () => {
  test.each(PLANNED_STATES)('%s is planned: no phase that a resource or a document may name', (state) => {
    expect(isPhase(state)).toBe(false)
  })

  test.each([
    ['Legacy', 0, 0, undefined],
    ['DualWrite', 30, 0, 30],
    ['ReadRouting', 100, 30, 30],
    ['BackfillVerify', 100, 100, undefined],
  ] as const)('%s at 30 %% creates %d, reads %d', (phase, createTarget, readTarget, ramp) => {
    const state = routingState(phase, 2, 30)
    expect(state).toEqual({ phase, step: 2, createTarget, readTarget })
    expect(rampPercent(state)).toBe(ramp)
  })

  test('keeps legacy complete in every phase, so that each can be walked back from', () => {
    expect(PHASES.every((phase) => ROUTING_TABLE[phase].createLegacy)).toBe(true)
  })

  test('knows its phases and their order', () => {
    expect(PHASES.map(phaseIndex)).toEqual([0, 1, 2, 3])
    expect([isPhase('DualWrite'), isPhase('Completed'), isPhase(1)]).toEqual([true, false, false])
  })
})

describe('a queue entry', () => {
  test.each([
    ['Legacy', 'j1'],
    ['DualWrite', 'j1'],
    ['ReadRouting', 'w1:j1'],
    ['BackfillVerify', 'w1:j1'],
  ] as const)('written in %s is %s', (phase, expected) => {
    expect(queueEntry(t, phase, 'w1', 'j1')).toBe(expected)
  })

  test.each([
    ['j1', { form: 'job', jobId: 'j1' }],
    ['w1:j1', { form: 'pair', workspaceId: 'w1', jobId: 'j1' }],
    ['', { form: 'malformed' }],
    [':j1', { form: 'malformed' }],
    ['w1:', { form: 'malformed' }],
    ['w1:j1:x', { form: 'malformed' }],
    ['\uD800', { form: 'malformed' }],
  ])('%j is read by its text', (entry, expected) => {
    expect(readQueueEntry(t, entry)).toEqual(expected)
  })
})

describe('control keys', () => {
  test('all lie under the control prefix, and no two are one', () => {
    const keys = controlKeys('p:')
    const names = Object.values(keys).map((key: string | ((id: string) => string)) =>
      typeof key === 'string' ? key : key('id'),
    )
    expect(names.every((name) => name.startsWith('p:'))).toBe(true)
    expect(new Set(names).size).toBe(names.length)
  })

  test('connections say who they are', () => {
    const names = [CONNECTION_NAME.client('m'), CONNECTION_NAME.worker('j'), CONNECTION_NAME.operator]
    expect(names).toEqual(['keyshift-client:m', 'keyshift-worker:j', 'keyshift-operator'])
  })
})

test('each kind of work has phases that allow it', () => {
  for (const kind of WORK_KINDS) expect(WORK_PHASES[kind].length).toBeGreaterThan(0)
  expect(WORK_PHASES.backfill).not.toContain('DualWrite')
})
