import { writeFileSync } from 'node:fs'
import type { CheckResult } from './check.ts'
import type { Ledger } from './ledger.ts'
import type { Traffic } from './traffic.ts'
import { Violations } from './violations.ts'

/** A fault that was made, and how long it took until the system was as before, in seconds. */
export interface FaultTime {
  readonly name: string
  readonly recoveredSeconds: number
}

export interface PhaseTime {
  readonly name: string
  readonly seconds: number
}

/** What `--summary FILE` writes. */
export interface Summary {
  readonly phases: readonly PhaseTime[]
  readonly jobs: {
    readonly seeded: number
    readonly created: number
    readonly updated: number
    readonly deleted: number
  }
  /** See `Traffic.requests`. */
  readonly requests: {
    readonly total: number
    readonly failed: number
    readonly retried: number
    readonly unknown: number
  }
  readonly lost: number
  readonly stale: number
  readonly resurrected: number
  readonly leaked: number
  readonly different: number
  readonly malformed: { readonly seeded: number; readonly reported: number; readonly kept: number }
  /** With `--break`, in the order they were made. */
  readonly faults: readonly FaultTime[]
  readonly ok: boolean
}

export interface SummaryInput {
  readonly phases: readonly PhaseTime[]
  readonly ledgers: readonly Ledger[]
  readonly traffic: readonly Traffic[]
  readonly checks: readonly CheckResult[]
  readonly malformed: { readonly seeded: number; readonly reported: number }
  readonly faults: readonly FaultTime[]
}

export interface Outcome {
  readonly summary: Summary
  readonly violations: Violations
}

/** Adds up what the live traffic and the check at the end found. */
export function summarize(input: SummaryInput): Outcome {
  const violations = new Violations()
  for (const part of [...input.traffic, ...input.checks]) violations.include(part.violations)
  const sum = <T>(items: readonly T[], of: (item: T) => number): number => items.reduce((n, item) => n + of(item), 0)
  const seeded = sum(input.ledgers, (l) => [...l.all()].filter((entry) => entry.seeded).length)
  const kept = sum(input.checks, (c) => c.malformedKept)
  const requests = {
    total: sum(input.traffic, (t) => t.requests.total),
    failed: sum(input.traffic, (t) => t.requests.failed),
    retried: sum(input.traffic, (t) => t.requests.retried),
    unknown: sum(input.traffic, (t) => t.requests.unknown),
  }
  const { lost, stale, resurrected, leaked, different } = violations.counts
  const malformed = { seeded: input.malformed.seeded, reported: input.malformed.reported, kept }
  const ok =
    violations.total === 0 &&
    requests.failed === 0 &&
    requests.total > 0 &&
    // Where nothing was broken, nothing is cut.
    (requests.unknown === 0 || input.faults.length > 0) &&
    sum(input.checks, (c) => c.compared) > 0 &&
    malformed.reported === malformed.seeded &&
    malformed.kept === malformed.seeded
  const summary: Summary = {
    phases: input.phases,
    jobs: {
      seeded: seeded + input.malformed.seeded,
      created: sum(input.ledgers, (l) => l.counts.created),
      updated: sum(input.ledgers, (l) => l.counts.updated),
      deleted: sum(input.ledgers, (l) => l.counts.deleted),
    },
    requests,
    lost,
    stale,
    resurrected,
    leaked,
    different,
    malformed,
    faults: input.faults,
    ok,
  }
  return { summary, violations }
}

export function writeSummary(file: string, summary: Summary): void {
  writeFileSync(file, `${JSON.stringify(summary, null, 2)}\n`)
}

/** The table that ends the demo. */
export function table({ summary, violations }: Outcome, traffic: readonly Traffic[]): string {
  const { jobs, requests, malformed } = summary
  const rows: readonly (readonly [string, string])[] = [
    ...summary.phases.map(({ name, seconds }) => [name, `${seconds.toFixed(1)} s`] as const),
    ['jobs', `${jobs.seeded} seeded, ${jobs.created} created, ${jobs.updated} updated, ${jobs.deleted} deleted`],
    [
      'requests',
      `${requests.total} answered, ${requests.failed} failed, ${requests.retried} retried, ${requests.unknown} of unknown outcome`,
    ],
    ...summary.faults.map(
      ({ name, recoveredSeconds }) => [name, `recovered in ${recoveredSeconds.toFixed(1)} s`] as const,
    ),
    ...(['lost', 'stale', 'resurrected', 'leaked', 'different'] as const).map(
      (harm) => [harm, String(summary[harm])] as const,
    ),
    ['malformed', `${malformed.seeded} seeded, ${malformed.reported} reported, ${malformed.kept} kept as they were`],
    ['verdict', summary.ok ? 'ok' : 'VIOLATED'],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const lines = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)
  for (const { harm, what, why } of violations.kept) lines.push(`  ${harm}: ${what} ${why}`)
  for (const failure of traffic.flatMap((t) => t.failures)) lines.push(`  failed: ${failure}`)
  return lines.join('\n')
}
