import type { z } from 'zod'
import { StatusSchema, type Status } from './status.ts'
import { canonicalJson } from '../protocol/document.ts'

/**
 * What the record in Redis keeps of a status besides the routing document: whatever a status that was lost or set back must
 * not forget. The rest is seen anew: pods, checks, Jobs, and the fence, which is confirmed anew.
 */
const KEPT = {
  isAbort: true,
  previous: true,
  publishedAt: true,
  firstPublishedAt: true,
  convergedAt: true,
  phaseStartedAt: true,
  soakEndsAt: true,
  soakRemainingMs: true,
  soakLengthMs: true,
  soakCountedThrough: true,
  failed: true,
  evidence: true,
  preflight: true,
  malformed: true,
  work: true,
  newcomers: true,
  templates: true,
  lastCap: true,
  purged: true,
  repaired: true,
  orders: true,
  history: true,
} as const satisfies Partial<Record<keyof Status, true>>

const KeptSchema = StatusSchema.pick(KEPT)
export type Kept = z.output<typeof KeptSchema>

export function keptOf(status: Status): Kept {
  return Object.fromEntries(Object.entries(status).filter(([field, value]) => field in KEPT && value !== undefined))
}

/** The status with everything that is kept taken from `kept`, also where there it is not. */
export function withKept(status: Status, kept: Kept): Status {
  return { ...Object.fromEntries(Object.entries(status).filter(([field]) => !(field in KEPT))), ...kept }
}

/** Undefined where the text is none of this version. */
export function parseKept(text: string): Kept | undefined {
  const read = readKept(text)
  return read?.later === false ? read.kept : undefined
}

/** Whether there is more in the text than this version knows of: it would be lost with the next write. */
export function isOfLaterVersion(text: string): boolean {
  return readKept(text)?.later === true
}

function readKept(text: string): { readonly kept: Kept; readonly later: boolean } | undefined {
  try {
    const raw: unknown = JSON.parse(text)
    const kept = KeptSchema.safeParse(raw).data
    return kept && { kept, later: canonicalJson(kept) !== canonicalJson(raw) }
  } catch {
    return undefined
  }
}

export function sameKept(a: Kept, b: Kept): boolean {
  return canonicalJson(a) === canonicalJson(b)
}
