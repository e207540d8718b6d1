import type { Status } from '../api/status.ts'
import { ANNOTATIONS, durationMs, keysOf, type JobKeyMigration } from '../api/resource.ts'
import type { CheckSpec, Spec } from '../api/schema.ts'
import { parseDocument, type DocumentInput, type RoutingDocument } from '../protocol/document.ts'
import type { RoutingState } from '../protocol/phases.ts'
import { checksOf } from './presets.ts'
import type { Observations, RedisObservation } from './types.ts'

/** What one pass looks at; nothing in it changes while it is decided. */
export interface Scene {
  readonly resource: JobKeyMigration
  readonly spec: Spec
  readonly name: string
  /** `namespace/name` */
  readonly owner: string
  readonly observations: Observations
  readonly redis: RedisObservation
  /** ms since 1970 */
  readonly now: number
  readonly joinTimeoutMs: number
  readonly checks: readonly CheckSpec[]
  /** Value of the annotation keyshift.dev/retry. */
  readonly retry: string | undefined
  /** What the spec puts into a routing document. */
  readonly input: DocumentInput
  readonly controlPrefix: string
}

/** @throws TemplateError when the templates of the spec cannot be used */
export function makeScene(
  resource: JobKeyMigration,
  observations: Observations,
  redis: RedisObservation,
  now: number,
): Scene {
  const { spec, metadata } = resource
  const { templates } = keysOf(spec)
  return {
    resource,
    spec,
    name: metadata.name,
    owner: `${metadata.namespace}/${metadata.name}`,
    observations,
    redis,
    now,
    joinTimeoutMs: durationMs(spec.app.joinTimeout),
    checks: checksOf(spec, metadata.name),
    retry: metadata.annotations?.[ANNOTATIONS.retry]?.slice(0, 253),
    input: documentInput(spec, metadata.name),
    controlPrefix: templates.controlPrefix,
  }
}

/** What a spec puts into a routing document. @throws TemplateError */
export function documentInput(spec: Spec, name: string): DocumentInput {
  return {
    name,
    canaryBy: spec.canary.by,
    legacy: spec.keys.legacy,
    target: spec.keys.target,
    workspaceField: keysOf(spec).workspaceField,
    queues: spec.keys.queues.map(({ key }) => key),
  }
}

/** The routing document in a text, undefined where the text is none. */
export function documentOf(text: string | undefined): RoutingDocument | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return parseDocument(text)
  } catch {
    return undefined
  }
}

export function stateOf(doc: RoutingDocument): RoutingState {
  return { phase: doc.phase, step: doc.step, createTarget: doc.createTarget, readTarget: doc.readTarget }
}

/** Whether record and ConfigMap carry the document in force. */
export function isInPlace(scene: Scene, status: Status): boolean {
  const { configMap } = scene.observations
  return scene.redis.record?.epoch === status.epoch && configMap.known && configMap.value.document === status.routing
}
