import { ConnectionMemory } from '../../../../src/operator/gather/connection-memory.ts'
import { parseClientList, type RedisClientLine } from '../../../../src/operator/gather/redis-clients.ts'

const MINUTE = 60_000
const client = (id: number, fields: Record<string, string> = {}): RedisClientLine => {
  const all = {
    id: String(id),
    addr: `10.0.0.7:${id}`,
    age: '0',
    flags: 'N',
    user: 'default',
    db: '0',
    cmd: 'set',
    ...fields,
  }
  const text = Object.entries(all).map(([name, value]) => `${name}=${value}`)
  return parseClientList(text.join(' '))[0] as RedisClientLine
}
const ids = (lines: readonly RedisClientLine[]) => lines.map(({ id }) => id)

describe('a memory of connections (O13)', () => {
  test('asks for the ids that come next, and again for those that have not introduced themselves', () => {
    const memory = new ConnectionMemory()
    memory.note([client(4), client(900)], 0, true)
    expect(memory.ids().slice(0, 2)).toEqual(['901', '902'])
    memory.note([client(902, { cmd: 'NULL' }), client(903)], 1)
    expect(memory.ids().slice(0, 2)).toEqual(['902', '904'])
    memory.note([client(902)], 2)
    expect(memory.ids()[0]).toBe('904')
  })

  test('begins anew with a whole list: another Redis process numbers from 1', () => {
    const memory = new ConnectionMemory()
    memory.note([client(900)], 0, true)
    memory.note([client(3)], 1, true)
    expect(memory.ids()[0]).toBe('4')
  })

  test('keeps those seen for a moment for ten minutes, and not those of a whole list', () => {
    const memory = new ConnectionMemory()
    memory.note([client(1)], 0, true)
    memory.note([client(2)], 0)
    expect(ids(memory.recent(10 * MINUTE))).toEqual([2])
    expect(memory.recent(10 * MINUTE + 1)).toEqual([])
  })

  test('keeps one of a kind, and that one wrote though others only read', () => {
    const memory = new ConnectionMemory()
    memory.note([client(1)], 0)
    memory.note([client(2, { cmd: 'get' })], 1)
    memory.note([client(3, { cmd: 'hset' })], 2)
    expect(ids(memory.recent(3))).toEqual([2, 3])
  })

  test('tells of a new kind once, and again when it was forgotten', () => {
    const memory = new ConnectionMemory()
    expect(memory.note([client(1)], 0, true)).toBe(false)
    expect(memory.note([client(2)], 0)).toBe(true)
    expect(memory.note([client(3)], 9 * MINUTE)).toBe(false)
    expect(memory.note([client(4)], 20 * MINUTE)).toBe(true)
  })

  test('keeps none of Keyshift: the member that a client was of may be gone', () => {
    const memory = new ConnectionMemory()
    for (const name of ['keyshift-operator', 'keyshift-client:api-1', 'keyshift-worker:jobs-verify-1'])
      expect(memory.note([client(2, { name, cmd: 'evalsha' })], 0)).toBe(false)
    expect(memory.recent(0)).toEqual([])
  })

  test('is bounded', () => {
    const memory = new ConnectionMemory()
    for (let id = 1; id <= 1000; id += 1) memory.note([client(id, { name: `tool-${id}` })], id)
    const kept = ids(memory.recent(1000))
    expect(kept.length).toBe(256)
    expect(kept.at(-1)).toBe(1000)
    memory.note(
      Array.from({ length: 500 }, (_, i) => client(2000 + i, { cmd: 'NULL' })),
      1001,
    )
    expect(memory.ids().length).toBe(128)
  })
})
