/** Bounds of one log line; whatever lies beyond is cut and said to be. */
export interface SafeLimits {
  /** Characters of one text. */
  readonly text: number
  /** Entries of one list or object. */
  readonly entries: number
  readonly depth: number
  /** Values in one line, all together. */
  readonly nodes: number
}

export const DEFAULT_LIMITS: SafeLimits = { text: 4_000, entries: 50, depth: 6, nodes: 500 }

const SECRET_NAME =
  /pass(word|wd|phrase)?s?$|^pwd$|secrets?$|tokens?$|authorization|cookie|credentials?$|private.?key|api.?key/i
const SECRET_COMMANDS = new Set(['auth', 'hello', 'acl', 'config', 'migrate'])
export const REDACTED = '[redacted]'

/** Takes credentials out of a text: those in URLs, bearer tokens, and each of `secrets`. */
export function redactText(text: string, secrets: Iterable<string> = []): string {
  let out = text
    .replace(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{0,512}@/gi, `$1${REDACTED}@`)
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{1,8192}/gi, `$1 ${REDACTED}`)
  for (const secret of secrets) if (secret !== '') out = out.replaceAll(secret, REDACTED)
  return out
}

/**
 * A copy of any value that JSON can hold: cycles, BigInt, throwing getters, sockets, huge texts and secrets are named
 * in place. Never throws.
 */
export function toSafe(value: unknown, secrets: Iterable<string> = [], limits: SafeLimits = DEFAULT_LIMITS): unknown {
  const ancestors = new Set<object>()
  let nodes = 0

  const text = (s: string): string => {
    // Cut with room to spare before redacting, so that a huge text costs little and no secret survives as a half.
    const whole = s.length <= limits.text
    const cut = redactText(whole ? s : s.slice(0, limits.text * 2), secrets)
    return whole && cut.length <= limits.text * 2 ? cut : `${cut.slice(0, limits.text)}… (${s.length} characters)`
  }

  const attempt = (read: () => unknown): unknown => {
    try {
      return read()
    } catch (error) {
      return `[threw ${text(describe(error))}]`
    }
  }

  const walk = (v: unknown, depth: number): unknown => {
    nodes += 1
    if (nodes > limits.nodes) return '[cut]'
    switch (typeof v) {
      case 'string':
        return text(v)
      case 'number':
        return Number.isFinite(v) ? v : String(v)
      case 'boolean':
        return v
      case 'undefined':
        return undefined
      case 'bigint':
      case 'symbol':
        return text(String(v))
      case 'function':
        return '[function]'
      case 'object':
        return v === null ? null : attempt(() => walkObject(v, depth))
    }
  }

  const walkObject = (v: object, depth: number): unknown => {
    if (ancestors.has(v)) return '[cycle]'
    if (v instanceof Date) return Number.isNaN(v.getTime()) ? 'Invalid Date' : v.toISOString()
    if (v instanceof URL) return text(v.href)
    if (ArrayBuffer.isView(v) || v instanceof ArrayBuffer) return `[${v.byteLength} bytes]`
    if (depth >= limits.depth) return Array.isArray(v) ? '[list]' : '[object]'
    ancestors.add(v)
    try {
      if (Array.isArray(v))
        return entriesOf(v.length, (i) =>
          walk(
            attempt(() => (v as unknown[])[i]),
            depth + 1,
          ),
        )
      if (v instanceof Map) return walk(Object.fromEntries([...v].slice(0, limits.entries + 1)), depth + 1)
      if (v instanceof Set) return walk([...v].slice(0, limits.entries + 1), depth + 1)
      return fieldsOf(v, depth)
    } finally {
      ancestors.delete(v)
    }
  }

  const entriesOf = (length: number, at: (i: number) => unknown): unknown[] => {
    const out = Array.from({ length: Math.min(length, limits.entries) }, (_, i) => at(i) ?? null)
    if (length > limits.entries) out.push(`… (${length} entries)`)
    return out
  }

  const fieldsOf = (v: object, depth: number): Record<string, unknown> => {
    const own = Object.keys(v)
    const names = v instanceof Error ? ['name', 'message', 'stack', 'cause', ...own] : own
    const out: Record<string, unknown> = {}
    const command = attempt(() => (v as { name?: unknown }).name)
    const secretArgs = typeof command === 'string' && SECRET_COMMANDS.has(command.toLowerCase())
    for (const name of new Set(names)) {
      if (Object.keys(out).length >= limits.entries) {
        out['…'] = `(${own.length} fields)`
        break
      }
      const key = text(name)
      if (SECRET_NAME.test(name) || (secretArgs && name === 'args')) out[key] = REDACTED
      else
        out[key] = walk(
          attempt(() => (v as Record<string, unknown>)[name]),
          depth + 1,
        )
    }
    return out
  }

  return attempt(() => walk(value, 0))
}

/** One line for any thrown value. Never throws. */
export function describe(error: unknown): string {
  try {
    if (error instanceof Error) return error.message === '' ? error.name : error.message
    return typeof error === 'string' ? error : (JSON.stringify(error) ?? String(error))
  } catch {
    return 'something that cannot be shown'
  }
}
