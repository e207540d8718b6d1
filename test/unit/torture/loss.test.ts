import { expect, test } from '@jest/globals'
import { isExplained } from '../../torture/history/loss.ts'
import { stateText, type Action, type Present, type State } from '../../torture/history/job.ts'
import type { Operation } from '../../torture/history/linearize.ts'
import { Histories } from '../../torture/histories.ts'

const held = (a: string, over: Partial<Present> = {}): Present => ({
  workspace: 'w',
  value: { workspace_id: 'w', a },
  expiresAt: null,
  ...over,
})
const create = (a: string): Action => ({ kind: 'create', workspace: 'w', value: held(a).value, expiresAt: null })
const update = (a: string): Action => ({ kind: 'update', workspace: 'w', set: { a } })
const remove: Action = { kind: 'delete', workspace: 'w' }
const operations = (actions: readonly Action[]): Operation[] =>
  actions.map((action, id) => ({ id, by: 'c', action, call: id, end: id + 0.5, answer: 'ok' }))

test.each<[string, State, readonly State[], readonly Action[], boolean]>([
  ['what was there before', held('1'), [held('1')], [update('2')], true],
  ['what was written since', held('2'), [held('1')], [update('2')], true],
  ['a job whose creation was lost', undefined, [undefined], [create('1')], true],
  ['a job whose deletion was lost', held('1'), [held('1')], [remove], true],
  ['a deleted job', undefined, [held('1')], [remove], true],
  ['a job created anew', held('2'), [held('1')], [remove, create('2')], true],
  ['a job that ended', undefined, [held('1', { expiresAt: 5 })], [], true],
  ['a job that was there and is gone without reason', undefined, [held('1')], [update('2')], false],
  ['a value that nobody wrote', held('3'), [held('1')], [update('2')], false],
  ['a job that nobody created', held('1'), [undefined], [update('1')], false],
  ['a job of another workspace', held('1', { workspace: 'x' }), [held('1')], [], false],
  ['an expiry that nobody asked for', held('1', { expiresAt: 9 }), [held('1')], [], false],
  ['a text that nobody wrote', held('', { value: 'c' }), [held('', { value: 'a' })], [], false],
])('after a failover: %s', (_name, seen, before, since, expected) => {
  expect(isExplained(seen, before, operations(since))).toBe(expected)
})

/** A write at 10 s that is not there at the rest at 20 s. */
function lost(
  torn: number | undefined,
  written = 10_000,
  then: Action = { kind: 'get', workspace: 'w' },
  answer?: string,
) {
  const histories = new Histories()
  histories.begin('h1', held('1'))
  histories.call('c', 1, 'h1', written, update('2'))
  histories.done('c', 1, written + 5, 'ok')
  histories.call('c', 2, 'h1', written + 10, then)
  histories.done('c', 2, written + 15, answer ?? stateText(held('2')))
  return histories.rest('h1', [20_000, 20_001], held('1'), stateText(held('1')), torn)?.text
}

test('a write may be lost where a failover began soon after it, and no other', () => {
  expect(lost(undefined)).toMatch(/no order of these operations/)
  expect(lost(10_500)).toBeUndefined()
  expect(lost(15_000)).toMatch(/more is lost than a failover may lose/)
})

test('until a failover begins a history is judged as ever', () => {
  expect(lost(10_500, 10_000, undefined, stateText(held('1')))).toMatch(/no order of these operations/)
  expect(lost(10_005, 10_000, undefined, stateText(held('1')))).toBeUndefined()
})
