import { describe, expect, test } from '@jest/globals'
import { fromReply, KeyshiftError, Refused, UnknownOutcome } from '../../../src/redis/errors.ts'

describe('an error reply', () => {
  test.each([
    ['OOM command not allowed when used memory > maxmemory', true, 'OOM'],
    ['NOREPLICAS Not enough good replicas to write.', true, 'NOREPLICAS'],
    ["READONLY You can't write against a read only replica.", true, 'READONLY'],
    ['WRONGTYPE Operation against a key', false, 'WRONGTYPE'],
    ['ERR unknown command', false, 'ERR'],
    ["ERR The user executing the script can't run this command or subcommand", true, 'NOPERM'],
  ])('"%s" (in a script: %s) is Refused with %s', (message, inScript, code) => {
    expect(fromReply(new Error(message), inScript)).toMatchObject({ name: 'Refused', redisCode: code })
  })

  test.each([
    ['OOM', 'safe'],
    ['MISCONF', 'safe'],
    ['LOADING', 'safe'],
    ['MAXCLIENTS', 'safe'],
    ['NOPERM', 'never'],
    ['ERR', 'never'],
    ['WRONGTYPE', 'never'],
  ])('a refusal with %s may be tried again: %s', (code, retry) => {
    expect(new Refused(code, '').retry).toBe(retry)
  })

  test('a script that fails in the middle has an unknown outcome', () => {
    expect(fromReply(new Error('ERR user_script:12: attempt to index nil'), true)).toBeInstanceOf(UnknownOutcome)
  })

  test('arguments that ioredis hangs on its errors do not come along', () => {
    const error = Object.assign(new Error('ERR no'), { command: { name: 'auth', args: ['hunter2'] } })
    const made = fromReply(error, false)
    expect(made).toBeInstanceOf(Refused)
    expect(made).toBeInstanceOf(KeyshiftError)
    expect(JSON.stringify(made, Object.getOwnPropertyNames(made))).not.toContain('hunter2')
    expect(made.cause).toBeUndefined()
  })
})
