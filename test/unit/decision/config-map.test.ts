import type { Status } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { ConfigMapObservation } from '../../../src/decision/types.ts'
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

  test('twice is a fight: ConfigMapContested names the manager', () => {
    const { status } = reverted(canary())
    const decision = reverted(status, now + 10 * SECOND)
    expect(decision.status.reverts?.count).toBe(2)
    expect(conditionText(decision, 'Stalled')).toBe('True ConfigMapContested')
    expect(decision.status.awaits).toContain('helm')
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

describe('a way back of two steps, past a ConfigMap that does not take the document', () => {
  const spec = specOf({ targetPhase: 'Legacy' })
  const reads = statusAt('ReadRouting', { percent: 50, over: { fence: 5 } })
  /** The first step back is in force; the ConfigMap has what `seen` says. */
  const backed = (seen: Partial<ConfigMapObservation>, over: Partial<Status> = {}, at = now) => {
    const status: Status = { ...run(reads, worldOf(reads), { now, spec }).status, fence: 6, ...over }
    const value = { exists: true, immutable: false, document: '{}', ...seen }
    return run(status, worldOf(status, { configMap: { known: true, value } }), { now: at, spec })
  }
  const fight = { reverts: { count: 9, at: isoTime(now), manager: 'flux' } }
  const inPlace = { document: run(reads, worldOf(reads), { now, spec }).status.routing ?? '' }

  test.each([
    ['an immutable one', backed({ immutable: true }), /^ConfigMapImmutable: .*epoch 6.*Delete it/],
    [
      'one that flux fights over',
      backed({ foreignManager: 'flux' }, fight, now + SECOND),
      /^ConfigMapContested: flux .*epoch 6.*Leave the keys/,
    ],
  ])('%s: what stands in the way and what to do is said, as Stalled', (_, decision, said) => {
    expect(decision.status.epoch).toBe(6)
    expect(decision.status.awaits).toMatch(said)
    expect(conditionText(decision, 'Stalled')).toMatch(/^True ConfigMap/)
  })

  test('one that flux fights over is tried again within half a minute, also in the last state of the way back', () => {
    for (const over of [
      fight,
      { ...fight, ...statusAt('Legacy', { from: ['DualWrite', 100] }), convergedAt: undefined },
    ]) {
      const tried = (after: number) => actionTypes(backed({ foreignManager: 'flux' }, over, now + after))
      expect(tried(29 * SECOND)).not.toContain('ApplyConfigMap')
      expect(tried(30 * SECOND)).toContain('ApplyConfigMap')
    }
  })

  test('it goes on as soon as the document is there, whoever fought before', () => {
    expect(backed(inPlace, fight, now + MINUTE).status).toMatchObject({ epoch: 7, phase: 'Legacy' })
    expect(backed({ ...inPlace, immutable: true }, {}, now + MINUTE).status).toMatchObject({ epoch: 7 })
  })

  test('one made anew after the immutable one was deleted is written at once', () => {
    expect(actionTypes(backed({ exists: false }))).toContain('ApplyConfigMap')
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
