import type { Status } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import {
  observe,
  actionTypes,
  conditionText,
  eventReasons,
  MINUTE,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  worldOf,
} from './builders.ts'

const canary = (over: Partial<Status> = {}): Status => statusAt('DualWrite', { percent: 10, over })
const now = T0 + MINUTE

function reverted(status: Status, at = now, manager = 'helm') {
  const value = {
    exists: true,
    immutable: false,
    document: '{}',
    ...(manager === '' ? {} : { foreignManager: manager }),
  }
  return run(status, worldOf(status, { configMap: { known: true, value } }), { now: at })
}

describe('O9, H6: a routing document that another manager takes back', () => {
  test('is written again at once, with an Event that names the manager', () => {
    const decision = reverted(canary())
    expect(actionTypes(decision)).toContain('ApplyConfigMap')
    expect(decision.events.find(({ reason }) => reason === 'ConfigMapReverted')?.message).toContain('helm')
    expect(decision.status.reverts).toEqual({ count: 1, at: isoTime(now), manager: 'helm' })
    expect(conditionText(decision, 'Stalled')).toMatch(/^False/)
  })

  test('is one revert however often it is decided in the same moment', () => {
    const first = reverted(canary())
    const again = reverted(first.status)
    expect(again.status).toEqual(first.status)
    expect(actionTypes(again)).toContain('ApplyConfigMap')
  })

  test('again soon after is left for a while, within ten seconds', () => {
    const { status } = reverted(canary())
    expect(actionTypes(reverted(status, now + 5 * SECOND))).not.toContain('ApplyConfigMap')
    expect(actionTypes(reverted(status, now + 10 * SECOND))).toContain('ApplyConfigMap')
  })

  test('twice is a fight: ConfigMapContested names the manager; it holds no way back', () => {
    const { status } = reverted(canary())
    const decision = reverted(status, now + 10 * SECOND)
    expect(decision.status.reverts?.count).toBe(2)
    expect(conditionText(decision, 'Stalled')).toBe('True ConfigMapContested')
    expect(decision.status.awaits).toContain('helm')
    const fenced: Status = { ...decision.status, fence: 5 }
    const back = run(fenced, worldOf(fenced), { now: now + MINUTE, spec: specOf({ targetPhase: 'Legacy' }) })
    expect(back.status.epoch).toBe(6)
  })

  test('often is answered more slowly each time, at least every five minutes', () => {
    const fought = (count: number): Status => canary({ reverts: { count, at: isoTime(T0), manager: 'helm' } })
    expect(actionTypes(reverted(fought(4), T0 + 79 * SECOND))).not.toContain('ApplyConfigMap')
    expect(actionTypes(reverted(fought(4), T0 + 80 * SECOND))).toContain('ApplyConfigMap')
    expect(actionTypes(reverted(fought(40), T0 + 5 * MINUTE))).toContain('ApplyConfigMap')
  })

  test('once more after ten quiet minutes is a new beginning', () => {
    const old = canary({ reverts: { count: 7, at: isoTime(T0 - 10 * MINUTE), manager: 'helm' } })
    expect(reverted(old, T0).status.reverts?.count).toBe(1)
    expect(run(old, worldOf(old), { now: T0 }).status.reverts).toBeUndefined()
    expect(run(old, worldOf(old), { now: T0 - MINUTE }).status.reverts?.count).toBe(7)
  })

  test('with an unreadable time is a new beginning too', () => {
    expect(reverted(canary({ reverts: { count: 7, at: 'x', manager: 'helm' } })).status.reverts?.count).toBe(1)
  })
})

test('H6: one that another manager has the key of before anything is published is written, and said to be so', () => {
  const first = (seen: { document?: string; foreignManager: string }) =>
    run(undefined, observe({ configMap: { known: true, value: { exists: true, immutable: false, ...seen } } }))
  const held = first({ document: '{}', foreignManager: 'helm' })
  expect(actionTypes(held)).toContain('ApplyConfigMap')
  expect(held.events.find(({ reason }) => reason === 'ConfigMapReverted')?.message).toMatch(
    /^helm has routing\.json of ConfigMap .* leave that key out/,
  )
  expect(eventReasons(first({ foreignManager: 'helm' }))).not.toContain('ConfigMapReverted')
})

test('O9: a ConfigMap deleted after clients ran it is a revert too; one that was not there yet is none', () => {
  const deleted = (status: Status) =>
    run(status, worldOf(status, { configMap: { known: true, value: { exists: false, immutable: false } } }), { now })
  const seen = deleted(canary({ convergedAt: isoTime(T0) }))
  expect(actionTypes(seen)).toContain('ApplyConfigMap')
  expect(seen.events.find(({ reason }) => reason === 'ConfigMapReverted')?.message).toMatch(/^someone who deletes it/)
  const unseen = deleted(canary({ convergedAt: undefined }))
  expect(actionTypes(unseen)).toContain('ApplyConfigMap')
  expect(eventReasons(unseen)).not.toContain('ConfigMapReverted')
})

test('a document that nobody took back is written without a word', () => {
  const decision = reverted(canary(), now, '')
  expect(actionTypes(decision)).toContain('ApplyConfigMap')
  expect(eventReasons(decision)).not.toContain('ConfigMapReverted')
})

test('an immutable ConfigMap is not written, and said to be in the way, unless it holds the document', () => {
  const status = canary()
  const immutable = (document: string) =>
    run(status, worldOf(status, { configMap: { known: true, value: { exists: true, immutable: true, document } } }))
  expect(actionTypes(immutable('{}'))).not.toContain('ApplyConfigMap')
  expect(conditionText(immutable('{}'), 'Stalled')).toBe('True ConfigMapImmutable')
  expect(conditionText(immutable(status.routing ?? ''), 'Stalled')).toMatch(/^False/)
})
