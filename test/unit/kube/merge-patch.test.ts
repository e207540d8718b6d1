import fc from 'fast-check'
import { mergePatchBetween, sameJson } from '../../../src/kube/merge-patch.ts'

describe('mergePatchBetween', () => {
  it.each<[string, object, object, object | undefined]>([
    ['nothing when both are equal', { a: 1, b: { c: [1] } }, { b: { c: [1] }, a: 1 }, undefined],
    ['nothing for a field set to undefined', { a: 1 }, { a: 1, b: undefined }, undefined],
    ['only the changed field', { a: 1, b: 2 }, { a: 1, b: 3 }, { b: 3 }],
    ['null for a field that goes', { a: 1, b: 2 }, { a: 1 }, { b: null }],
    ['a new field whole', {}, { a: { b: 1 } }, { a: { b: 1 } }],
    ['only the changed part of a nested map', { s: { a: 1, b: 2 } }, { s: { a: 1, b: 3 } }, { s: { b: 3 } }],
    ['a changed list whole', { l: [1, 2] }, { l: [1, 3] }, { l: [1, 3] }],
    ['a longer list', { l: [1] }, { l: [1, 2] }, { l: [1, 2] }],
    ['a shorter list', { l: [1, 2] }, { l: [1] }, { l: [1] }],
    ['an empty map for a new one', {}, { a: {} }, { a: {} }],
    ['a map in place of a list', { a: [1] }, { a: { b: 1 } }, { a: { b: 1 } }],
    ['a list in place of a map', { a: { b: 1 } }, { a: [1] }, { a: [1] }],
    [
      'zero, false and empty text as values',
      { a: 1, b: true, c: 'x' },
      { a: 0, b: false, c: '' },
      { a: 0, b: false, c: '' },
    ],
  ])('is %s', (_, from, to, expected) => {
    expect(mergePatchBetween(from, to)).toEqual(expected)
  })

  it('turns any object into any other when applied, and is nothing only for equal ones', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.array(fc.integer(), { maxLength: 2 }), tie('map')),
      map: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('any'), { maxKeys: 3, noNullPrototype: true }),
    })).map
    fc.assert(
      fc.property(value, value, (from, to) => {
        const patch = mergePatchBetween(from, to)
        expect(applyMergePatch(from, patch ?? {})).toEqual(to)
        expect(patch === undefined).toBe(sameJson(from, to))
      }),
    )
  })
})

/** RFC 7386, section 2, word for word. */
function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const isMap = typeof target === 'object' && target !== null && !Array.isArray(target)
  const result: Record<string, unknown> = isMap ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = applyMergePatch(result[key], value)
  }
  return result
}
