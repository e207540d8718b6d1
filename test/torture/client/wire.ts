/**
 * What a client process of a torture and its judge say to each other: lines of JSON, commands on stdin, the log on stdout,
 * so that a client in another language can join. `at` and `end` are ms: CLOCK_MONOTONIC plus `clockMs` of the settings.
 */
import type { Action, Answer } from '../history/job.ts'
import type { SabotageName } from '../sabotage.ts'
import type { Request } from './request.ts'

/** JSON in the environment variable `KEYSHIFT_TORTURE`. */
export interface Settings {
  readonly seed: number
  /** Which of the clients this is, and how often it was started again. */
  readonly slot: number
  readonly incarnation: number
  /** `redis://host:port/db` or `redis-sentinel://host:port,host:port/db#master-name` */
  readonly redis: string
  readonly routingDir: string
  readonly podUid: string
  readonly podName: string
  readonly clockMs: number
  /** Operations at once, for each encoding. */
  readonly sessions: number
  /** Mean pause between two operations of a session, ms. */
  readonly pauseMs: number
  /** The rule that this client breaks. */
  readonly sabotage?: SabotageName | undefined
}

export type Command =
  /** Work on these jobs until told to rest. */
  | { readonly type: 'go'; readonly round: number; readonly jobs: readonly string[] }
  /** Make these calls, all at once, and no others. */
  | { readonly type: 'do'; readonly round: number; readonly requests: readonly Request[] }
  /** Begin nothing more; say so once all is answered. */
  | { readonly type: 'rest'; readonly round: number }
  | { readonly type: 'end' }

export type LogLine =
  | readonly ['ready']
  /** Before an operation is sent. Ids are the client's own. */
  | readonly ['call', id: number, jobId: string, at: number, action: Action]
  /** Before a text is written: what was read, and what is written. */
  | readonly ['swap', id: number, old: string, text: string]
  /** It was done. */
  | readonly ['done', id: number, at: number, answer: Answer]
  /** It may have been done. */
  | readonly ['unknown', id: number]
  /** It was surely not done. */
  | readonly ['refused', id: number, code: string]
  /** Before the entry of a new job is put into the queue with it. */
  | readonly ['enqueue', id: number]
  /** A consumer was given a job. */
  | readonly ['delivered', jobId: string, workspace: string | null]
  /** Before a delivery is acknowledged; then whether it was. */
  | readonly ['ack', jobId: string]
  | readonly ['acked', jobId: string]
  | readonly ['resting', round: number]
  /** Something that a client must never see. */
  | readonly ['wrong', message: string]
