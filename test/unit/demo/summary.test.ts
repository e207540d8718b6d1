import type { CheckResult } from '../../../demo/check.ts'
import { Ledger } from '../../../demo/ledger.ts'
import { summarize, table, type SummaryInput } from '../../../demo/summary.ts'
import type { Traffic } from '../../../demo/traffic.ts'
import { HARMS, Violations } from '../../../demo/violations.ts'

interface Spoilt {
  readonly failed?: number
  readonly unknown?: number
  readonly faults?: SummaryInput['faults']
  readonly total?: number
  readonly compared?: number
  readonly reported?: number
  readonly kept?: number
  readonly live?: Violations
  readonly final?: Violations
}

/** A run of one store in which all is well, but for what is spoilt. */
function input(spoilt: Spoilt = {}): SummaryInput {
  const ledger = new Ledger('jobs')
  ledger.add({ id: 'a', workspace: 'w-01', seeded: true, queued: false, expiresAt: undefined })
  ledger.add({ id: 'b', workspace: 'w-01', seeded: false, queued: true, expiresAt: undefined })
  Object.assign(ledger.counts, { created: 1, updated: 5, deleted: 2 })
  const requests = { total: spoilt.total ?? 9, failed: spoilt.failed ?? 0, retried: 0, unknown: spoilt.unknown ?? 0 }
  const check: CheckResult = {
    violations: spoilt.final ?? new Violations(),
    compared: spoilt.compared ?? 2,
    keys: 4,
    malformedKept: spoilt.kept ?? 50,
  }
  return {
    phases: [{ name: 'DualWrite 10 %', seconds: 4.2 }],
    ledgers: [ledger],
    traffic: [{ requests, violations: spoilt.live ?? new Violations(), failures: [] } as unknown as Traffic],
    checks: [check],
    malformed: { seeded: 50, reported: spoilt.reported ?? 50 },
    faults: spoilt.faults ?? [],
  }
}

const one = (harm: (typeof HARMS)[number]): Violations => {
  const violations = new Violations()
  violations.add(harm, 'w-01/a', 'is not as it should be')
  return violations
}

it('has exactly the shape that --summary promises', () => {
  expect(summarize(input()).summary).toEqual({
    phases: [{ name: 'DualWrite 10 %', seconds: 4.2 }],
    jobs: { seeded: 51, created: 1, updated: 5, deleted: 2 },
    requests: { total: 9, failed: 0, retried: 0, unknown: 0 },
    lost: 0,
    stale: 0,
    resurrected: 0,
    leaked: 0,
    different: 0,
    malformed: { seeded: 50, reported: 50, kept: 50 },
    faults: [],
    ok: true,
  })
})

it.each([
  ...HARMS.map((harm) => ({ when: `the live traffic saw a job ${harm}`, spoilt: { live: one(harm) } })),
  ...HARMS.map((harm) => ({ when: `the check at the end found a job ${harm}`, spoilt: { final: one(harm) } })),
  { when: 'a request failed', spoilt: { failed: 1 } },
  { when: 'no request was answered', spoilt: { total: 0 } },
  { when: 'a write was cut although nothing was broken', spoilt: { unknown: 1 } },
  { when: 'no job was compared', spoilt: { compared: 0 } },
  { when: 'a malformed job was not reported', spoilt: { reported: 49 } },
  { when: 'a malformed job was touched', spoilt: { kept: 49 } },
])('is not ok when $when', ({ spoilt }) => {
  expect(summarize(input(spoilt)).summary.ok).toBe(false)
})

it('accepts writes of unknown outcome where faults were made, and names each fault with its time', () => {
  const faults = [{ name: 'kill -9 Redis', recoveredSeconds: 4.2 }]
  const given = input({ unknown: 3, faults })
  expect(summarize(given).summary).toMatchObject({ faults, requests: { unknown: 3 }, ok: true })
  expect(table(summarize(given), given.traffic)).toMatch(/kill -9 Redis +recovered in 4\.2 s/)
})

it('names each violation in the table', () => {
  const given = input({ live: one('stale') })
  const text = table(summarize(given), given.traffic)
  expect(text).toContain('stale: w-01/a is not as it should be')
  expect(text).toContain('VIOLATED')
})
