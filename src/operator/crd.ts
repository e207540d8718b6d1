import { z } from 'zod'
import { GROUP, PLURAL, VERSION } from '../api/resource.ts'
import { SpecSchema } from '../api/schema.ts'
import { StatusSchema } from '../api/status.ts'
import type { KubeClient } from '../kube/client.ts'
import { isForbidden, isNotFound } from '../kube/errors.ts'
import { CRDS } from '../kube/resources.ts'
import type { KubeObject } from '../kube/types.ts'
import type { Clock } from '../runtime/clock.ts'

/** How the installed CRD stands to the one that this version was built with. */
export type CrdState =
  | { readonly state: 'current' }
  | { readonly state: 'absent' }
  /** It lacks these fields, which the API server would drop silently. */
  | { readonly state: 'outdated'; readonly missing: readonly string[] }
  /** The operator may not read it. */
  | { readonly state: 'unknown' }

type Json = Readonly<Record<string, unknown>>
interface Crd extends KubeObject {
  readonly spec?: {
    readonly versions?: readonly { readonly name: string; readonly schema?: { openAPIV3Schema?: Json } }[]
  }
}

const NAME = `${PLURAL}.${GROUP}`
const FRESH_MS = 60_000

/** Reads the installed CRD, at most once a minute. */
export class CrdReader {
  readonly #client: Pick<KubeClient, 'get'>
  readonly #clock: Clock
  #known: { readonly at: number; readonly state: CrdState } | undefined

  constructor(client: Pick<KubeClient, 'get'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /** @throws KubeError */
  async read(signal: AbortSignal, fresh = false): Promise<CrdState> {
    const now = this.#clock.monotonic()
    if (!fresh && this.#known !== undefined && now - this.#known.at < FRESH_MS) return this.#known.state
    const state = await this.#fetch(signal)
    this.#known = { at: now, state }
    return state
  }

  async #fetch(signal: AbortSignal): Promise<CrdState> {
    try {
      return compareCrd(await this.#client.get<Crd>(CRDS, { name: NAME }, { signal }))
    } catch (error) {
      if (isNotFound(error)) return { state: 'absent' }
      if (isForbidden(error)) return { state: 'unknown' }
      throw error
    }
  }
}

/** What an installed CRD lacks of the fields in `src/api`. */
export function compareCrd(crd: Crd): CrdState {
  const served = crd.spec?.versions?.find(({ name }) => name === VERSION)?.schema?.openAPIV3Schema
  const installed = new Set(fieldPaths(served ?? {}, ''))
  const missing = expectedPaths().filter((path) => !installed.has(path))
  return missing.length === 0 ? { state: 'current' } : { state: 'outdated', missing }
}

export function outdatedMessage(missing: readonly string[]): string {
  const some = missing.slice(0, 5).join(', ')
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : ''
  return `the installed CRD ${NAME} lacks ${some}${more}, which the API server drops`
}

function expectedPaths(): readonly string[] {
  const schema = (type: z.ZodType): Json => z.toJSONSchema(type, { io: 'input', target: 'draft-7' })
  return [...fieldPaths(schema(SpecSchema), 'spec'), ...fieldPaths(schema(StatusSchema), 'status')]
}

/** `spec.slo.checks[].max`: every field that a schema names. */
function fieldPaths(schema: Json, at: string): string[] {
  const paths = at === '' ? [] : [at]
  for (const [name, child] of Object.entries((schema['properties'] ?? {}) as Json))
    paths.push(...fieldPaths(child as Json, at === '' ? name : `${at}.${name}`))
  if (isMap(schema['items'])) paths.push(...fieldPaths(schema['items'], `${at}[]`))
  if (isMap(schema['additionalProperties'])) paths.push(...fieldPaths(schema['additionalProperties'], `${at}{}`))
  return paths
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}
