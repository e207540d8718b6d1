import { Refused } from '../../redis/errors.ts'
import type { WorkerContext } from '../context.ts'
import { parseInfo, type Info } from '../server-facts.ts'

/** What the server says of itself; undefined where it refuses to say. */
export interface ServerFacts {
  readonly info: Info | undefined
  /** CONFIG GET save: '' when no snapshot is taken. */
  readonly save: string | undefined
  /** Queue key -> type, `none` while it is empty. */
  readonly queueTypes: ReadonlyMap<string, string>
}

type Io = Pick<WorkerContext, 'redis' | 'limits' | 'work'>

/** @throws NotReady, UnknownOutcome */
export async function gatherFacts(io: Io): Promise<ServerFacts> {
  const info = (await ask(io, ['INFO'])) as string | undefined
  const save = (await ask(io, ['CONFIG', 'GET', 'save'])) as string[] | undefined
  const queueTypes = new Map<string, string>()
  for (const queue of io.work.spec.queues) {
    const type = (await ask(io, ['TYPE', queue])) as string | undefined
    if (type !== undefined) queueTypes.set(queue, type)
  }
  return { info: info === undefined ? undefined : parseInfo(info), save: save?.[1], queueTypes }
}

/** The reply, or undefined where the server refuses the command. */
async function ask(io: Io, args: readonly [string, ...string[]]): Promise<unknown> {
  try {
    return await io.redis.call(args, { deadlineMs: io.limits.callMs })
  } catch (error) {
    if (error instanceof Refused && ['NOPERM', 'ERR'].includes(error.redisCode)) return undefined
    throw error
  }
}
