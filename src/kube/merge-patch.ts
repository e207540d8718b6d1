/**
 * The JSON merge patch (RFC 7386) that turns `from` into `to`, or undefined when they are equal: nothing to write.
 * Fields that `to` lacks become null; lists are replaced whole. Fields set to undefined count as absent.
 */
export function mergePatchBetween(from: object, to: object): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {}
  const before = from as Readonly<Record<string, unknown>>
  const after = to as Readonly<Record<string, unknown>>
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const change = changeOf(before[key], after[key])
    if (change !== undefined) patch[key] = change
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}

function changeOf(before: unknown, after: unknown): unknown {
  if (after === undefined || after === null) return before === undefined || before === null ? undefined : null
  if (isMap(after)) {
    if (isMap(before)) return mergePatchBetween(before, after)
    return after
  }
  return sameJson(before, after) ? undefined : after
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Deep equality of JSON values, whatever the order of keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  if (!isMap(a) || !isMap(b)) return false
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => sameJson(a[key], b[key]))
}
