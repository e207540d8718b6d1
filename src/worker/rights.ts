import { randomBytes } from 'node:crypto'
import { controlKeys } from '../protocol/control-keys.ts'
import { legacyKey, targetKey, scanPattern } from '../protocol/templates.ts'
import { Refused } from '../redis/errors.ts'
import { workerKeys } from './batch.ts'
import type { WorkerContext } from './context.ts'
import type { Work } from './work-spec.ts'

/** One command that the worker uses, on keys that are not there, so that it changes nothing if it is run. */
export interface NeededRight {
  readonly args: readonly [string, ...string[]]
  /** As it is granted, for example `+memory|usage`. */
  readonly command: string
  /** Key pattern that it needs besides. */
  readonly keys?: string
}

export type Rights =
  | { readonly known: true; readonly user: string; readonly missing: readonly string[] }
  | { readonly known: false; readonly why: string }

/** What to do about missing rights. */
export function missingRights({ user, missing }: Extract<Rights, { known: true }>): string {
  return `the Redis user ${user} lacks rights: ACL SETUSER ${user} ${missing.join(' ')}`
}

type Io = Pick<WorkerContext, 'redis' | 'limits' | 'work'>

/** Every command of every kind of work, those inside scripts included. A test holds it against the scripts. */
export function neededRights({ spec, templates }: Work): NeededRight[] {
  const job = `keyshift-preflight-${randomBytes(8).toString('hex')}`
  const legacy = legacyKey(templates, job)
  const target = targetKey(templates, 'keyshift-preflight', job)
  const [fence, record, work] = workerKeys({ spec, templates } as Work)
  const kept = controlKeys(templates.controlPrefix).kept + job
  const control = `${templates.controlPrefix}*`
  const patterns = { legacy: legacyKey(templates, '*'), target: targetKey(templates, '*', '*') }
  const on = (keys: string, ...args: [string, ...string[]]): NeededRight => ({
    args,
    command: `+${args[0].toLowerCase()}`,
    keys,
  })
  const sides = [
    [legacy, patterns.legacy],
    [target, patterns.target],
  ] as const
  return [
    // The hash of no script: the answer is NOSCRIPT to whoever may ask.
    { args: ['EVALSHA', '0'.repeat(40), '0'], command: '+evalsha' },
    { args: ['EVAL', '#!lua flags=no-writes\nreturn 1', '0'], command: '+eval' },
    { args: ['INFO', 'server'], command: '+info' },
    { args: ['TIME'], command: '+time' },
    { args: ['SCAN', '0', 'MATCH', scanPattern(templates), 'COUNT', '1'], command: '+scan' },
    on(control, 'GET', fence),
    on(control, 'HMGET', record, 'phase'),
    on(control, 'HKEYS', work),
    on(control, 'HGETALL', work),
    on(control, 'HSET', work, 'probe', '1'),
    on(control, 'HDEL', work, 'probe'),
    ...sides.flatMap(([key, pattern]) => [
      on(pattern, 'TYPE', key),
      on(pattern, 'GET', key),
      on(pattern, 'HGET', key, spec.workspaceField),
      on(pattern, 'HMGET', key, spec.workspaceField),
      on(pattern, 'HGETALL', key),
      on(pattern, 'HSCAN', key, '0'),
      on(pattern, 'HLEN', key),
      on(pattern, 'PEXPIRETIME', key),
    ]),
    on(patterns.legacy, 'STRLEN', legacy),
    { args: ['MEMORY', 'USAGE', legacy], command: '+memory|usage', keys: patterns.legacy },
    { args: ['COPY', legacy, target], command: '+copy', keys: `${patterns.legacy} ~${patterns.target}` },
    on(patterns.target, 'UNLINK', target),
    { args: ['COPY', target, kept], command: '+copy', keys: `${patterns.target} ~${control}` },
    on(control, 'PEXPIREAT', kept, '1'),
  ]
}

/**
 * Asks for all rights at once: by ACL DRYRUN, or, where that is refused, by running each command on keys that are not
 * there.
 * @throws NotReady, UnknownOutcome
 */
export async function checkRights(io: Io): Promise<Rights> {
  const needed = neededRights(io.work)
  const user = await reply(io, ['ACL', 'WHOAMI'])
  if (user.ok) {
    const dry = await collect(needed, (right) => reply(io, ['ACL', 'DRYRUN', String(user.value), ...right.args]))
    if (dry !== undefined) return { known: true, user: String(user.value), missing: dry }
  }
  const run = await collect(needed, (right) => reply(io, right.args))
  if (run !== undefined) return { known: true, user: user.ok ? String(user.value) : '<user>', missing: run }
  return { known: false, why: 'the server neither answers ACL DRYRUN nor lets the commands be tried' }
}

type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Refused }

/** Missing rights, or undefined as soon as an answer says nothing about rights. */
async function collect(needed: readonly NeededRight[], ask: (right: NeededRight) => Promise<Answer>) {
  const missing = new Set<string>()
  for (const right of needed) {
    const answer = await ask(right)
    const verdict = answer.ok ? String(answer.value) : answer.error.message
    if (/no permissions? to (run|execute)/i.test(verdict)) missing.add(right.command)
    else if (/no permissions? to access|can't access at least one of the keys/i.test(verdict)) {
      missing.add(`~${right.keys ?? ''}`)
    } else if (!answer.ok && answer.error.redisCode !== 'NOSCRIPT') return undefined
  }
  return [...missing].flatMap((m) => m.split(' ')).filter((m, i, all) => all.indexOf(m) === i)
}

async function reply(io: Io, args: readonly [string, ...string[]]): Promise<Answer> {
  try {
    return { ok: true, value: await io.redis.call(args, { deadlineMs: io.limits.callMs }) }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, error }
    throw error
  }
}
