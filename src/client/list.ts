import { performance } from 'node:perf_hooks'
import { classifyKey, legacyKey, scanPattern, targetKey } from '../protocol/templates.ts'
import { Refused, UnknownOutcome } from '../redis/errors.ts'
import { listPage, text } from '../redis/scripts.ts'
import type { Context } from './context.ts'
import { isPassing, pause } from './engine.ts'
import { InvalidArgument } from './errors.ts'
import { CALL, optionsOf } from './option-names.ts'
import type { Routing } from './routing.ts'
import type { Encoding, Job, OperationOptions } from './types.ts'
import { checkDeadline } from './steps.ts'
import { decode, readJob } from './value.ts'

const MAX_RESTARTS = 10
const PASSING_PAUSE_MS = 100

interface Candidate {
  readonly jobId: string
  readonly pair: readonly [string, string]
}

/**
 * Every job of the workspace once. A SCAN gives names, one script a page reads those that may be the workspace's. Ids seen
 * are kept until the end: a SCAN may give a name twice, and a job with both keys has two.
 */
export async function* listJobs<E extends Encoding>(
  context: Context,
  encoding: E,
  workspaceId: string,
  given: (OperationOptions & { readonly pageSize?: number | undefined }) | undefined,
): AsyncIterableIterator<Job<E>> {
  const options = optionsOf('list', { ...CALL, pageSize: true }, given)
  const { pageSize = 200, signal, deadlineMs = context.deadlineMs } = options
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 1000)
    throw new InvalidArgument('pageSize must be a whole number from 1 to 1000')
  checkDeadline(deadlineMs)
  // Of no names: the workspace is judged before anything is sent.
  await readPage(context, encoding, workspaceId, [], options)
  const seen = new Set<string>()
  const scan = new Scan(context, pageSize, deadlineMs)
  do {
    signal?.throwIfAborted()
    const names = await scan.next()
    for (const page of chunks(names, pageSize))
      for (const job of await readPage(context, encoding, workspaceId, page, options)) {
        if (seen.has(job.jobId)) continue
        seen.add(job.jobId)
        yield decode(context.codec, job) as Job<E>
      }
  } while (!scan.done)
}

/** A SCAN from its beginning to its end. A cursor is good only for the process that gave it: a new socket begins again. */
class Scan {
  readonly #context: Context
  readonly #count: number
  readonly #deadlineMs: number
  #cursor = '0'
  #generation = -1
  #restarts = 0
  done = false

  constructor(context: Context, count: number, deadlineMs: number) {
    this.#context = context
    this.#count = count
    this.#deadlineMs = deadlineMs
  }

  async next(): Promise<string[]> {
    const { connection, templates } = this.#context
    const end = performance.now() + this.#deadlineMs
    for (;;) {
      if (connection.generation !== this.#generation) this.#restart()
      try {
        const args = ['SCAN', this.#cursor, 'MATCH', scanPattern(templates), 'COUNT', this.#count] as const
        const reply = await connection.call(args, { deadlineMs: end - performance.now(), read: true })
        if (!Array.isArray(reply) || !Array.isArray(reply[1])) {
          connection.distrust('a reply did not belong to its call')
          continue
        }
        // The socket was another one by the time the cursor was sent.
        if (this.#cursor !== '0' && connection.generation !== this.#generation) continue
        this.#generation = connection.generation
        this.#cursor = text(reply[0])
        this.done = this.#cursor === '0'
        return reply[1].map(text)
      } catch (error) {
        // Repeating is safe; a refusal stays one, unless it is for the moment only.
        const pauseMs = isPassing(error) ? PASSING_PAUSE_MS : 0
        if ((error instanceof Refused && pauseMs === 0) || performance.now() + pauseMs >= end) throw error
        if (pauseMs > 0) await pause(pauseMs)
      }
    }
  }

  #restart(): void {
    if (this.#cursor === '0') return
    this.#cursor = '0'
    this.#restarts += 1
    if (this.#restarts > MAX_RESTARTS)
      throw new UnknownOutcome(`the connection was lost ${MAX_RESTARTS} times during one list`)
  }
}

async function readPage<E extends Encoding>(
  context: Context,
  encoding: E,
  workspaceId: string,
  names: readonly string[],
  options: OperationOptions,
): Promise<Job<E>[]> {
  let candidates: readonly Candidate[] = []
  const { answer } = await context.engine.run(
    {
      name: 'list',
      workspaceId,
      read: true,
      send: async (routing, connection, o) => {
        routing.checkWorkspace(workspaceId)
        if (names.length === 0) return { status: 'OK', rest: [] }
        candidates = names.flatMap((name) => candidate(context, routing, workspaceId, name) ?? [])
        return listPage(
          connection,
          {
            epoch: routing.epoch,
            workspaceId,
            workspaceField: context.workspaceField,
            type: encoding === 'hash' ? 'hash' : 'string',
            order: routing.phaseIndex <= 1 ? 'L' : 'LT',
            keys: routing.keys,
            pairs: candidates.map((c) => c.pair),
          },
          { ...o, buffers: true },
        )
      },
    },
    options,
  )
  const jobs: Job<E>[] = []
  for (let i = 0; i < answer.rest.length; i += 3) {
    const found = candidates[Number(answer.rest[i]) - 1]
    if (found !== undefined) jobs.push(readJob(encoding, found.jobId, answer.rest[i + 1], answer.rest[i + 2]))
  }
  return jobs
}

function candidate(context: Context, routing: Routing, workspaceId: string, name: string): Candidate | undefined {
  const t = context.templates
  const read = classifyKey(t, name)
  if (read.kind === 'legacy') return { jobId: read.jobId, pair: [name, name] }
  const inLegacy = routing.phase === 'Legacy'
  if (read.kind === 'target' && routing.targets && (read.workspaceId === workspaceId || !inLegacy)) {
    if (read.workspaceId !== workspaceId) return undefined
    return { jobId: read.jobId, pair: [legacyKey(t, read.jobId), targetKey(t, workspaceId, read.jobId)] }
  }
  // In Legacy, also after a rollback, such ids work. What an earlier run left on target holds another workspace than the
  // caller's, and the script passes it over.
  const [prefix = '', suffix = ''] = t.legacy.literals
  if (!inLegacy || !name.startsWith(prefix) || !name.endsWith(suffix)) return undefined
  const jobId = name.slice(prefix.length, name.length - suffix.length)
  return jobId === '' ? undefined : { jobId, pair: [name, name] }
}

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size)
}
