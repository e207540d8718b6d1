import { performance } from 'node:perf_hooks'
import type { KeyTemplates } from '../protocol/templates.ts'
import type { CallOptions, Connection } from '../redis/connection.ts'
import { NotReady } from '../redis/errors.ts'
import type { Answer, JobCall } from '../redis/scripts.ts'
import type { Engine } from './engine.ts'
import { InvalidId, Occupied, OperationReused } from './errors.ts'
import type { Metrics } from './metrics.ts'
import type { Routing } from './routing.ts'
import { within } from './steps.ts'
import type { Codec, Encoding } from './types.ts'

/** What the stores and queues of one client share. */
export interface Context {
  readonly connection: Connection
  readonly engine: Engine
  readonly metrics: Metrics
  readonly templates: KeyTemplates
  readonly encoding: Encoding
  /** Of the app, for texts. */
  readonly codec: Codec<unknown> | undefined
  readonly workspaceField: string
  readonly operationTtlMs: number
  /** Default limit of an operation, ms. */
  readonly deadlineMs: number
  /** Counts an id that phase 1 will refuse. */
  readonly illegalId: (id: string) => void
  /** The same, and resolves once Redis has the count. @throws NotReady */
  readonly tellIllegalId: (id: string) => Promise<void>
}

export interface JobHead extends JobCall {
  /** A new job gets a target key. */
  readonly createTarget: boolean
}

/** The head of a job script for one try. @throws InvalidId */
export function jobCall(
  context: Context,
  routing: Routing,
  workspaceId: string,
  jobId: string,
  operationId?: string,
): JobHead {
  const route = routing.route(workspaceId, jobId)
  return {
    epoch: routing.epoch,
    workspaceId,
    workspaceField: context.workspaceField,
    type: context.encoding === 'hash' ? 'hash' : 'string',
    forbidden: routing.templates.forbidden,
    order: route.order,
    names: route.names,
    keys: routing.keys,
    legacyKey: route.legacyKey,
    targetKey: route.targetKey,
    createTarget: route.createTarget,
    operation: operationId === undefined ? undefined : { id: operationId },
    keepMs: context.operationTtlMs,
  }
}

/** Counts ids that phase 1 will refuse, where a job of them was found: what is only asked for holds no migration. */
export function noteIds(context: Context, routing: Routing, workspaceId: string, jobId: string): void {
  const illegal = routing.illegalId(workspaceId, jobId)
  if (illegal !== undefined) context.illegalId(illegal)
}

/**
 * The same before a job of them is made, by an operation that is in flight already.
 * @returns what is left of its limits @throws NotReady
 */
export async function tellIds(
  context: Context,
  routing: Routing,
  workspaceId: string,
  jobId: string,
  options: CallOptions,
): Promise<CallOptions> {
  const illegal = routing.illegalId(workspaceId, jobId)
  if (illegal === undefined) return options
  const started = performance.now()
  await within(context.tellIllegalId(illegal), options.deadlineMs)
  const deadlineMs = options.deadlineMs - (performance.now() - started)
  if (deadlineMs <= (options.spareMs ?? 0)) throw new NotReady('the id of the job was not counted within the deadline')
  return { ...options, deadlineMs }
}

/** The answer of a job script. @throws InvalidId where the script found that the id spells another job's target key */
export function ownName(jobId: string, answer: Answer): Answer {
  if (answer.status === 'SHARED_NAME')
    throw new InvalidId('job id', jobId, 'is the name of a target key of its workspace')
  return answer
}

/** For the key of a queue that is of another type. */
export const notAList = (key: string, type: string): Occupied =>
  new Occupied(
    `the queue ${JSON.stringify(key)} is a ${type}, not a list: nothing was done, give another key or rename that one`,
  )

export function checkOperationId(id: string | undefined): void {
  if (id === undefined) return
  if (typeof id !== 'string' || id === '' || !id.isWellFormed())
    throw new InvalidId('operation id', id, 'is no text, empty or not well-formed UTF-16')
  if (Buffer.byteLength(id) > 512) throw new InvalidId('operation id', id, 'is longer than 512 bytes')
}

/**
 * What an answer means to its caller: true, or false for a job that is not there (one of another workspace is not there
 * either, and counted). Other statuses are the caller's to judge: undefined.
 */
export function settled(
  context: Context,
  workspaceId: string,
  status: string,
  operationId?: string,
): boolean | undefined {
  switch (status) {
    case 'OK':
      context.metrics.decision(workspaceId, 'allow')
      return true
    case 'DENIED':
      context.metrics.decision(workspaceId, 'deny')
      return false
    case 'NOT_FOUND':
    case 'MALFORMED':
      return false
    case 'OPERATION_REUSED':
      throw new OperationReused(operationId ?? '')
    default:
      return undefined
  }
}
