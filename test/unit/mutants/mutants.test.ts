import { globSync } from 'node:fs'
import { mutate, readSource } from '../../mutants/copy.ts'
import { MUTANTS } from '../../mutants/list.ts'
import { readArguments, rotated } from '../../mutants/select.ts'

describe('the list of mutants', () => {
  it.each(MUTANTS)('fits the code of today: $name', (mutant) => {
    expect(mutate(readSource(mutant.file), mutant)).not.toBe(readSource(mutant.file))
    for (const pattern of mutant.tests)
      expect(globSync(`test/${mutant.suite}/**/*.test.ts`).some((file) => file.includes(pattern))).toBe(true)
  })

  it('has each name once, and enough of them', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
    expect(MUTANTS.length).toBeGreaterThanOrEqual(25)
  })

  it('refuses a text that is not there once, and says which mutant', () => {
    const mutant = { name: 'm', file: 'f', find: 'a', replace: 'b', suite: 'unit', tests: [] } as const
    expect(mutate('xax', mutant)).toBe('xbx')
    expect(() => mutate('xx', mutant)).toThrow('mutant "m": f has its text 0 times')
    expect(() => mutate('aa', mutant)).toThrow('2 times')
  })
})

describe('which mutants run', () => {
  it('comes round to each of them', () => {
    const all = [1, 2, 3, 4, 5, 6, 7]
    const seen = new Set(Array.from({ length: 7 }, (_, turn) => rotated(all, 3, turn)).flat())
    expect([...seen].sort()).toEqual(all)
    expect(rotated(all, 3, 2)).toEqual([7, 1, 2])
    expect(rotated([1, 2], 3, 1)).toEqual([2, 1])
  })

  it('takes words or a number', () => {
    expect(readArguments(['fence', 'lua'])).toEqual({ words: ['fence', 'lua'], rotate: undefined })
    expect(readArguments(['--rotate', '3'])).toEqual({ words: [], rotate: 3 })
    expect(() => readArguments(['--rotate', 'x'])).toThrow('--rotate x: give a whole number above 0')
  })
})
