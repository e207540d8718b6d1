import { REASONS, type Reason } from '../../../src/api/reasons.ts'
import { StatusSchema } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { Decision } from '../../../src/decision/types.ts'
import type { redisOf } from './builders.ts'
import {
  condition,
  HOUR,
  measure,
  MINUTE,
  observe,
  PROOF,
  resourceOf,
  run,
  specOf,
  T0,
  worldOf,
  type Seen,
} from './builders.ts'
import {
  CASES,
  canary,
  done,
  dual,
  legacy,
  preflight,
  OPERATORS,
  redisAway,
  STATUSES,
  to,
  unknown,
} from './reason-cases.ts'

function reasonsOf(decision: Decision): string[] {
  return [...(decision.status.conditions ?? []), ...decision.events].map(({ reason }) => reason)
}

/** Each four words in a row. */
function runs(text: string): string[] {
  const words = text.toLowerCase().match(/[\w./-]+/g) ?? []
  return words.slice(3).map((_, i) => words.slice(i, i + 4).join(' '))
}

describe('every reason', () => {
  test.each(Object.keys(CASES) as (keyof typeof CASES)[])('%s is given where it applies', (reason) => {
    expect(reasonsOf(CASES[reason]())).toContain(reason)
  })

  test('is in the list, and says what it means and what to do', () => {
    const given = Object.values(CASES).flatMap((decision) => reasonsOf(decision()))
    expect(Object.keys(REASONS)).toEqual(expect.arrayContaining(given))
    expect(Object.keys(REASONS).sort()).toEqual(Object.keys(STATUSES).sort())
    for (const { meaning, action } of Object.values(REASONS)) expect([meaning, action]).not.toContain('')
  })

  test.each(Object.entries(REASONS))('%s: what to do is more than to read the message', (_, { action }) => {
    const beyond = action.replace(/^See the message[^:;.]*[:;.]/, '').trim()
    expect(beyond).toMatch(/^(Nothing|Wait)\b|(\w+\W+){2}\w+/)
  })

  test.each(Object.keys(OPERATORS) as (keyof typeof OPERATORS)[])('%s is given by the operator itself', (reason) => {
    const { conditions = [], epoch } = OPERATORS[reason]()
    const given = conditions.filter((one) => one.reason === reason).map(({ type, status }) => `${type} ${status}`)
    expect(given).toEqual(expect.arrayContaining(['Ready False']))
    expect(epoch).toBe(5)
  })

  test.each(Object.keys(STATUSES) as Reason[])(
    'the one line of status says what it waits for and what to do, with %s',
    (reason) => {
      const status = STATUSES[reason]()
      const ready = condition({ status }, 'Ready')
      const { action } = REASONS[ready.reason as Reason]
      const awaits = status.awaits ?? ''
      expect(awaits).toMatch(/^[^\n]{20,1536}$/)
      expect(awaits.startsWith(`${ready.reason}: ${ready.message}`)).toBe(true)
      expect(awaits.endsWith(` ${action}`)).toBe(true)
      // What to do is said once.
      expect(runs(ready.message).filter((words) => runs(action).includes(words))).toEqual([])
      // kubectl describe sorts by name.
      expect(Object.keys(StatusSchema.shape).sort()[0]).toBe('awaits')
    },
  )
})

describe('kstatus', () => {
  test.each<[keyof typeof CASES, string]>([
    ['Soaking', 'True False False'],
    ['TargetReached', 'True False False'],
    ['Paused', 'True False False'],
    ['Publishing', 'False True False'],
    ['RedisUnreachable', 'False True False'],
    ['InvalidSpec', 'False False True'],
    ['VerifyFailed', 'False False True'],
  ])('reads %s as Ready, Reconciling, Stalled = %s', (reason, expected) => {
    const decision = CASES[reason]()
    expect(['Ready', 'Reconciling', 'Stalled'].map((type) => condition(decision, type).status).join(' ')).toBe(expected)
  })

  test('the time of a condition changes with its status alone', () => {
    const first = run(canary(), worldOf(canary()))
    const again = run(first.status, worldOf(canary(), { latest: [measure('Fail')] }), { now: T0 + HOUR })
    const time = (decision: Decision, type: string): string => condition(decision, type).lastTransitionTime
    expect(time(again, 'SLOHealthy')).toBe(isoTime(T0 + HOUR))
    expect(time(again, 'Paused')).toBe(time(first, 'Paused'))
    expect(condition(run(first.status, worldOf(canary()), { generation: 4 }), 'Ready').observedGeneration).toBe(4)
  })

  test('a hold is told by one Event when it begins', () => {
    const first = redisAway('RedisUnreachable')
    expect(first.events).toEqual([{ type: 'Warning', reason: 'RedisUnreachable', message: 'no' }])
    const again = decide(
      resourceOf(specOf(), first.status),
      observe({ redis: { ...unknown, reason: 'RedisUnreachable' } }),
      T0,
    )
    expect(again.events).toEqual([])
  })

  test('what Redis alone can tell is unknown without it; nothing is undone', () => {
    const decision = redisAway('RedisUnreachable')
    expect(decision.actions).toEqual([])
    expect(decision.status).toMatchObject({ phase: 'DualWrite', epoch: 5, soakEndsAt: canary().soakEndsAt })
    expect(condition(decision, 'Converged').status).toBe('Unknown')
    expect(condition(decision, 'TargetReached').status).toBe('Unknown')
  })
})

describe('writers', () => {
  const go = (value: Parameters<typeof redisOf>[0], observers: string[] = []) =>
    run(
      dual(done),
      worldOf(dual(done), {}, value),
      to('ReadRouting', { redis: { address: 'redis://redis:6379/0', observers } }),
    )

  test('that are foreign are listed, whatever the phase', () => {
    const writers = { known: true, value: ['b', 'a'] } as const
    expect(go({ writers }).status.writers).toEqual(['a', 'b'])
    expect(run(canary(), worldOf(canary(), {}, { writers })).status.writers).toEqual(['a', 'b'])
    expect(condition(run(canary(), worldOf(canary(), {}, { writers })), 'Ready').reason).toBe('Soaking')
  })

  test('hold the step into ReadRouting alone', () => {
    expect(condition(go({ writers: { known: true, value: [] } }), 'Ready').reason).toBe('RaisingFence')
  })

  test('are vouched for by a star, also where they cannot be listed', () => {
    expect(condition(go({ writers: { ...unknown } }, ['*']), 'Ready').reason).toBe('RaisingFence')
  })
})

describe('D11: ids that the target schema cannot hold', () => {
  const ready = legacy({ preflight })
  const go = (illegalIds: Parameters<typeof redisOf>[0], over: Seen = {}) =>
    run(ready, worldOf(ready, over, illegalIds))
  const seen = { count: 3, ageMs: MINUTE, example: 'report:2026-01-01', member: 'm-a' }

  test('hold Legacy with an example and the workload that uses it', () => {
    const { status } = go({ illegalIds: seen })
    expect(status.awaits).toContain('"report:2026-01-01" from Deployment/api (a)')
    expect(status.awaits).toContain('3 times')
    expect(status.awaits).toContain('1h')
  })

  test('hold with a count that changes the status seldom', () => {
    const text = (count: number) => go({ illegalIds: { ...seen, count } }).status.awaits
    expect(text(1)).toContain('hold, 1 time, such')
    expect(text(10)).toContain('at least 10 times')
    expect(text(99)).toBe(text(10))
    expect(text(1000)).toContain('at least 1000 times')
  })

  test('hold with the pod or the member where no more is known', () => {
    expect(go({ illegalIds: seen }, { pods: { known: true, value: [] } }).status.awaits).toContain('from a;')
    expect(go({ illegalIds: { ...seen, member: 'gone' } }).status.awaits).toContain('from gone;')
    const bare = go({ illegalIds: { count: 1 } })
    expect(bare.status.awaits).toContain('such as ""')
  })

  test('hold no more when none was seen for idWindow and a preflight looked at the keys after the last one', () => {
    const past = { illegalIds: { ...seen, ageMs: HOUR } }
    const looks = go(past)
    expect(condition(looks, 'Ready').reason).toBe('PreflightRunning')
    const { inputs = '' } = looks.status.work?.['preflight'] ?? {}
    const looked = legacy({ preflight: { ...PROOF, inputs } })
    expect(condition(run(looked, worldOf(looked, {}, past)), 'Ready').reason).toBe('RaisingFence')
    const another = { illegalIds: { ...seen, count: 4, ageMs: HOUR } }
    expect(condition(run(looked, worldOf(looked, {}, another)), 'Ready').reason).toBe('PreflightRunning')
  })

  test('hold nothing in later phases, which refuse them', () => {
    expect(
      condition(run(dual(done), worldOf(dual(done), {}, { illegalIds: seen }), to('ReadRouting')), 'Ready').reason,
    ).toBe('RaisingFence')
  })
})
