/** Names that clients and the judge of a torture agree on, and the randomness that a seed gives to each part. */
import { createHash } from 'node:crypto'
import { seededRandom } from '../../demo/random.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'
export const WORKSPACE_FIELD = 'workspace_id'
export const WORKSPACES = ['w0', 'w1', 'w2'] as const
export const QUEUES = { hash: 'ai:queue:hash', json: 'ai:queue:json' } as const
export type Encoding = keyof typeof QUEUES

/** Every part of a run draws from a stream of its own: what one draws moves no other. */
export function randomOf(...parts: readonly (string | number)[]): () => number {
  return seededRandom(createHash('sha256').update(parts.join(' ')).digest().readUInt32LE(0))
}

export function pick<T>(random: () => number, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T
}

/** How a job is stored, by the first letter of its id. */
export function encodingOf(jobId: string): Encoding {
  return jobId.startsWith('h') ? 'hash' : 'json'
}

/** The workspace that creates a job. Others may try: job ids are unique over all of them. */
export function homeOf(jobId: string): string {
  const sum = [...jobId].reduce((total, letter) => total + letter.charCodeAt(0), 0)
  return WORKSPACES[sum % WORKSPACES.length] as string
}
