import { describe, expect, jest, test } from '@jest/globals'
import { LIMITS, NEGATIVES, REDUNDANT } from './cases.ts'
import { ALL_RULES, without, type Rules } from './rules.ts'
import { exploreProtocol } from './support.ts'

jest.setTimeout(300_000)

const lastStep = (counterexample: string): string => counterexample.split('\n').at(-2) ?? ''

describe('each rule carries something: without it there is a counterexample', () => {
  test.each(Object.entries(NEGATIVES))('%s', (_, { off, scope, violates, ends }) => {
    const { counterexample } = exploreProtocol(scope, without(...off))
    expect(counterexample).toMatch(violates)
    expect(lastStep(counterexample)).toMatch(ends)
    // It is the rule that is missed, not the scope that is broken.
    expect(exploreProtocol(scope).counterexample).toBe('')
  })

  test('every rule is taken away alone', () => {
    const alone = Object.values(NEGATIVES).flatMap(({ off }) => (off.length === 1 ? off : []))
    expect([...new Set<keyof Rules>(alone)].sort()).toEqual((Object.keys(ALL_RULES) as (keyof Rules)[]).sort())
  })
})

describe('what I1-I5 do not lean on alone, in any state of the table', () => {
  test.each(Object.entries(REDUNDANT))('%s', (_, { off, scope }) => {
    expect(exploreProtocol(scope, without(...off)).counterexample).toBe('')
  })
})

describe('known limits are what the documentation says they are', () => {
  test.each(Object.entries(LIMITS))('%s', (_, { scope, violates, ends }) => {
    const { counterexample } = exploreProtocol(scope)
    expect(counterexample).toMatch(violates)
    expect(lastStep(counterexample)).toMatch(ends)
  })
})
