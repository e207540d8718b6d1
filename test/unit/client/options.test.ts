import { expect, test } from '@jest/globals'
import { createKeyshiftClient, InvalidArgument } from '../../../src/client/index.ts'

const GOOD = {
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  encoding: 'hash',
  redis: { address: 'redis://127.0.0.1:1/0' },
} as const

test.each<[string, object, RegExp]>([
  ['an encoding that is none', { encoding: 'text' }, /hash or json/],
  ['a template with a brace', { legacy: 'ai:job:{job_id' }, /write placeholders as \{job_id\}/],
  ['equal templates', { target: GOOD.legacy }, /nothing to migrate/],
  ['an address with a password', { redis: { address: 'redis://:secret@redis:6379/0' } }, /never holds credentials/],
  ['an address without a db', { redis: { address: 'redis://redis:6379' } }, /with the db written/],
  ['no address', { redis: {} }, /either redis.address or redis.sentinel/],
  [
    'a Sentinel that is a URL',
    { redis: { sentinel: { masterName: 'm', addresses: ['redis://s:1'], db: 0 } } },
    /and no URL/,
  ],
  ['a deadline that is none', { deadlineMs: 0 }, /deadlineMs must be/],
  ['a deadline past what a timer takes', { deadlineMs: 2 ** 31 }, /deadlineMs must be/],
  ['a poll that would not stop', { pollMs: Number.NaN }, /pollMs must be/],
  ['a time to remember that is none', { operationTtlMs: -1 }, /operationTtlMs must be/],
])('%s is an InvalidArgument before anything is connected, and holds no secret', (_, wrong, message) => {
  const before = process.getActiveResourcesInfo().length
  let thrown: unknown
  try {
    createKeyshiftClient({ ...GOOD, ...wrong })
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(InvalidArgument)
  expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT', retry: 'never' })
  expect((thrown as Error).message).toMatch(message)
  expect((thrown as Error).message).not.toContain('secret')
  expect(process.getActiveResourcesInfo()).toHaveLength(before)
})
