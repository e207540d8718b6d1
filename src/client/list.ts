import { performance } from 'node:perf_hooks'
import { classifyKey, legacyKey, scanPattern, targetKey } from '../protocol/templates.ts'
import { listPage } from '../redis/scripts.ts'
import type { Context } from './context.ts'
import { InvalidArgument } from './errors.ts'
import type { Routing } from './routing.ts'
import type { Encoding, Job, OperationOptions } from './types.ts'
import { readJob } from './value.ts'

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
  options: OperationOptions & { readonly pageSize?: number },
): AsyncIterableIterator<Job<E>> {
  const { pageSize = 200, signal, deadlineMs = context.deadlineMs } = options
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 1000)
    throw new InvalidArgument('pageSize must be a whole number from 1 to 1000')
  const seen = new Set<string>()
  let cursor = '0'
  do {
    signal?.throwIfAborted()
    const [next, names] = await scan(context, cursor, pageSize, deadlineMs)
    cursor = next
    for (const jobs of chunks(names, pageSize))
      for (const job of await readPage(context, encoding, workspaceId, jobs, options)) {
        if (seen.has(job.jobId)) continue
        seen.add(job.jobId)
        yield job
      }
  } while (cursor !== '0')
}

async function scan(context: Context, cursor: string, count: number, deadlineMs: number): Promise<[string, string[]]> {
  const end = performance.now() + deadlineMs
  for (;;) {
    try {
      const args = ['SCAN', cursor, 'MATCH', scanPattern(context.templates), 'COUNT', count] as const
      return (await context.connection.call(args, { deadlineMs: end - performance.now() })) as [string, string[]]
    } catch (error) {
      // Repeating is safe, but a cursor is good only for the process that gave it.
      if (cursor !== '0' || performance.now() >= end) throw error
    }
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
          { ...o, buffers: encoding === 'json' },
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
  if (read.kind === 'target' && routing.epoch > 1) {
    if (read.workspaceId !== workspaceId) return undefined
    return { jobId: read.jobId, pair: [legacyKey(t, read.jobId), targetKey(t, workspaceId, read.jobId)] }
  }
  // Before the first step nothing is on target yet: a name with the delimiter in it is a job of such an id.
  const [prefix = '', suffix = ''] = t.legacy.literals
  if (routing.epoch > 1 || !name.startsWith(prefix) || !name.endsWith(suffix)) return undefined
  return { jobId: name.slice(prefix.length, name.length - suffix.length), pair: [name, name] }
}

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size)
}
