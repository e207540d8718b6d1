import { describe, expect, jest, test } from '@jest/globals'
import { LIVENESS, SCOPES } from './cases.ts'
import { exploreProtocol } from './support.ts'
import { LOST, NEVER, NOTHING, UNPUBLISHED, type State } from './state.ts'

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
    // To the end, and back from where jobs had target keys alone.
    expect(result.reached((s) => protocol.operator.phase(s) === 'Completed' && s.targets[0] !== NOTHING)).toBe(true)
    expect(
      result.reached((s) => protocol.operator.phase(s) === 'NoFallback' && s.back < LOST && s.back !== NEVER),
    ).toBe(true)
  })
})

describe.each(Object.entries(LIVENESS))('no state is a dead end: %s', (_, scope) => {
  const { counterexample, protocol, result } = exploreProtocol(scope, undefined, true)
  const { operator } = protocol
  const mayGoBack = (s: State): boolean => operator.phase(s) !== 'Completed'

  test('the walk ends in Completed, followed by every member, from every state', () => {
    expect(counterexample).toBe('')
    expect(result.trapFor((s) => operator.phase(s) === 'Completed' && s.converged)).toBeUndefined()
  })

  test('the walk ends in BackfillVerify done from every state that has a way back', () => {
    expect(result.trapFor((s) => operator.isDone(s), mayGoBack)).toBeUndefined()
  })

  test('the walk ends in Legacy, followed by every member, from every state that has a way back', () => {
    const isBack = (s: State): boolean =>
      s.came !== UNPUBLISHED && operator.phase(s) === 'Legacy' && s.converged && s.fence === 0
    expect(result.trapFor(isBack, mayGoBack)).toBeUndefined()
    // From Completed there is none.
    expect(operator.phase(result.trapFor(isBack)?.at(-1)?.state as State)).toBe('Completed')
  })

  test('a state that nothing leads out of is found', () => {
    expect(result.trapFor((s) => s.came === UNPUBLISHED)?.at(-1)?.label).toMatch(/publishes epoch 1/)
  })
})
