import { describe, expect, jest, test } from '@jest/globals'
import { SCOPES } from './cases.ts'
import { exploreProtocol } from './support.ts'
import { NOTHING, UNPUBLISHED } from './state.ts'

jest.setTimeout(300_000)

describe('I1-I5 and A hold in every state that can be reached', () => {
  test.each(Object.entries(SCOPES))('%s', (_, scope) => {
    const { counterexample, protocol, result } = exploreProtocol(scope)
    expect(counterexample).toBe('')
    // The exploration went all the way: there and back, with jobs on either side of the backfill.
    expect(result.reached((s) => protocol.operator.isDone(s) && s.legacy !== NOTHING)).toBe(true)
    expect(
      result.reached(
        (s) => protocol.operator.phase(s) === 'BackfillVerify' && s.targets[0] === NOTHING && s.legacy !== NOTHING,
      ),
    ).toBe(true)
    expect(result.reached((s) => protocol.operator.phase(s) === 'Legacy' && s.targets[0] !== NOTHING)).toBe(true)
  })
})

describe('no state is a dead end', () => {
  const scope = { clients: 2, workspaces: 1, selected: false, slow: true, lapses: true } as const
  const { counterexample, protocol, result } = exploreProtocol(scope, undefined, true)

  test('the walk ends in BackfillVerify done from every state', () => {
    expect(counterexample).toBe('')
    expect(result.trapFor((s) => protocol.operator.isDone(s))).toBeUndefined()
  })

  test('the walk ends in Legacy, followed by every member, from every state', () => {
    const back = result.trapFor(
      (s) => s.came !== UNPUBLISHED && protocol.operator.phase(s) === 'Legacy' && s.converged && s.fence === 0,
    )
    expect(back).toBeUndefined()
  })

  test('a state that nothing leads out of is found', () => {
    expect(result.trapFor((s) => s.came === UNPUBLISHED)?.at(-1)?.label).toMatch(/publishes epoch 1/)
  })
})
