import { z } from 'zod'
import type { WorkKind, WorkResult } from '../../protocol/work.ts'

const count = z.int().min(0)
const findings = z.array(z.object({ key: z.string(), why: z.string() })).max(100)
const verdicts = z.array(z.object({ reason: z.string(), message: z.string() })).max(100)
const direction = z.enum(['TargetToLegacy', 'Both'])

const RESULTS = {
  preflight: z.object({
    kind: z.literal('preflight'),
    blockers: verdicts,
    warnings: verdicts,
    legacy: count,
    target: count,
    malformed: count,
    foreign: count,
    malformedKeys: findings,
    foreignKeys: findings,
  }),
  backfill: z.object({
    kind: z.literal('backfill'),
    passes: count,
    copied: count,
    present: count,
    malformed: count,
  }),
  verify: z.object({
    kind: z.literal('verify'),
    direction,
    compared: count,
    missing: count,
    different: count,
    orphan: count,
    malformed: count,
    foreign: count,
    findings,
    malformedKeys: findings,
  }),
  purge: z.object({ kind: z.literal('purge'), deleted: count }),
  repair: z.object({
    kind: z.literal('repair'),
    direction,
    copied: count,
    replaced: count,
    removed: count,
    left: count,
    findings,
    leftKeys: findings,
  }),
} satisfies { readonly [K in WorkKind]: z.ZodType<Extract<WorkResult, { kind: K }>> }

/** The result of a worker; undefined where the text is none of this kind: nothing is proven by it. */
export function parseWorkResult(kind: WorkKind, text: string | undefined): WorkResult | undefined {
  try {
    return RESULTS[kind].safeParse(JSON.parse(text ?? '')).data
  } catch {
    return undefined
  }
}
