import fc from 'fast-check'
import { controlKeys, type ControlKeys } from '../../../src/protocol/control-keys.ts'

const keys = controlKeys('keyshift:0123456789abcdef:')
const KINDS = Object.keys(keys) as (keyof ControlKeys)[]
/** Names of queues, operations, Jobs and members, also such as spell another kind of key. */
const name = fc.oneof(
  fc.constantFrom('', ':', 'op:', 'lease:a', 'fence', 'kept:1:ai:job:j1'),
  fc
    .array(fc.constantFrom(':', '{', '}', '*', '?', '[', ']', '\\', '\0', 'op', 'lease', 'a', '1'), { maxLength: 5 })
    .map((parts) => parts.join('')),
)

test('K12: no two control keys are one, whatever queues, operations, Jobs and members are called', () => {
  fc.assert(
    fc.property(name, name, (a, b) => {
      const owners = new Map<string, string>()
      for (const kind of KINDS)
        for (const one of [a, b]) {
          const key = keys[kind]
          const [text, owner] = typeof key === 'string' ? [key, kind] : [key(one), JSON.stringify([kind, one])]
          expect(owners.get(text) ?? owner).toBe(owner)
          owners.set(text, owner)
        }
    }),
    { numRuns: 1000 },
  )
})
