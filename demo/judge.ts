import { STATUS_ORDER, hashFields, jsonFields, seededText } from './jobs.ts'
import type { Entry } from './ledger.ts'

/** A job's value as read: fields of a hash, or the text of a document. */
export type Value = Readonly<Record<string, string>> | string

export type Fault = 'stale' | 'different' | 'leaked'

export interface Verdict {
  readonly fault: Fault
  readonly why: string
}

/**
 * Judges a value against the record. `least` is the version acknowledged before the read began, so an older one is
 * stale; any version up to the last one sent may show, each with its own contents and count of updates, exactly. Returns
 * undefined for a good value.
 */
export function judge(entry: Entry, value: Value, least: number): Verdict | undefined {
  const fields = typeof value === 'string' ? parse(value) : value
  if (fields === undefined) return { fault: 'different', why: 'is no JSON object' }
  if (fields['workspace_id'] !== entry.workspace)
    return { fault: 'leaked', why: `belongs to workspace ${String(fields['workspace_id'])}, not ${entry.workspace}` }
  const v = Number(fields['v'])
  if (!Number.isInteger(v)) return { fault: 'different', why: `has version ${String(fields['v'])}` }
  if (v < least) return { fault: 'stale', why: `shows version ${v} after ${least} was acknowledged` }
  if (v > entry.issued) return { fault: 'different', why: `shows version ${v}, which nobody wrote` }
  const wrong = typeof value === 'string' ? wrongText(entry, value, v) : wrongHash(entry, value, v)
  return wrong === undefined ? undefined : { fault: 'different', why: wrong }
}

export function versionOf(value: Value): number {
  return Number((typeof value === 'string' ? parse(value) : value)?.['v'])
}

/** Why a job's status is a step back from what was seen before, or undefined. Remembers the furthest one. */
export function judgeStatus(entry: Entry, value: Value, seenBefore: number): string | undefined {
  if (typeof value === 'string' || !entry.queued) return undefined
  const position = STATUS_ORDER.indexOf(value['status'] ?? '')
  if (position < seenBefore) return `shows status ${value['status']} after ${STATUS_ORDER[seenBefore]}`
  entry.statusSeen = Math.max(entry.statusSeen, position)
  return undefined
}

function wrongHash(entry: Entry, value: Readonly<Record<string, string>>, v: number): string | undefined {
  for (const [field, expected] of Object.entries(hashFields(entry.workspace, entry.id, v))) {
    if (value[field] !== expected) return `field ${field} at version ${v} is ${cut(value[field])}`
  }
  return undefined
}

function wrongText(entry: Entry, text: string, v: number): string | undefined {
  if (v === 0 && entry.seeded) {
    return text === seededText(entry.workspace, entry.id)
      ? undefined
      : 'is not the text that was written, byte for byte'
  }
  const fields = parse(text) ?? {}
  for (const [field, expected] of Object.entries(jsonFields(entry.workspace, entry.id, v))) {
    if (fields[field] !== expected) return `field ${field} at version ${v} is ${cut(fields[field])}`
  }
  return undefined
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // The caller reports a text that is no JSON.
  }
}

function cut(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 40)
}
