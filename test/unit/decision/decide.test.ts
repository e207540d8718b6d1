import { SpecSchema, type SpecInput } from '../../../src/api/schema.ts'
import { StatusSchema, type Status } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { checksOf } from '../../../src/decision/presets.ts'
import { fitStatus, MAX_STATUS_BYTES } from '../../../src/decision/size.ts'
import { count, cut, some } from '../../../src/decision/text.ts'
import { isoTime, timeMs } from '../../../src/decision/time.ts'
import {
  conditionText,
  HOUR,
  measure,
  MINUTE,
  observe,
  proven,
  resourceOf,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  worldOf,
} from './builders.ts'

describe('a spec that the CRD accepts and nobody can obey', () => {
  const keys = (legacy: string, target: string): SpecInput['keys'] => ({ legacy, target })

  test.each<[string, Partial<SpecInput>, RegExp]>([
    ['equal templates', { keys: keys('a:{job_id}', 'a:{job_id}') }, /equal/],
    ['ambiguous templates', { keys: keys('a:{job_id}', '{x}:{job_id}') }, /fixed text/],
    ['no delimiter between the placeholders', { keys: keys('a:{job_id}', 'a:{w}{job_id}') }, /delimiter/],
    ['a third placeholder', { keys: keys('a:{job_id}', 'a:{w}:{v}:{job_id}') }, /one other placeholder/],
    [
      'queues that make the document too long',
      {
        keys: {
          ...keys('a:{job_id}', 'a:{w}:{job_id}'),
          queues: Array.from({ length: 20 }, (_, i) => ({ key: `${'\u0001'.repeat(250)}${i}` })),
        },
      },
      /too long/,
    ],
  ])('%s: Stalled/InvalidSpec says what to do', (_, over, message) => {
    for (const status of [undefined, statusAt('Legacy')]) {
      const decision = run(status, observe(), { spec: specOf(over) })
      expect(conditionText(decision, 'Stalled')).toBe('True InvalidSpec')
      expect(decision.status.awaits).toMatch(message)
      expect(decision.actions).toEqual([])
    }
  })

  test('any other fault is not hidden', () => {
    const broken = { ...specOf(), keys: undefined } as never
    expect(() => decide(resourceOf(broken), observe(), T0)).toThrow(TypeError)
  })
})

describe('checks of a spec', () => {
  test('are its own, else the presets by the name of the resource, none when disabled', () => {
    expect(checksOf(specOf(), 'ai-jobs').map(({ name }) => name)).toEqual(['errors'])
    const presets = checksOf(specOf({ slo: { prometheus: { address: 'http://p' } } }), 'my-jobs')
    expect(presets.map(({ name, max }) => [name, max])).toEqual([
      ['error-rate', 0.01],
      ['isolation', 0.01],
      ['stale-epoch', 0.01],
    ])
    expect(presets[2]?.query).toContain('keyshift_client_stale_epoch_total{migration="my-jobs"}')
    expect(checksOf(specOf({ slo: { disabled: true } }), 'ai-jobs')).toEqual([])
  })

  test('the presets are checks as one would write them', () => {
    const presets = checksOf(specOf({ slo: { prometheus: { address: 'http://p' } } }), 'x'.repeat(40))
    const spec = SpecSchema.safeParse({ ...specOf(), slo: { prometheus: { address: 'http://p' }, checks: presets } })
    expect(spec.error).toBeUndefined()
  })
})

describe('values of checks in status', () => {
  const canary = statusAt('DualWrite', {
    percent: 10,
    over: {
      checks: [{ name: 'errors', outcome: 'Pass', value: '0', failures: 0, query: 'errors' }],
      soakEndsAt: isoTime(T0 + 48 * HOUR),
    },
  })
  const go = (minutes: number, value: number) => {
    const end = T0 + SECOND + minutes * MINUTE
    const windows = Array.from({ length: minutes }, (_, i) => ({
      start: T0 + SECOND + i * MINUTE,
      end: T0 + SECOND + (i + 1) * MINUTE,
      measurements: [measure('Pass', { value })],
    }))
    return run(canary, worldOf(canary, { windows, latest: [measure('Pass', { value })] }), { now: end }).status
  }

  test('stay as they are between two hours', () => {
    expect(go(59, 1)).toMatchObject({ checks: [{ value: '0' }], soakCountedThrough: canary.soakCountedThrough })
  })

  test('are written hourly, with how far the soak is counted', () => {
    expect(go(60, 1)).toMatchObject({ checks: [{ value: '1' }], soakCountedThrough: isoTime(T0 + SECOND + HOUR) })
  })
})

describe('the next look', () => {
  test('is at the end of the soak where that is near', () => {
    const canary = statusAt('DualWrite', {
      percent: 10,
      over: { soakEndsAt: isoTime(T0 + 70 * SECOND), soakLengthMs: 48 * HOUR },
    })
    expect(run(canary, worldOf(canary)).requeueAfterMs).toBe(10 * SECOND)
    expect(run(canary, worldOf(canary), { now: T0 + 2 * SECOND }).requeueAfterMs).toBe(30 * SECOND)
  })

  test('is soon while a worker is at work', () => {
    const dual = statusAt('DualWrite', { over: { evidence: proven() } })
    expect(run(dual, worldOf(dual)).requeueAfterMs).toBe(2 * SECOND)
  })
})

describe('a status that would be too big', () => {
  const long = 'é'.repeat(500)
  const big: Status = {
    ...statusAt('DualWrite'),
    checks: Array.from({ length: 50 }, (_, i) => ({
      name: `check-${i}`,
      outcome: 'Fail' as const,
      failures: 1,
      message: long,
      query: long,
      worst: Array.from({ length: 5 }, () => ({ labels: long.slice(0, 250), value: '1' })),
    })),
    malformed: { count: 999, keys: Array.from({ length: 20 }, () => long.slice(0, 320)) },
  }

  test('gives up queries first, then what else it can do without, and keeps every count and verdict', () => {
    const fit = fitStatus(big)
    expect(Buffer.byteLength(JSON.stringify(fit))).toBeLessThanOrEqual(MAX_STATUS_BYTES)
    expect(fit.checks).toHaveLength(50)
    expect(fit.checks?.[49]).toMatchObject({ name: 'check-49', outcome: 'Fail', failures: 1 })
    expect(fit.checks?.[0]?.query).toBeUndefined()
    expect(fit.malformed?.count).toBe(999)
    expect(fit.routing).toBe(big.routing)
  })

  test('at its worst is below 64 KiB in the end', () => {
    const full = (n: number, max: number): string[] => Array.from({ length: n }, () => 'é'.repeat(max))
    const worst: Status = {
      ...big,
      checks: big.checks?.map((check, i) => ({ ...check, name: `${'c'.repeat(250)}${i}` })),
      jobs: Array.from({ length: 10 }, () => ({
        name: 'j'.repeat(63),
        kind: 'verify' as const,
        state: 'x'.repeat(32),
        done: 1,
        total: 1,
        rate: 1,
        awaits: long + long,
      })),
      writers: full(20, 256),
      history: Array.from({ length: 20 }, () => ({
        time: isoTime(T0),
        from: 'f'.repeat(64),
        to: 't'.repeat(64),
        epoch: 1,
        reason: 'r'.repeat(256),
      })),
      routing: 'r'.repeat(8192),
      awaits: long + long,
    }
    expect(Buffer.byteLength(JSON.stringify(fitStatus(worst)))).toBeLessThan(64 * 1024)
    expect(StatusSchema.safeParse(fitStatus(worst)).success).toBe(true)
  })

  test('is the same when it is cut again', () => {
    expect(fitStatus(fitStatus(big))).toEqual(fitStatus(big))
  })
})

describe('texts', () => {
  test.each<[string, number, string]>([
    ['short', 10, 'short'],
    ['much too long', 5, 'much…'],
    ['abc\u{1F600}def', 5, 'abc…'],
    ['lone \uD800', 20, 'lone \uFFFD'],
  ])('%j cut to %d is %j', (text, max, expected) => {
    expect(cut(text, max)).toBe(expected)
    expect(cut(text, max).isWellFormed()).toBe(true)
  })

  test('count and name', () => {
    expect([count(1, 'pod'), count(2, 'pod')]).toEqual(['1 pod', '2 pods'])
    expect([some(['a', 'b']), some(['a', 'b', 'c', 'd', 'e'])]).toEqual(['a, b', 'a, b, c and 2 more'])
  })

  test('times go there and back, and no further than a Date holds', () => {
    expect(timeMs(isoTime(T0))).toBe(T0)
    expect([timeMs(undefined), timeMs('soon')]).toEqual([undefined, undefined])
    expect(isoTime(1e300)).toBe('+275760-09-13T00:00:00.000Z')
  })
})
