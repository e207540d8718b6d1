import { DEFAULT_LIMITS, describe as line, REDACTED, redactText, toSafe } from '../../../src/platform/safe-json.ts'
import { Socket } from 'node:net'

const show = (value: unknown, secrets: string[] = []): string => JSON.stringify(toSafe(value, secrets)) ?? ''

class Throwing {
  get field(): never {
    throw new Error('boom')
  }
}
const cycle: Record<string, unknown> = { name: 'a' }
cycle['self'] = cycle
cycle['list'] = [cycle]
const hostile = new Proxy({}, { ownKeys: () => { throw new Error('no keys') } }) // prettier-ignore

describe('[O15] values that JSON cannot hold', () => {
  const cases: [string, unknown, string][] = [
    ['a cycle', cycle, '{"name":"a","self":"[cycle]","list":["[cycle]"]}'],
    ['a BigInt', { n: 2n ** 70n }, '{"n":"1180591620717411303424"}'],
    ['NaN and infinities', [Number.NaN, Infinity], '["NaN","Infinity"]'],
    ['a getter that throws', Object.defineProperty({}, 'x', { enumerable: true, get: () => { throw new Error('boom') } }), '{"x":"[threw boom]"}'], // prettier-ignore
    ['a getter of the class', new Throwing(), '{}'],
    ['a proxy that throws', { p: hostile }, '{"p":"[threw no keys]"}'],
    ['a toJSON that throws', { toJSON: () => { throw new Error('x') }, a: 1 }, '{"toJSON":"[function]","a":1}'], // prettier-ignore
    ['bytes', { b: Buffer.from('abc') }, '{"b":"[3 bytes]"}'],
    ['a map and a set', { m: new Map([['a', 1]]), s: new Set([1]) }, '{"m":{"a":1},"s":[1]}'],
    ['dates', [new Date(0), new Date(Number.NaN)], '["1970-01-01T00:00:00.000Z","Invalid Date"]'],
    ['a symbol', { s: Symbol('x') }, '{"s":"Symbol(x)"}'],
    ['one object twice, which is no cycle', ((o) => [o, o])({ a: 1 }), '[{"a":1},{"a":1}]'],
  ]
  test.each(cases)('%s', (_name, value, expected) => {
    expect(show(value)).toBe(expected)
  })

  test('an error with its cause, its code and what hangs on it', () => {
    const socket = new Socket()
    const error = Object.assign(new Error('cut', { cause: new Error('reset') }), { code: 'ECONNRESET', socket })
    const safe = toSafe({ error }) as { error: Record<string, unknown> }
    expect(safe.error).toMatchObject({ name: 'Error', message: 'cut', code: 'ECONNRESET', cause: { message: 'reset' } })
    expect(JSON.stringify(safe).length).toBeLessThan(40_000)
    socket.destroy()
  })

  test('values without end are cut and say so', () => {
    expect(show('x'.repeat(5_000_000))).toMatch(/^"x{4000}… \(5000000 characters\)"$/)
    expect(show(Array.from({ length: 1000 }, () => 1))).toContain('… (1000 entries)')
    expect(show(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i])))).toContain('(1000 fields)')
    let deep: unknown = 'end'
    for (let i = 0; i < 10_000; i += 1) deep = { deep }
    expect(show(deep)).toContain('[object]')
    const wide = (n: number): unknown => (n === 0 ? 1 : Array.from({ length: 50 }, () => wide(n - 1)))
    expect(show(wide(4)).length).toBeLessThan(DEFAULT_LIMITS.nodes * 60)
  })
})

describe('secrets', () => {
  test.each([
    [{ password: 'hunter2' }],
    [{ PASSWD: 'hunter2', redis_password: 'hunter2' }],
    [{ headers: { Authorization: 'Bearer hunter2', Cookie: 'hunter2' } }],
    [{ clientSecret: 'hunter2', accessToken: ['hunter2'] }],
    [{ command: { name: 'auth', args: ['user', 'hunter2'] } }],
    [{ command: { name: 'HELLO', args: ['3', 'AUTH', 'u', 'hunter2'] } }],
    [new Error('connect redis://u:hunter2@h:6379/0 failed')],
    ['curl -H "authorization: Bearer hunter2"'],
    ['redis://:hunter2@h'],
  ])('%j holds none', (value) => {
    const text = show(value)
    expect(text).not.toContain('hunter2')
    expect(text).toContain(REDACTED)
  })

  test('a registered one is taken out wherever it stands', () => {
    expect(show({ a: ['x s3cr3t y'], 's3cr3t': 1 }, ['s3cr3t'])).toBe(`{"a":["x ${REDACTED} y"],"${REDACTED}":1}`) // prettier-ignore
    expect(redactText('nothing', ['', 'x'])).toBe('nothing')
  })

  test('what is none stays', () => {
    expect(show({ command: { name: 'get', args: ['k'] }, tokenizer: undefined, passing: true })).toBe(
      '{"command":{"name":"get","args":["k"]},"passing":true}',
    )
  })
})

test.each([
  [new Error('x'), 'x'],
  [new TypeError(), 'TypeError'],
  ['text', 'text'],
  [{ a: 1 }, '{"a":1}'],
  [undefined, 'undefined'],
  [cycle, 'something that cannot be shown'],
])('one line for a thrown %p', (value, expected) => {
  expect(line(value)).toBe(expected)
})
