import { makeJobStore } from '../../../src/client/jobs.ts'
import type { Context } from '../../../src/client/context.ts'
import type { Engine, Operation as Try } from '../../../src/client/engine.ts'
import { makeMetrics } from '../../../src/client/metrics.ts'
import { QueueConsumer } from '../../../src/client/queue.ts'
import { Routing } from '../../../src/client/routing.ts'
import type { Encoding, JobStore, MutateCommand, Queue } from '../../../src/client/types.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import type { Connection, RedisArg } from '../../../src/redis/connection.ts'
import { KeyshiftError, NotReady, Refused, StaleEpoch } from '../../../src/redis/errors.ts'
import { SCRIPTS, type ScriptName } from '../../../src/redis/scripts.generated.ts'
import { text, type Answer } from '../../../src/redis/scripts.ts'
import type { Bench } from './bench.ts'
import { documentNamed, INPUT } from './samples.ts'
import { toWire, type Span, type Wire } from './wire.ts'

/** What a caller asks of a client, by the names of docs/client-api.md. */
export type Operation =
  | ({
      readonly name: 'create'
      readonly value: Readonly<Record<string, string>> | string
      readonly expiresAt?: number
      readonly ttlMs?: number
      readonly queue?: string
    } & OnJob)
  | ({ readonly name: 'push'; readonly queue: string } & OnJob)
  | ({ readonly name: 'get' | 'delete' } & OnJob)
  | ({
      readonly name: 'update'
      readonly fields: Readonly<Record<string, string>>
      readonly expect?: Readonly<Record<string, string | null>>
    } & OnJob)
  | ({ readonly name: 'update'; readonly text: string } & OnJob)
  | ({ readonly name: 'mutate'; readonly commands: readonly (readonly string[])[] } & OnJob)
  | ({ readonly name: 'expire'; readonly expiresAt?: number; readonly ttlMs?: number; readonly persist?: true } & OnJob)
  | { readonly name: 'list'; readonly workspaceId: string; readonly scanned: readonly string[] }
  | {
      readonly name: 'dequeue'
      readonly queue: string
      readonly leaseMs: number
      readonly then?: 'read' | 'ack' | 'nack' | 'extend'
    }
  | { readonly name: 'reap'; readonly queue: string; readonly leaseMs: number }

interface OnJob {
  readonly workspaceId: string
  readonly jobId: string
  readonly operationId?: string
}

export interface Call {
  readonly script: ScriptName
  readonly keys: readonly string[]
  readonly argv: Wire[]
  readonly answer: Wire
}

export type Outcome = ({ readonly result: unknown } | { readonly error: string }) & {
  /** The id that is handed in as one that phase 1 refuses, before the first script is sent. */
  readonly countedBefore?: string
}

/** The token of every call in the vectors. */
export const TOKEN = 'token'

/** A connection that runs scripts on the bench, under one token, and writes down what it sent and what came back. */
export function recorder(bench: Bench): { connection: Connection; calls: Call[]; spans: Span[] } {
  const calls: Call[] = []
  const spans: Span[] = []
  const connection = {
    state: 'ready',
    generation: 1,
    runScript: async (
      script: ScriptName,
      keys: readonly RedisArg[],
      args: readonly RedisArg[],
      { buffers = false } = {},
    ) => {
      const names = keys.map(String)
      const sent = args.map((arg) => (Buffer.isBuffer(arg) ? arg : String(arg)))
      const { reply, span } = await bench.run(SCRIPTS[script].source, names, [TOKEN, ...sent.slice(1)])
      spans.push(span)
      const argv = toWire(
        [TOKEN, ...sent.slice(1)].map((arg) => Buffer.from(arg)),
        spans,
      )
      calls.push({ script, keys: names, argv: argv as Wire[], answer: (toWire(reply, [span]) as Wire[]).slice(1) })
      return decoded([Buffer.from(String(args[0])), ...(reply as unknown[]).slice(1)], buffers)
    },
  }
  return { connection: connection as unknown as Connection, calls, spans }
}

const decoded = (reply: unknown, buffers: boolean): unknown =>
  Array.isArray(reply)
    ? reply.map((item) => decoded(item, buffers))
    : Buffer.isBuffer(reply) && !buffers
      ? reply.toString()
      : reply

/** Runs one operation of the client, each of its scripts tried once. */
export async function tryOnce(
  connection: Connection,
  document: string | null,
  encoding: Encoding,
  operation: Operation,
): Promise<Outcome> {
  const doc = documentNamed(document)
  const { legacy, target, workspaceField } = doc ?? INPUT
  const templates = parseTemplates(legacy, target)
  const routing = new Routing(templates, doc)
  const engine = {
    run: async (attempt: Try) => ({
      routing,
      answer: judged(routing, await attempt.send(routing, connection, { deadlineMs: 5000 })),
    }),
  }
  let counted: Pick<Outcome, 'countedBefore'> = {}
  const context: Context = {
    connection: withNames(connection, operation.name === 'list' ? operation.scanned : []),
    engine: engine as unknown as Engine,
    metrics: makeMetrics(undefined, async () => new Map()),
    templates,
    encoding,
    codec: undefined,
    workspaceField,
    operationTtlMs: 600_000,
    deadlineMs: 5000,
    illegalId: () => undefined,
    tellIllegalId: async (id) => void (counted = { countedBefore: id }),
  }
  try {
    const result = (await perform(context, encoding, operation)) ?? null
    return { ...counted, result }
  } catch (error) {
    if (error instanceof KeyshiftError) return { ...counted, error: error.code }
    throw error
  }
}

function judged(routing: Routing, answer: Answer): Answer {
  if (answer.status === 'STALE_EPOCH') throw new StaleEpoch(routing.epoch, Number(answer.rest[0]))
  if (answer.status === 'NO_FENCE') throw new NotReady('no fence')
  if (answer.status === 'NOPERM') throw new Refused('NOPERM', text(answer.rest[0]))
  return answer
}

// The order in which SCAN gives names differs from server to server.
function withNames(connection: Connection, names: readonly string[]): Connection {
  return Object.assign(Object.create(connection) as Connection, { call: async () => ['0', names] })
}

async function perform(context: Context, encoding: Encoding, op: Operation): Promise<unknown> {
  if (op.name === 'dequeue' || op.name === 'reap')
    return performOnQueue(new QueueConsumer(context, encoding, op.queue), op)
  const store: JobStore<Encoding> = makeJobStore(context, encoding, op.workspaceId)
  switch (op.name) {
    case 'create':
      return store.create(op.jobId, op.value, given(op, ['expiresAt', 'ttlMs', 'queue', 'operationId']))
    case 'push':
      return store.push(op.jobId, { queue: op.queue })
    case 'get':
      return store.get(op.jobId)
    case 'delete':
      return store.delete(op.jobId, given(op, ['operationId']))
    case 'mutate':
      return store.mutate(
        op.jobId,
        op.commands as readonly unknown[] as readonly MutateCommand[],
        given(op, ['operationId']),
      )
    case 'expire':
      return store.expire(
        op.jobId,
        given(op, ['expiresAt', 'ttlMs', 'persist']) as { ttlMs: number },
        given(op, ['operationId']),
      )
    case 'update': {
      const options = given(op, ['expect', 'operationId'])
      if ('text' in op) return (store as JobStore<'json'>).update(op.jobId, () => op.text, { ...options, maxTries: 1 })
      return (store as JobStore<'hash'>).update(op.jobId, op.fields, options)
    }
    case 'list':
      return all(store.list())
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function performOnQueue(
  queue: Queue<Encoding>,
  op: Extract<Operation, { queue: string; leaseMs: number }>,
): Promise<unknown> {
  if (op.name === 'reap') return queue.reap({ leaseMs: op.leaseMs })
  const delivery = await queue.dequeue({ leaseMs: op.leaseMs })
  if (delivery === undefined) return undefined
  const delivered = { workspaceId: delivery.workspaceId ?? null, jobId: delivery.jobId }
  if (op.then === undefined) return delivered
  const then = await delivery[op.then]()
  return op.then === 'read' ? { ...delivered, read: then ?? null } : delivered
}

const given = <T extends object>(op: T, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(op).filter(([name]) => names.includes(name)))
