import { createHash } from 'node:crypto'

/** Contents of every job of the demo follow from its id and version alone, so that nobody has to remember values. */
export type StoreName = 'jobs' | 'docs'

export interface StoreInfo {
  readonly name: StoreName
  /** Name of its JobKeyMigration. */
  readonly resource: string
  readonly db: number
  readonly encoding: 'hash' | 'json'
  readonly queue?: string
}

export const STORES: Readonly<Record<StoreName, StoreInfo>> = {
  jobs: { name: 'jobs', resource: 'ai-jobs', db: 0, encoding: 'hash', queue: 'ai:queue' },
  docs: { name: 'docs', resource: 'ai-docs', db: 1, encoding: 'json' },
}

export const WORKSPACES: readonly string[] = Array.from({ length: 20 }, (_, i) => `w-${String(i + 1).padStart(2, '0')}`)

export const KEY_PREFIX = 'ai:job:'
export const legacyKey = (id: string): string => `${KEY_PREFIX}${id}`
export const targetKey = (workspace: string, id: string): string => `${KEY_PREFIX}${workspace}:${id}`

export function payloadOf(id: string, v: number): string {
  return createHash('md5').update(`${id}/${v}`).digest('hex').repeat(10)
}

/**
 * Fields that the traffic owns, at version `v`. `updates` is counted up by HINCRBY with every update, so that one
 * applied twice shows.
 */
export function hashFields(workspace: string, id: string, v: number): Record<string, string> {
  return {
    workspace_id: workspace,
    v: String(v),
    updates: String(v),
    payload: payloadOf(id, v),
    note: 'größer – 職務 ✓',
  }
}

/** Text of a document as seeded: numbers that parse and stringify would change are on purpose. */
export function seededText(workspace: string, id: string): string {
  return `{"workspace_id": "${workspace}", "id":"${id}","v":0, "payload":"${payloadOf(id, 0)}","big":9007199254740993,"ratio":1.0,"tags":[],"meta":{}}`
}

/** Fields of a document that the traffic writes at version `v`. */
export function jsonFields(workspace: string, id: string, v: number): Record<string, unknown> {
  return { workspace_id: workspace, id, v, payload: payloadOf(id, v) }
}

/** Progress of a job's status, which the worker owns; a read never sees it go back. */
export const STATUS_ORDER: readonly string[] = ['queued', 'running', 'done']
