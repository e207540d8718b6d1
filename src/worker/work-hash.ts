import type { Finding, WorkResult } from '../protocol/work.ts'
import { workerKeys } from './batch.ts'
import type { WorkerContext } from './context.ts'
import { MAX_SAMPLES } from './batch.ts'

type Io = Pick<WorkerContext, 'redis' | 'work' | 'limits'>

/** The work hash as it stands: counts by name, and samples by sort. */
export class WorkHash {
  readonly #fields: ReadonlyMap<string, string>
  constructor(fields: ReadonlyMap<string, string>) {
    this.#fields = fields
  }

  get(name: string): string {
    return this.#fields.get(name) ?? ''
  }

  count(name: string): number {
    return Number(this.get(name) || '0')
  }

  /** Samples of one sort, by key. */
  samples(sort: string): Finding[] {
    const prefix = `sample:${sort}:`
    return [...this.#fields]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, why]) => ({ key: name.slice(prefix.length), why }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, MAX_SAMPLES)
  }
}

/** @throws Refused, NotReady, UnknownOutcome */
export async function readWorkHash(io: Io): Promise<WorkHash> {
  const [, , key] = workerKeys(io.work)
  const reply = (await io.redis.call(['HGETALL', key], { deadlineMs: io.limits.callMs })) as string[]
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < reply.length; i += 2) fields.set(reply[i] ?? '', reply[i + 1] ?? '')
  return new WorkHash(fields)
}

export type Finish = 'OK' | 'DONE' | 'NOT_ENDED' | 'NOT_OURS'

/**
 * Writes the result made from `hash`, once: of several workers the first one wins. Repeating it is harmless. NOT_ENDED also
 * where another worker has gone on since `hash` was read: its findings are not in this result.
 */
export async function finishWork(io: Io, result: WorkResult, hash: WorkHash): Promise<Finish> {
  return finish(io, [
    result.kind,
    io.work.spec.run,
    'done',
    JSON.stringify(result),
    hash.get('lineage'),
    hash.get('updatedAt'),
  ])
}

/** Notes why the work ended without a result; a result that is there already stays. */
export async function failWork(io: Io, state: 'failed' | 'refused', error: string): Promise<Finish> {
  const { kind, run } = io.work.spec
  return finish(io, [kind, run, state, error.replaceAll(/\s+/g, ' ').slice(0, 1000)])
}

async function finish(io: Io, args: readonly string[]): Promise<Finish> {
  return (await io.redis.runScript('worker-finish', workerKeys(io.work), args, {
    deadlineMs: io.limits.callMs,
  })) as Finish
}
