import { describe, expect, test } from '@jest/globals'
import { formatRedisAddress, parseRedisAddress, parseSentinel, type RedisAddress } from '../../../src/redis/address.ts'

describe('a Redis address', () => {
  test.each<[string, RedisAddress]>([
    ['redis://redis:6379/0', { host: 'redis', port: 6379, db: 0 }],
    ['redis://redis.prod.svc/3', { host: 'redis.prod.svc', port: 6379, db: 3 }],
    ['redis://[::1]:7000/12', { host: '::1', port: 7000, db: 12 }],
    ['rediss://redis:6380/0', { host: 'redis', port: 6380, db: 0, tls: true }],
  ])('%s is read', (text, address) => {
    expect(parseRedisAddress(text)).toEqual(address)
    expect(parseRedisAddress(formatRedisAddress(address))).toEqual(address)
  })

  test.each([
    'redis://redis:6379',
    'redis://redis:6379/',
    'redis://redis:99999/0',
    'redis:6379/0',
    'redis://redis:6379/0?x=1',
    '',
  ])('"%s" is refused, and the message says what to write', (text) =>
    expect(() => parseRedisAddress(text)).toThrow(/redis:\/\/host:port\/db/),
  )

  test.each(['redis://s:1', 's:1/0', 's:0', 's:99999', '', 'a@b', 'a b'])(
    '"%s" is no Sentinel, and the message says what to write',
    (text) => expect(() => parseSentinel(text)).toThrow(/host:port, for example redis-sentinel:26379/),
  )

  test('credentials are refused and not repeated', () => {
    const read = (): unknown => parseRedisAddress('redis://user:hunter2@redis:6379/0')
    expect(read).toThrow(/never holds credentials/)
    expect(read).not.toThrow(/hunter2/)
  })
})
