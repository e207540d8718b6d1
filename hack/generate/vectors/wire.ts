import { canonicalJson } from '../../../src/protocol/document.ts'

/** How bytes stand in the vectors: see "Vectors" in docs/protocol.md. */
export type Wire =
  string | number | null | { readonly base64: string } | { readonly now: number } | { readonly json: unknown } | Wire[]

export interface KeyState {
  readonly key: string
  readonly type: 'string' | 'hash' | 'list' | 'zset'
  /** string: its bytes; list: from left to right; hash: fields and values; zset: members and scores. */
  readonly value: Wire
  /** ms since 1970; absent where the key does not expire. */
  readonly expiresAt?: Wire
}

/** Redis TIME before and after what gave the bytes, ms. */
export interface Span {
  readonly from: number
  readonly to: number
}

const NEAR_MS = 30 * 24 * 3_600_000

/**
 * Bytes of a reply. A number near `spans`, those of the calls that can have made it, is a time that a script made: it becomes `{ now: ms }`, whole seconds from now, so
 * that vectors are the same at any hour.
 */
export function toWire(reply: unknown, spans: readonly Span[]): Wire {
  if (Array.isArray(reply)) return reply.map((item) => toWire(item, spans))
  if (reply === null) return null
  const bytes = typeof reply === 'number' ? Buffer.from(String(reply)) : (reply as Buffer)
  const text = bytes.toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(bytes)) return { base64: bytes.toString('base64') }
  if (/^\d{13}$/.test(text) && isNear(Number(text), spans)) return fromNow(Number(text), spans)
  return typeof reply === 'number' ? reply : text
}

const isNear = (time: number, [first]: readonly Span[]): boolean =>
  first !== undefined && Math.abs(time - first.from) < NEAR_MS

function fromNow(time: number, spans: readonly Span[]): { readonly now: number } {
  for (const { from, to } of spans) {
    const now = Math.floor((time - from) / 1000) * 1000
    if (time <= to + now) return { now }
  }
  throw new Error(`${time} is no whole number of seconds from any call`)
}

/** A JSON text whose numbers may be times, and whose fields may come in any order. */
export function jsonToWire(text: string, spans: readonly Span[]): { readonly json: unknown } {
  const value = JSON.parse(text, (_, item: unknown) =>
    typeof item === 'number' && isNear(item, spans) ? fromNow(item, spans) : item,
  ) as unknown
  return { json: JSON.parse(canonicalJson(value)) as unknown }
}

/** The bytes to send. `times`: what `{ now }` stands for, from earlier answers. */
export function fromWire(wire: Wire, times: ReadonlyMap<number, string> = new Map()): string | Buffer {
  if (typeof wire === 'string') return wire
  if (typeof wire === 'number') return String(wire)
  if (wire !== null && 'base64' in wire) return Buffer.from(wire.base64, 'base64')
  if (wire !== null && 'now' in wire) {
    const time = times.get(wire.now)
    if (time !== undefined) return time
  }
  throw new Error(`cannot be sent: ${JSON.stringify(wire)}`)
}
