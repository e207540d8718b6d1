import { createHash } from 'node:crypto'

/** A key template cut at its placeholders: `prefix {..} [delimiter {..}] suffix`. */
export interface ParsedTemplate {
  readonly text: string
  readonly placeholders: readonly string[]
  /** One more literal than placeholders. */
  readonly literals: readonly string[]
}

/** A valid pair of templates, ready to build and to recognise keys. */
export interface KeyTemplates {
  readonly legacy: ParsedTemplate
  readonly target: ParsedTemplate
  /** Literal between the two placeholders of the target, for example `:`. */
  readonly delimiter: string
  /** First character of the delimiter: no id may contain it, so that every key reads back in one way. */
  readonly forbidden: string
  /** The placeholder that only the target has, for example `workspace_id`. */
  readonly workspacePlaceholder: string
  /** True when the workspace comes before the job in the target key. */
  readonly workspaceFirst: boolean
  /** `keyshift:{16 hex digits}:`, under which all control keys live. */
  readonly controlPrefix: string
}

export const JOB_PLACEHOLDER = 'job_id'
const CONTROL_ROOT = 'keyshift:'

/** Thrown for a template pair that cannot be used; the message says what to write instead. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
}

export function parseTemplate(text: string): ParsedTemplate {
  if (typeof text !== 'string' || !text.isWellFormed())
    throw new TemplateError('a template must be a text such as "ai:job:{job_id}", of well-formed UTF-16')
  // The control prefix joins the two templates with one.
  if (text.includes('\0'))
    throw new TemplateError(`template ${JSON.stringify(text)} must not contain the character NUL`)
  const placeholders: string[] = []
  const literals: string[] = []
  let rest = text
  for (;;) {
    const open = rest.indexOf('{')
    if (open < 0) break
    const close = rest.indexOf('}', open)
    const name = close < 0 ? '' : rest.slice(open + 1, close)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new TemplateError(
        `template "${text}" has a brace that opens no placeholder: write placeholders as {job_id}`,
      )
    }
    literals.push(rest.slice(0, open))
    placeholders.push(name)
    rest = rest.slice(close + 1)
  }
  if (rest.includes('}')) throw new TemplateError(`template "${text}" has a } without a {`)
  literals.push(rest)
  return { text, placeholders, literals }
}

/** `keyshift:{first 16 hex digits of SHA-256 of legacy NUL target}:` */
export function controlPrefix(legacy: string, target: string): string {
  const hex = createHash('sha256').update(`${legacy}\0${target}`, 'utf8').digest('hex').slice(0, 16)
  return `${CONTROL_ROOT}${hex}:`
}

/**
 * Checks that the two templates can never give one string for two different keys, and returns them parsed.
 * @throws TemplateError saying what to change
 */
export function parseTemplates(legacyText: string, targetText: string): KeyTemplates {
  if (legacyText === targetText)
    throw new TemplateError('keys.legacy and keys.target are equal: there is nothing to migrate')
  const legacy = parseTemplate(legacyText)
  const target = parseTemplate(targetText)
  if (legacy.placeholders.length !== 1 || legacy.placeholders[0] !== JOB_PLACEHOLDER) {
    throw new TemplateError(`keys.legacy "${legacyText}" must have {job_id} once and no other placeholder`)
  }
  const others = target.placeholders.filter((name) => name !== JOB_PLACEHOLDER)
  const workspacePlaceholder = others[0]
  if (target.placeholders.length !== 2 || workspacePlaceholder === undefined || others.length !== 1) {
    throw new TemplateError(
      `keys.target "${targetText}" must have {job_id} and one other placeholder, such as {workspace_id}, once each`,
    )
  }
  const delimiter = target.literals[1] ?? ''
  // A whole character, never half of a surrogate pair: Redis compares bytes.
  const forbidden = [...delimiter][0] ?? ''
  if (forbidden === '' || /[A-Za-z0-9]/.test(forbidden)) {
    throw new TemplateError(
      `keys.target "${targetText}" needs a delimiter such as ":" between its placeholders, one that starts with neither letter nor digit`,
    )
  }
  for (const template of [legacy, target]) {
    const prefix = head(template)
    if (prefix === '')
      throw new TemplateError(`template "${template.text}" must begin with fixed text, such as "ai:job:"`)
    // A shorter beginning counts as well: the id would supply the rest.
    if (prefix.startsWith(CONTROL_ROOT) || CONTROL_ROOT.startsWith(prefix))
      throw new TemplateError(
        `template "${template.text}" can give keys that begin with "${CONTROL_ROOT}", which Keyshift keeps for itself: begin it with other text`,
      )
  }
  if (!unambiguous(legacy, target)) {
    throw new TemplateError(
      `keys.legacy "${legacyText}" and keys.target "${targetText}" are ambiguous: one key could be read as both; begin them with different fixed text`,
    )
  }
  return {
    legacy,
    target,
    delimiter,
    forbidden,
    workspacePlaceholder,
    workspaceFirst: target.placeholders[0] !== JOB_PLACEHOLDER,
    controlPrefix: controlPrefix(legacyText, targetText),
  }
}

// Either the fixed ends exclude each other, or the target's ends lie inside the legacy's gap: then a legacy key that
// looked like a target would need the forbidden character in its job id.
function unambiguous(legacy: ParsedTemplate, target: ParsedTemplate): boolean {
  const [lp, ls] = [head(legacy), tail(legacy)]
  const [tp, ts] = [head(target), tail(target)]
  if (!lp.startsWith(tp) && !tp.startsWith(lp)) return true
  if (!ls.endsWith(ts) && !ts.endsWith(ls)) return true
  return tp.startsWith(lp) && ts.endsWith(ls)
}

function head({ literals }: ParsedTemplate): string {
  return literals[0] ?? ''
}

function tail({ literals }: ParsedTemplate): string {
  return literals.at(-1) ?? ''
}

/** Legacy key of a job. The id is not checked here: see `checkId`. */
export function legacyKey(t: KeyTemplates, jobId: string): string {
  return `${head(t.legacy)}${jobId}${tail(t.legacy)}`
}

/** Target key of a job. Ids must have passed `checkId`. */
export function targetKey(t: KeyTemplates, workspaceId: string, jobId: string): string {
  const [first, second] = t.workspaceFirst ? [workspaceId, jobId] : [jobId, workspaceId]
  return `${head(t.target)}${first}${t.delimiter}${second}${tail(t.target)}`
}

export type KeyClass =
  | { readonly kind: 'legacy'; readonly jobId: string }
  | { readonly kind: 'target'; readonly workspaceId: string; readonly jobId: string }
  | { readonly kind: 'other' }

/** Reads a key back. `target` says that the name matches; whether it *is* one also needs the stored workspace. */
export function classifyKey(t: KeyTemplates, key: string): KeyClass {
  const inTarget = between(key, head(t.target), tail(t.target))
  if (inTarget !== undefined) {
    const at = inTarget.indexOf(t.delimiter)
    const [first, second] = [inTarget.slice(0, at), inTarget.slice(at + t.delimiter.length)]
    if (at > 0 && isPlainId(t, first) && isPlainId(t, second)) {
      return t.workspaceFirst
        ? { kind: 'target', workspaceId: first, jobId: second }
        : { kind: 'target', workspaceId: second, jobId: first }
    }
  }
  const jobId = between(key, head(t.legacy), tail(t.legacy))
  if (jobId !== undefined && isPlainId(t, jobId)) return { kind: 'legacy', jobId }
  return { kind: 'other' }
}

function between(key: string, prefix: string, suffix: string): string | undefined {
  if (key.length < prefix.length + suffix.length || !key.startsWith(prefix) || !key.endsWith(suffix)) return undefined
  return key.slice(prefix.length, key.length - suffix.length)
}

/** Longest id, in UTF-8 bytes. */
export const MAX_ID_BYTES = 512

/**
 * Why `id` cannot be used in a key of these templates, or undefined when it can. Ids are byte-exact: nothing is
 * trimmed, folded or escaped.
 */
export function checkId(t: KeyTemplates, id: unknown): string | undefined {
  if (typeof id !== 'string') return 'is not a text'
  if (id === '') return 'is empty'
  if (!id.isWellFormed()) return 'is not well-formed UTF-16 (a lone surrogate)'
  if (id.includes(t.forbidden)) return `contains "${t.forbidden}", the delimiter of the target template`
  if (Buffer.byteLength(id, 'utf8') > MAX_ID_BYTES) return `is longer than ${MAX_ID_BYTES} bytes`
  return undefined
}

function isPlainId(t: KeyTemplates, id: string): boolean {
  return checkId(t, id) === undefined
}

/** Redis glob that every legacy and target key matches; names outside it are never looked at. */
export function scanPattern(t: KeyTemplates): string {
  const [a, b] = [head(t.legacy), head(t.target)]
  let n = 0
  while (n < a.length && n < b.length && a[n] === b[n]) n += 1
  // Not through the middle of a surrogate pair, which has no bytes of its own.
  if (!a.slice(0, n).isWellFormed()) n -= 1
  return `${a.slice(0, n).replace(/[*?[\]\\^]/g, '\\$&')}*`
}
