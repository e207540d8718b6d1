import type { Spec } from './schema.ts'
import { parseTemplates, type KeyTemplates } from '../protocol/templates.ts'
import type { Status } from './status.ts'

export const GROUP = 'keyshift.dev'
export const VERSION = 'v1alpha1'
export const API_VERSION = `${GROUP}/${VERSION}`
export const KIND = 'JobKeyMigration'
export const PLURAL = 'jobkeymigrations'
export const SHORT_NAME = 'jkm'

/** Annotations that people set. */
export const ANNOTATIONS = {
  /** A new value takes the failure latch off. */
  retry: `${GROUP}/retry`,
  /** A new value, in phase Legacy, deletes the target keys that an earlier run left. */
  purge: `${GROUP}/purge`,
  /** A new value, from DualWrite 100 % on, makes the target keys equal to legacy, and verify runs again. */
  repair: `${GROUP}/repair`,
  /** Epoch to adopt when status and record contradict each other. */
  adopt: `${GROUP}/adopt-epoch`,
  /** "true" lets a resource on its way be deleted: see the policy in the chart. */
  abandon: `${GROUP}/abandon`,
} as const

export interface JobKeyMigration {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly generation: number
    readonly resourceVersion: string
    readonly creationTimestamp?: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
  }
  readonly spec: Spec
  readonly status?: Status
}

/** Templates and workspace field of a spec, with the default filled in. @throws TemplateError */
export function keysOf(spec: Spec): { templates: KeyTemplates; workspaceField: string } {
  const templates = parseTemplates(spec.keys.legacy, spec.keys.target)
  return { templates, workspaceField: spec.keys.workspaceField ?? templates.workspacePlaceholder }
}

/** Where the Redis of a spec is, as one text: its address, or `redis-sentinel://host:port,host:port/db#master-name`. */
export function redisPlaceOf({ address, sentinel }: Pick<Spec['redis'], 'address' | 'sentinel'>): string {
  if (sentinel === undefined) return address ?? ''
  return `redis-sentinel://${sentinel.addresses.join(',')}/${sentinel.db}#${sentinel.masterName}`
}

/** Name of the ConfigMap that carries the routing document. */
export function configMapName(resource: Pick<JobKeyMigration, 'metadata' | 'spec'>): string {
  return resource.spec.app.configMapName ?? `${resource.metadata.name}-routing`
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of a duration such as `1h30m`. @throws Error for a text that is none */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== text)
    throw new Error(`"${text}" is no duration: write it as 30s, 5m or 48h`)
  return Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNIT_MS[unit ?? ''] ?? 0), 0))
}
