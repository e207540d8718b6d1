import { createHash } from 'node:crypto'
import { isPhase, type Phase, type RoutingState } from './phases.ts'
import { parseTemplates } from './templates.ts'

/** The one JSON document that clients follow. Rendered once per epoch, afterwards copied byte for byte. */
export interface RoutingDocument {
  /** Only ever grows; 1 is the first published. */
  readonly epoch: number
  /** First 16 hex digits of SHA-256 over the document without this field. */
  readonly hash: string
  /** Name of the JobKeyMigration, part of the bucket. */
  readonly name: string
  /** Row of the routing table. A reader refuses a document of a phase that it does not know. */
  readonly phase: Phase
  /** Index of the step within the phase, 0 to 1000; for people. */
  readonly step: number
  /** Percent (0 to 100) of new jobs that get a target key. */
  readonly createTarget: number
  /** Percent (0 to 100) of reads that try the target key first. */
  readonly readTarget: number
  /** Which id the bucket is made of. */
  readonly canaryBy: 'Job' | 'Workspace'
  /** Template of the legacy key. */
  readonly legacy: string
  /** Template of the target key. */
  readonly target: string
  /** Hash field, or top-level JSON field, that holds the workspace. */
  readonly workspaceField: string
  /** Keys of the queues that the resource declares; for people and preflight, clients use whatever queue they are told. */
  readonly queues: readonly string[]
  /** Begin of every control key; must be the one that the templates give. */
  readonly controlPrefix: string
  /** An epoch so far may have made target keys. Until then a name of that form is a job whose id has the delimiter in it. */
  readonly targets: boolean
  /** Reserved: false in this version. */
  readonly final: boolean
}

export interface DocumentInput {
  readonly name: string
  readonly canaryBy: 'Job' | 'Workspace'
  readonly legacy: string
  readonly target: string
  readonly workspaceField: string
  readonly queues: readonly string[]
}

export const ROUTING_FILE = 'routing.json'

/**
 * Builds the document of an epoch; the text to publish comes from `renderDocument`.
 * `targetsBefore`: an earlier epoch may have made target keys. Where it is not said, each epoch but the first had one.
 */
export function makeDocument(
  input: DocumentInput,
  state: RoutingState,
  epoch: number,
  targetsBefore = epoch > 1,
): RoutingDocument {
  const body = {
    epoch,
    name: input.name,
    phase: state.phase,
    step: state.step,
    createTarget: state.createTarget,
    readTarget: state.readTarget,
    canaryBy: input.canaryBy,
    legacy: input.legacy,
    target: input.target,
    workspaceField: input.workspaceField,
    queues: [...input.queues],
    controlPrefix: parseTemplates(input.legacy, input.target).controlPrefix,
    targets: state.phase !== 'Legacy' || targetsBefore,
    final: false,
  }
  return { ...body, hash: documentHash(body) }
}

/** Canonical text: keys sorted, no spaces. */
export function renderDocument(doc: RoutingDocument): string {
  return canonicalJson(doc)
}

export function documentHash(body: Omit<RoutingDocument, 'hash'> & { hash?: string }): string {
  const { hash: _ignored, ...rest } = body
  return createHash('sha256').update(canonicalJson(rest), 'utf8').digest('hex').slice(0, 16)
}

/** Thrown for a text that is not a routing document; readers keep the document they have. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError'
}

/**
 * Reads a document and proves its hash, so that a half-written or edited file is never followed.
 * @throws DocumentError naming the field at fault
 */
export function parseDocument(text: string): RoutingDocument {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new DocumentError('routing document is not JSON (half-written?)')
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    throw new DocumentError('routing document is not an object')
  const r = raw as Record<string, unknown>
  const string = (field: string): string => {
    const v = r[field]
    if (typeof v !== 'string' || v === '') throw new DocumentError(`routing document: ${field} must be a text`)
    return v
  }
  const integer = (field: string, min: number, max: number): number => {
    const v = r[field]
    if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < min || v > max) {
      throw new DocumentError(`routing document: ${field} must be an integer from ${min} to ${max}`)
    }
    return v
  }
  const phase = r['phase']
  if (!isPhase(phase))
    throw new DocumentError('routing document: unknown phase; is this client older than the operator?')
  const canaryBy = r['canaryBy']
  if (canaryBy !== 'Job' && canaryBy !== 'Workspace')
    throw new DocumentError('routing document: canaryBy must be Job or Workspace')
  const queues = r['queues']
  if (!Array.isArray(queues) || !queues.every((q): q is string => typeof q === 'string' && q !== '')) {
    throw new DocumentError('routing document: queues must be a list of keys')
  }
  if (typeof r['targets'] !== 'boolean') throw new DocumentError('routing document: targets must be true or false')
  if (typeof r['final'] !== 'boolean') throw new DocumentError('routing document: final must be true or false')
  const doc: RoutingDocument = {
    epoch: integer('epoch', 1, Number.MAX_SAFE_INTEGER),
    hash: string('hash'),
    name: string('name'),
    phase,
    step: integer('step', 0, 1000),
    createTarget: integer('createTarget', 0, 100),
    readTarget: integer('readTarget', 0, 100),
    canaryBy,
    legacy: string('legacy'),
    target: string('target'),
    workspaceField: string('workspaceField'),
    queues,
    controlPrefix: string('controlPrefix'),
    targets: r['targets'],
    final: r['final'],
  }
  readable(() => refuseInexact(raw))
  if (readable(() => namesIn(text)) !== readable(() => namesOf(raw)))
    throw new DocumentError('routing document: a field stands twice')
  // The hash covers the text as it came: fields that this version does not know are part of it.
  if (readable(() => documentHash(r as unknown as RoutingDocument)) !== doc.hash)
    throw new DocumentError('routing document: hash does not fit (edited by hand?)')
  if (readable(() => parseTemplates(doc.legacy, doc.target).controlPrefix) !== doc.controlPrefix) {
    throw new DocumentError('routing document: controlPrefix does not fit its templates')
  }
  return doc
}

// What other languages would read, and hash, as something else.
function refuseInexact(value: unknown): void {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new DocumentError('routing document: a number is not whole, or beyond 2^53 - 1')
  if (typeof value === 'string' && !value.isWellFormed())
    throw new DocumentError('routing document: a text has a lone surrogate')
  if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) {
      refuseInexact(name)
      refuseInexact(inner)
    }
}

// Templates that cannot be used, or nesting without end: no reader may fall over what it can only refuse.
function readable<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof DocumentError) throw error
    throw new DocumentError(`routing document: ${error instanceof Error ? error.message : String(error)}`)
  }
}

// A parser keeps one of two fields of a name, and that of another reader may keep the other: names are counted before and after.
function namesIn(text: string): number {
  let names = 0
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)) if (colon !== undefined) names += 1
  return names
}

function namesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const names = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce<number>((sum, inner) => sum + namesOf(inner), names)
}

/** JSON with sorted keys and no spaces: one value, one text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value as Record<string, unknown>)
      .filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`
  }
  return JSON.stringify(value)
}
