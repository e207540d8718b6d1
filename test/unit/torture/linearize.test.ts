import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { explain, shorten } from '../../torture/history/explain.ts'
import { perform, stateText, type Action, type State } from '../../torture/history/job.ts'
import { linearize, type Operation } from '../../torture/history/linearize.ts'

const value = (a: string, more: Record<string, string> = {}) => ({ workspace_id: 'w', a, ...more })
const held = (a: string, expiresAt: number | null = null) => ({ workspace: 'w', value: value(a), expiresAt })
const shown = (a: string, expiresAt: number | null = null): string => stateText(held(a, expiresAt))

const get: Action = { kind: 'get', workspace: 'w' }
const create = (a: string, workspace = 'w', expiresAt: number | null = null): Action => ({
  kind: 'create',
  workspace,
  value: value(a),
  expiresAt,
})
const update = (a: string, expect?: string): Action => ({
  kind: 'update',
  workspace: 'w',
  set: { a },
  ...(expect === undefined ? {} : { expect: { a: expect } }),
})
const remove: Action = { kind: 'delete', workspace: 'w' }
const count: Action = { kind: 'mutate', workspace: 'w', commands: [['HINCRBY', 'n', 1]] }
const replace = (old: string, text: string): Action => ({ kind: 'replace', workspace: 'w', swap: { old, text } })

type Step = readonly [call: number, end: number, action: Action, answer: string | undefined]

function history(...steps: readonly Step[]): Operation[] {
  return steps
    .map(([call, end, action, answer], id) => ({ id, by: `c${id}`, action, call, end, answer }))
    .sort((a, b) => a.call - b.call)
}

const one: State = held('1')
const never = Infinity

describe('a history is good when', () => {
  test.each<[string, State, readonly Step[]]>([
    ['nothing happened', undefined, []],
    [
      'one follows the other',
      undefined,
      [
        [0, 1, create('1'), 'ok'],
        [2, 3, get, shown('1')],
        [4, 5, remove, 'ok'],
        [6, 7, get, 'absent'],
      ],
    ],
    [
      'a read during a write shows what was before',
      one,
      [
        [0, 9, update('2'), 'ok'],
        [1, 2, get, shown('1')],
      ],
    ],
    [
      'a read during a write shows what is after',
      one,
      [
        [0, 9, update('2'), 'ok'],
        [1, 2, get, shown('2')],
        [3, 4, get, shown('2')],
      ],
    ],
    [
      'one of two creates at once wins',
      undefined,
      [
        [0, 9, create('1'), 'ok'],
        [0, 9, create('2'), 'exists'],
        [10, 11, get, shown('1')],
      ],
    ],
    [
      'a create fails for a job that is deleted meanwhile',
      one,
      [
        [0, 9, create('2'), 'exists'],
        [1, 2, remove, 'ok'],
        [3, 4, get, 'absent'],
      ],
    ],
    [
      'an unknown write was not done',
      one,
      [
        [0, never, update('2'), undefined],
        [1, 2, get, shown('1')],
        [3, 4, get, shown('1')],
      ],
    ],
    [
      'an unknown write was done late',
      one,
      [
        [0, never, update('2'), undefined],
        [50, 51, get, shown('1')],
        [99, 100, get, shown('2')],
      ],
    ],
    [
      'an unknown write was done before its bound',
      one,
      [
        [0, 60, update('2'), undefined],
        [50, 51, get, shown('1')],
        [99, 100, get, shown('2')],
      ],
    ],
    [
      'an unknown delete and an unknown create were both done',
      one,
      [
        [0, never, remove, undefined],
        [1, never, create('3'), undefined],
        [5, 6, get, shown('3')],
      ],
    ],
    [
      'a compare-and-set fails where another one won',
      one,
      [
        [0, 9, update('2', '1'), 'ok'],
        [0, 9, update('3', '1'), 'conflict'],
        [10, 11, get, shown('2')],
      ],
    ],
    [
      'counting twice at once gives both numbers',
      held('1'),
      [
        [0, 9, count, '["2"]'],
        [0, 9, count, '["1"]'],
      ],
    ],
    [
      'another workspace sees nothing',
      one,
      [
        [0, 1, { ...get, workspace: 'x' }, 'absent'],
        [2, 3, create('9', 'x'), 'exists'],
        [4, 5, { kind: 'delete', workspace: 'x' }, 'absent'],
        [6, 7, get, shown('1')],
      ],
    ],
    [
      'a job ends at its expiry, give or take',
      held('1', 1000),
      [
        [700, 701, get, shown('1', 1000)],
        [980, 981, get, 'absent'],
        [990, 991, create('2'), 'ok'],
        [2000, 2001, get, shown('2')],
      ],
    ],
    [
      'an expiry taken away in time counts no more',
      held('1', 1000),
      [
        [500, 501, { kind: 'expire', workspace: 'w', expiresAt: null }, 'ok'],
        [5000, 5001, get, shown('1')],
      ],
    ],
    [
      'a text is swapped for what was read',
      { ...held(''), value: 'old' },
      [
        [0, 9, replace('old', 'new'), 'ok'],
        [0, 9, replace('old', 'other'), 'conflict'],
        [10, 11, { kind: 'look' }, stateText({ ...held(''), value: 'new' })],
      ],
    ],
  ])('%s', (_name, state, steps) => {
    expect(linearize([state], history(...steps)).ok).toBe(true)
  })
})

describe('a history is bad when', () => {
  test.each<[string, State, readonly Step[]]>([
    [
      'a read is stale',
      undefined,
      [
        [0, 1, create('1'), 'ok'],
        [2, 3, update('2'), 'ok'],
        [4, 5, get, shown('1')],
      ],
    ],
    [
      'an acknowledged job is not there',
      undefined,
      [
        [0, 1, create('1'), 'ok'],
        [2, 3, get, 'absent'],
      ],
    ],
    [
      'a deleted job is back',
      one,
      [
        [0, 1, remove, 'ok'],
        [2, 3, get, shown('1')],
      ],
    ],
    [
      'two creates win',
      undefined,
      [
        [0, 9, create('1'), 'ok'],
        [0, 9, create('2'), 'ok'],
      ],
    ],
    [
      'a read goes back behind another one',
      one,
      [
        [0, 9, update('2'), 'ok'],
        [1, 2, get, shown('2')],
        [3, 4, get, shown('1')],
      ],
    ],
    [
      'an unknown write shows, goes and shows again',
      one,
      [
        [0, never, update('2'), undefined],
        [1, 2, get, shown('2')],
        [3, 4, get, shown('1')],
        [5, 6, get, shown('2')],
      ],
    ],
    [
      'an unknown write is done after its bound',
      one,
      [
        [0, 40, update('2'), undefined],
        [50, 51, get, shown('1')],
        [99, 100, get, shown('2')],
      ],
    ],
    ['a value comes from nowhere', one, [[0, 1, get, shown('7')]]],
    [
      'two compare-and-sets win',
      one,
      [
        [0, 9, update('2', '1'), 'ok'],
        [0, 9, update('3', '1'), 'ok'],
      ],
    ],
    [
      'a count is lost',
      one,
      [
        [0, 9, count, '["1"]'],
        [0, 9, count, '["1"]'],
      ],
    ],
    ['a job is read by another workspace', one, [[0, 1, { ...get, workspace: 'x' }, shown('1')]]],
    ['a job is deleted by another workspace', one, [[0, 1, { kind: 'delete', workspace: 'x' }, 'ok']]],
    ['a job ends long before its expiry', held('1', 1000), [[100, 101, get, 'absent']]],
    ['a job lives long after its expiry', held('1', 1000), [[1500, 1501, get, shown('1', 1000)]]],
    ['an expiry is lost', held('1', 1000), [[100, 101, get, shown('1')]]],
    [
      'half of an update is there',
      one,
      [
        [0, 1, { kind: 'update', workspace: 'w', set: { a: '2', b: '2' } }, 'ok'],
        [2, 3, get, shown('2')],
      ],
    ],
    [
      'a text is swapped twice',
      { ...held(''), value: 'old' },
      [
        [0, 9, replace('old', 'new'), 'ok'],
        [0, 9, replace('old', 'other'), 'ok'],
      ],
    ],
  ])('%s', (_name, state, steps) => {
    const verdict = linearize([state], history(...steps))
    expect(verdict.ok).toBe(false)
  })
})

test('what a job may be after a segment is where the next one begins', () => {
  const verdict = linearize([one], history([0, never, update('2'), undefined], [1, 2, get, shown('1')]))
  const states = verdict.ok ? verdict.states : []
  expect(states.map(stateText).sort()).toEqual([shown('1'), shown('2')])
  expect(linearize(states, history([9, 10, get, shown('3')])).ok).toBe(false)
  const settled = linearize(states, history([9, 10, { kind: 'look' }, shown('2')]))
  expect(settled.ok && settled.states.map(stateText)).toEqual([shown('2')])
})

test('an expiry that has not come yet leaves the job as it is', () => {
  const verdict = linearize([held('1', 1000)], history([1, 2, get, shown('1', 1000)]))
  expect(verdict.ok && verdict.states.map(stateText)).toEqual([shown('1', 1000)])
})

test('of a long history the few operations are shown that cannot be', () => {
  const reads = Array.from({ length: 200 }, (_, i): Step => [10 + i, 11.5 + i, get, shown('2')])
  const writes = Array.from({ length: 20 }, (_, i): Step => [300 + 2 * i, 301 + 2 * i, update(`u${i}`), 'ok'])
  const all = history(
    [0, 1, create('1'), 'ok'],
    [2, 3, update('2'), 'ok'],
    ...reads,
    ...writes,
    [400, 405, update('x'), 'ok'],
    [401, 402, get, shown('2')],
    [403, 404, get, shown('x')],
  )
  const verdict = linearize([undefined], all)
  if (verdict.ok) throw new Error('a stale read was not noticed')
  const { operations, before } = shorten([undefined], all, verdict)
  expect(operations).toHaveLength(1)
  expect(before).toEqual(held('u19'))
  const text = explain('j1', [undefined], all, verdict)
  expect(text.split('\n')).toHaveLength(3)
  expect(text).toContain('cannot be')
})

test('a write that matters is shown with the read that contradicts it', () => {
  const all = history(
    [0, 5, update('2'), 'ok'],
    [1, 2, get, shown('2')],
    [1, 3, get, shown('1')],
    [3, 4, get, shown('1')],
  )
  const verdict = linearize([one], all)
  if (verdict.ok) throw new Error('not noticed')
  const { operations } = shorten([one], all, verdict)
  expect(operations.map(({ id }) => id)).toEqual([0, 1, 3])
})

/** Concurrent callers on one correct job: answers come from one moment within each call. */
const callers = fc.array(
  fc.record({
    pick: fc.integer({ min: 0, max: 6 }),
    call: fc.integer({ min: 0, max: 60 }),
    before: fc.integer({ min: 0, max: 9 }),
    after: fc.integer({ min: 0, max: 9 }),
    lost: fc.boolean(),
  }),
  { maxLength: 14 },
)

test('every history of a job that keeps its contract is good, and one with an answer of another moment is not', () => {
  fc.assert(
    fc.property(callers, (steps) => {
      const actions: Action[] = [create('1'), get, update('2'), update('3', '2'), remove, count, create('4', 'x')]
      let state: State
      const operations: Operation[] = [...steps]
        .sort((a, b) => a.call - b.call)
        .map(({ pick, call, before, after, lost }, id) => {
          const { answer, next } = perform(state, actions[pick] as Action)
          state = next
          return {
            id,
            by: 'c',
            action: actions[pick] as Action,
            call: call - before,
            end: lost ? 80 : call + after,
            answer: lost ? undefined : answer,
          }
        })
        .sort((a, b) => a.call - b.call)
      const look: Operation = {
        id: 99,
        by: 'look',
        action: { kind: 'look' },
        call: 90,
        end: 91,
        answer: stateText(state),
      }
      const verdict = linearize([undefined], [...operations, look])
      expect(verdict.ok && verdict.states.map(stateText)).toEqual([stateText(state)])
      expect(linearize([undefined], [...operations, { ...look, answer: shown('nobody') }]).ok).toBe(false)
    }),
    { numRuns: 300 },
  )
})
