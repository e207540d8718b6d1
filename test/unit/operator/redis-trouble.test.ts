import { NotPrimary, NotReady, Refused, WrongPassword } from '../../../src/redis/errors.ts'
import type { Spec } from '../../../src/api/schema.ts'
import { redisTrouble } from '../../../src/operator/redis-trouble.ts'

const direct: Pick<Spec['redis'], 'address' | 'sentinel'> = { address: 'redis://redis:6379/20' }
const sentinel = { sentinel: { masterName: 'jobs', addresses: ['s1:26379'], db: 3 } }

test.each([
  ['a code that nobody knows', new Refused('ERR', 'ERR no'), direct, 'RedisRefused'],
  ['one with a reason of its own', new Refused('BUSY', 'BUSY a script runs'), direct, 'RedisBusy'],
  ['credentials', new WrongPassword('Redis refused the password'), direct, 'RedisAuthFailed'],
  [
    'the cause of what was not sent',
    new NotReady('x', { cause: new Refused('ERR', 'ERR no') }),
    direct,
    'RedisRefused',
  ],
])('what Redis refuses names the server, the db and the field of the spec: %s', (_, error, redis, reason) => {
  expect(redisTrouble(error, redis)).toMatchObject({ known: false, reason })
  expect(redisTrouble(error, redis).message).toMatch(
    /^redis:\/\/redis:6379\/20 \(spec\.redis\.address\): .*(no|runs|password)$/,
  )
})

test('behind Sentinels it names these', () => {
  expect(redisTrouble(new Refused('ERR', 'ERR no'), sentinel).message).toBe(
    'redis-sentinel://s1:26379/3#jobs (spec.redis.sentinel): ERR no',
  )
})

test('what has named the server already is left as it is', () => {
  expect(redisTrouble(new NotPrimary('redis://a:1/0', 'slave'), direct).message).toMatch(/^redis:\/\/a:1\/0 is a slave/)
})

test('a fault of the program is thrown again', () => {
  expect(() => redisTrouble(new TypeError('x is undefined'), direct)).toThrow(TypeError)
})
