import { checkId, type KeyTemplates } from './templates.ts'
import { phaseIndex, type Phase } from './phases.ts'

/** How a producer writes a job into a queue: `job_id` before ReadRouting, `workspace:job` from then on. */
export function queueEntry(t: KeyTemplates, phase: Phase, workspaceId: string, jobId: string): string {
  return phaseIndex(phase) >= 2 ? `${workspaceId}${t.forbidden}${jobId}` : jobId
}

export type QueueEntry =
  | { readonly form: 'pair'; readonly workspaceId: string; readonly jobId: string }
  | { readonly form: 'job'; readonly jobId: string }
  | { readonly form: 'malformed' }

/**
 * Reads an entry by its text alone. A `pair` is one only if a key of that pair holds that workspace; in phases 0-1 it
 * may else be a job id with the delimiter in it, which the script that reads the job decides.
 */
export function readQueueEntry(t: KeyTemplates, entry: string): QueueEntry {
  const at = entry.indexOf(t.forbidden)
  if (at < 0) return checkId(t, entry) === undefined ? { form: 'job', jobId: entry } : { form: 'malformed' }
  const workspaceId = entry.slice(0, at)
  const jobId = entry.slice(at + t.forbidden.length)
  if (checkId(t, workspaceId) === undefined && checkId(t, jobId) === undefined)
    return { form: 'pair', workspaceId, jobId }
  return { form: 'malformed' }
}
