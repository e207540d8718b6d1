/* eslint-disable no-restricted-globals -- Date as a converter of given numbers, never as a clock. */

/** Last moment that a Date can hold, ms. */
const LAST_MS = 8_640_000_000_000_000

/** RFC 3339 text in UTC of ms since 1970. */
export function isoTime(ms: number): string {
  return new Date(Math.min(ms, LAST_MS)).toISOString()
}

/** ms since 1970 of a text in status; undefined for an absent or unreadable one. */
export function timeMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
