import { createHash } from 'node:crypto'

const BUCKETS = 10_000

/**
 * Stable bucket (0-9999) of an id: first 8 hex digits of SHA-1 of `<resource name>:<id>`, mod 10000.
 * Depends on nothing but the two strings, so that raising a percentage only ever adds jobs.
 */
export function bucketOf(resourceName: string, id: string): number {
  const hex = createHash('sha1').update(`${resourceName}:${id}`, 'utf8').digest('hex').slice(0, 8)
  return Number.parseInt(hex, 16) % BUCKETS
}

/** Whether `id` lies within the first `percent` (0-100) of the buckets. */
export function isSelected(resourceName: string, id: string, percent: number): boolean {
  if (percent >= 100) return true
  if (percent <= 0) return false
  return bucketOf(resourceName, id) < percent * 100
}
