import type { CallOptions, Connection } from '../redis/connection.ts'
import * as scripts from '../redis/scripts.ts'
import { text } from '../redis/scripts.ts'
import { queueEntry, readQueueEntry } from '../protocol/queue-entry.ts'
import {
  checkOperationId,
  jobCall,
  noteIds,
  notAList,
  ownName,
  settled,
  tellIds,
  type Context,
  type JobHead,
} from './context.ts'
import { Conflict, InvalidArgument, InvalidId, JobExists, WorkspaceMismatch } from './errors.ts'
import {
  checkQueue,
  creationExpiry,
  expectArgs,
  expiryArg,
  fieldArgs,
  mutateArgs,
  textOf,
  valueArgs,
} from './arguments.ts'
import { pause } from './engine.ts'
import { listJobs } from './list.ts'
import { CREATE, optionsOf, READ, WRITE } from './option-names.ts'
import type { Served } from './metrics.ts'
import type { Routing } from './routing.ts'
import type {
  CreateOptions,
  Encoding,
  Job,
  JobStore,
  OperationOptions,
  UpdateHash,
  UpdateText,
  WriteOptions,
} from './types.ts'
import { stepsOf } from './steps.ts'
import { decode, readJob } from './value.ts'

const MAX_TRIES = 10

/** The store of one workspace: see JobStore. */
export function makeJobStore<E extends Encoding>(context: Context, encoding: E, workspaceId: string): JobStore<E> {
  const job: Target = { context, workspaceId }
  const store: JobStore<Encoding> = {
    workspaceId,
    create: async (jobId, value, given) => {
      const options = optionsOf('create', CREATE, given)
      const { queue } = options
      return create(job, jobId, value, options, queue === undefined ? undefined : checkQueue(queue))
    },
    enqueue: async (jobId, value, given) => {
      const options = optionsOf('enqueue', CREATE, given)
      return create(job, jobId, value, options, checkQueue(options.queue))
    },
    push: async (jobId, given) => {
      const options = optionsOf('push', { ...WRITE, queue: true }, given)
      const queue = checkQueue(options.queue)
      return write(job, 'push', jobId, options, (routing, c, call, o) =>
        scripts.pushJob(c, call, entryFor(routing, workspaceId, jobId, queue), o),
      )
    },
    get: async (jobId, options) => {
      const found = await getJob(context, encoding, workspaceId, jobId, optionsOf('get', READ, options))
      return found && (decode(context.codec, found) as Job<Encoding>)
    },
    update: (encoding === 'hash' ? updateHash(job) : updateText(job)) as JobStore<Encoding>['update'],
    mutate: async (jobId, commands, given) => {
      if (encoding !== 'hash') throw new InvalidArgument('mutate is for hashes: use update for texts')
      const options = optionsOf('mutate', WRITE, given)
      const args = mutateArgs(commands)
      const { answer, done } = await attempt(job, 'mutate', jobId, options, (_, c, call, o) =>
        scripts.mutateJob(c, call, args, o),
      )
      if (done === undefined) throw refusal(job, 'mutate', jobId, answer, options)
      return done ? answer.rest.slice(1).map(text) : undefined
    },
    delete: async (jobId, given) => {
      const options = optionsOf('delete', WRITE, given)
      return write(job, 'delete', jobId, options, (_, c, call, o) => scripts.deleteJob(c, call, o))
    },
    expire: async (jobId, expiry, given) => {
      const options = optionsOf('expire', WRITE, given)
      const arg = expiryArg(expiry)
      return write(job, 'expire', jobId, options, (_, c, call, o) => scripts.expireJob(c, call, arg, o))
    },
    list: (options) => listJobs(context, encoding, workspaceId, options),
  }
  return store as unknown as JobStore<E>
}

interface Target {
  readonly context: Context
  readonly workspaceId: string
}
type Send = (routing: Routing, connection: Connection, call: JobHead, options: CallOptions) => Promise<scripts.Answer>

// `done`: true, false (not there), or undefined where the answer needs judging.
async function attempt(
  { context, workspaceId }: Target,
  name: string,
  jobId: string,
  options: WriteOptions,
  send: Send,
) {
  checkOperationId(options.operationId)
  const { answer, routing } = await context.engine.run(
    {
      name,
      workspaceId,
      read: false,
      remembered: options.operationId !== undefined,
      // async: what it throws rejects.
      send: async (routing, connection, o) =>
        ownName(
          jobId,
          await send(routing, connection, jobCall(context, routing, workspaceId, jobId, options.operationId), o),
        ),
    },
    options,
  )
  if (name !== 'create' && answer.status === 'OK') noteIds(context, routing, workspaceId, jobId)
  return { answer, routing, done: settled(context, workspaceId, answer.status, options.operationId) }
}

async function write(job: Target, name: string, jobId: string, options: WriteOptions, send: Send): Promise<boolean> {
  const { answer, done } = await attempt(job, name, jobId, options, send)
  if (done === undefined) throw refusal(job, name, jobId, answer, options)
  return done
}

function refusal(
  { context }: Target,
  name: string,
  jobId: string,
  answer: scripts.Answer,
  options: WriteOptions & { readonly queue?: string | undefined },
): Error {
  const detail = answer.rest.length === 0 ? undefined : text(answer.rest[0])
  switch (answer.status) {
    case 'CONFLICT':
      return new Conflict(jobId, detail)
    case 'WORKSPACE':
      return new WorkspaceMismatch(jobId, context.workspaceField)
    case 'QUEUE':
      return notAList(options.queue ?? '', detail ?? '')
    case 'EXPIRY':
      return new InvalidArgument(`job ${JSON.stringify(jobId)} would expire in the past`)
    default:
      return new InvalidArgument(`${name} of job ${JSON.stringify(jobId)}: ${detail ?? answer.status}`)
  }
}

function entryFor(routing: Routing, workspaceId: string, jobId: string, queue: string): { key: string; entry: string } {
  const entry = queueEntry(routing.templates, routing.phase, workspaceId, jobId)
  // After a walk back queues may still hold entries of pairs, and consumers take this one for such.
  if (routing.phase === 'Legacy' && routing.targets && readQueueEntry(routing.templates, entry).form === 'pair')
    throw new InvalidId('job id', jobId, 'reads as the queue entry of another job')
  return { key: queue, entry }
}

async function create(
  job: Target,
  jobId: string,
  value: unknown,
  options: CreateOptions,
  queue: string | undefined,
): Promise<void> {
  const { context, workspaceId } = job
  const expiry = creationExpiry(options)
  const args = valueArgs(context, workspaceId, jobId, value)
  let toTarget = false
  const { answer, routing } = await attempt(job, 'create', jobId, options, async (routing, c, call, limits) => {
    toTarget = call.createTarget
    const entry = queue === undefined ? undefined : entryFor(routing, workspaceId, jobId, queue)
    const o = await tellIds(context, routing, workspaceId, jobId, limits)
    return scripts.createJob(c, call, { toTarget, expiry, queue: entry, value: args }, o)
  })
  if (answer.status === 'OK') {
    context.metrics.job(workspaceId, 'created')
    context.metrics.created(routing.name, toTarget)
    return
  }
  // Also another workspace's: job ids are unique over all of them.
  if (answer.status === 'EXISTS' || answer.status === 'DENIED' || answer.status === 'MALFORMED')
    throw new JobExists(jobId)
  throw refusal(job, 'create', jobId, answer, options)
}

export async function getJob<E extends Encoding>(
  context: Context,
  encoding: E,
  workspaceId: string,
  jobId: string,
  options?: OperationOptions,
  head: typeof jobCall = jobCall,
): Promise<Job<E> | undefined> {
  const { answer, routing } = await context.engine.run(
    {
      name: 'get',
      workspaceId,
      read: true,
      send: async (routing, connection, o) =>
        ownName(
          jobId,
          await scripts.getJob(connection, head(context, routing, workspaceId, jobId), { ...o, buffers: true }),
        ),
    },
    options,
  )
  if (settled(context, workspaceId, answer.status) !== true) {
    context.metrics.read(routing.name, 'none')
    return undefined
  }
  // Without a usable workspace there is only the job's id to judge.
  noteIds(context, routing, workspaceId === '' ? jobId : workspaceId, jobId)
  const [served, unscoped, expiry, value] = answer.rest
  context.metrics.read(routing.name, text(served) as Served)
  if (text(unscoped) === '1') context.metrics.unscoped(routing.name)
  return readJob(encoding, jobId, expiry, value)
}

function updateHash(job: Target): UpdateHash {
  return async (jobId, fields, given) => {
    const options = optionsOf('update of a hash', { ...WRITE, expect: true }, given)
    const set = fieldArgs(fields, 'update takes the fields to set and their texts')
    const expect = expectArgs(options.expect ?? {})
    if (set.length === 0) throw new InvalidArgument('update needs at least one field')
    return write(job, 'update', jobId, options, (_, c, call, o) => scripts.updateJob(c, call, { expect, set }, o))
  }
}

function updateText(job: Target): UpdateText {
  const { context, workspaceId } = job
  return async (jobId, change, given) => {
    const options = optionsOf('update of a text', { ...WRITE, maxTries: true }, given)
    const { maxTries = MAX_TRIES } = options
    if (typeof change !== 'function')
      throw new InvalidArgument('update of a text takes a function that makes the new one')
    if (!(maxTries >= 1)) throw new InvalidArgument('maxTries must be 1 or more')
    // `change` may take all the time there is.
    const steps = stepsOf(options, context.deadlineMs)
    for (let tries = 1; ; tries += 1) {
      const old = await getJob(context, 'json', workspaceId, jobId, tries === 1 ? options : steps.next())
      // A repeat whose job is gone by now: what is remembered of the first one answers it.
      if (old === undefined && options.operationId === undefined) return false
      const changed = old && (await change(decode(context.codec, old).value as string))
      const text = old ? textOf(context, changed, 'the function given to update must return well-formed text') : ''
      try {
        return await write(job, 'update', jobId, steps.next(), (_, c, call, o) =>
          scripts.updateText(c, call, { old: old?.value ?? '', text }, o),
        )
      } catch (error) {
        if (!(error instanceof Conflict) || tries >= maxTries) throw error
      }
      await pause(Math.random() * 5 * tries, options.signal)
    }
  }
}
