import { randomBytes } from 'node:crypto'
import { controlKeys } from '../protocol/control-keys.ts'
import { legacyKey, scanPattern, targetKey, type KeyTemplates } from '../protocol/templates.ts'

/** One command that a Redis user needs, on keys that are not there, so that it changes nothing where it is run. */
export interface NeededRight {
  readonly args: readonly [string, ...string[]]
  /** As it is granted, for example `+memory|usage`. */
  readonly command: string
  /** Key patterns that it needs, as they are granted, for example `~ai:job:*`. */
  readonly keys: readonly string[]
  /** What cannot be told without it, while all else works. */
  readonly tells?: 'writers' | 'persistence' | 'queue types'
}

export interface RightsInput {
  readonly templates: KeyTemplates
  readonly workspaceField: string
  /** Keys of the queues. */
  readonly queues: readonly string[]
}

/** Whatever the user of `redis.credentialsSecretRef` needs: the operator and the worker Jobs. */
export function keyshiftRights(input: RightsInput): NeededRight[] {
  return [...operatorRights(input), ...workerRights(input), ...preflightRights(input)]
}

/** What the operator runs, within its scripts and by itself. */
export function operatorRights({ templates }: RightsInput): NeededRight[] {
  const { control, pattern, job } = namesOf(templates)
  const keys = controlKeys(templates.controlPrefix)
  const on = (...args: [string, ...string[]]): NeededRight => right(args, [pattern.control])
  return [
    ...SCRIPTING,
    { ...right(['CLIENT', 'SETNAME', 'keyshift'], []), tells: 'writers' },
    { ...right(['CLIENT', 'LIST'], []), tells: 'writers' },
    { ...right(['CLIENT', 'ID'], []), tells: 'writers' },
    { ...right(['ACL', 'WHOAMI'], []), tells: 'writers' },
    { ...right(['ACL', 'DRYRUN', 'default', 'PING'], []), tells: 'writers' },
    right(['WAIT', '0', '1'], []),
    on('GET', keys.fence),
    on('SET', control, '1'),
    on('EXISTS', keys.backfilled),
    on('TYPE', keys.record),
    on('HMGET', keys.record, 'epoch'),
    on('HGETALL', keys.record),
    on('HSET', keys.work(job), 'probe', '1'),
    on('HDEL', keys.work(job), 'probe'),
    on('DEL', keys.work(job)),
    on('HGET', keys.work(job), 'probe'),
    on('COPY', keys.work(job), control),
  ]
}

/** Every command of every kind of work, those inside scripts included. */
export function workerRights({ templates, workspaceField }: RightsInput): NeededRight[] {
  const { legacy, target, pattern, job } = namesOf(templates)
  const keys = controlKeys(templates.controlPrefix)
  const work = keys.work(job)
  const kept = keys.kept + job
  const on = (keyPattern: string, ...args: [string, ...string[]]): NeededRight => right(args, [keyPattern])
  const sides = [
    [legacy, pattern.legacy],
    [target, pattern.target],
  ] as const
  return [
    ...SCRIPTING,
    right(['SCAN', '0', 'MATCH', scanPattern(templates), 'COUNT', '1'], []),
    on(pattern.control, 'GET', keys.fence),
    on(pattern.control, 'HMGET', keys.record, 'phase'),
    on(pattern.control, 'HKEYS', work),
    on(pattern.control, 'HGETALL', work),
    on(pattern.control, 'HSET', work, 'probe', '1'),
    on(pattern.control, 'HDEL', work, 'probe'),
    ...sides.flatMap(([key, keyPattern]) => [
      on(keyPattern, 'TYPE', key),
      on(keyPattern, 'GET', key),
      on(keyPattern, 'HGET', key, workspaceField),
      on(keyPattern, 'HMGET', key, workspaceField),
      on(keyPattern, 'HGETALL', key),
      on(keyPattern, 'HSCAN', key, '0'),
      on(keyPattern, 'HLEN', key),
      on(keyPattern, 'PEXPIRETIME', key),
    ]),
    on(pattern.legacy, 'STRLEN', legacy),
    on(pattern.legacy, 'MEMORY', 'USAGE', legacy),
    right(['COPY', legacy, target], [pattern.legacy, pattern.target]),
    on(pattern.target, 'UNLINK', target),
    right(['COPY', target, kept], [pattern.target, pattern.control]),
    on(pattern.control, 'PEXPIREAT', kept, '1'),
  ]
}

/** What preflight asks besides, and reports as unknown where it may not. */
function preflightRights({ queues }: RightsInput): NeededRight[] {
  return [
    { ...right(['CONFIG', 'GET', 'save'], []), tells: 'persistence' },
    ...queues.map((queue): NeededRight => ({ ...right(['TYPE', queue], [`%R~${queue}`]), tells: 'queue types' })),
  ]
}

/** Every command of the scripts of the client library, and those that it sends by itself. */
export function appRights({ templates, workspaceField, queues }: RightsInput): NeededRight[] {
  const { legacy, target, control, pattern } = namesOf(templates)
  const keys = controlKeys(templates.controlPrefix)
  const own = (...args: [string, ...string[]]): NeededRight => right(args, [pattern.control])
  const sides = [
    [legacy, pattern.legacy],
    [target, pattern.target],
  ] as const
  return [
    ...SCRIPTING,
    right(['CLIENT', 'SETNAME', 'keyshift-client'], []),
    right(['SCAN', '0', 'MATCH', scanPattern(templates), 'COUNT', '1'], []),
    ...sides.flatMap(([key, keyPattern]) => {
      const on = (...args: [string, ...string[]]): NeededRight => right(args, [keyPattern])
      return [
        on('TYPE', key),
        on('GET', key),
        on('SET', key, 'x', 'KEEPTTL'),
        on('HGET', key, workspaceField),
        on('HGETALL', key),
        on('HSET', key, workspaceField, 'x'),
        on('HDEL', key, 'probe'),
        on('HINCRBY', key, 'probe', '1'),
        on('HINCRBYFLOAT', key, 'probe', '1'),
        on('PEXPIRETIME', key),
        on('PEXPIREAT', key, '1'),
        on('PERSIST', key),
        on('UNLINK', key),
      ]
    }),
    right(['COPY', legacy, target, 'REPLACE'], [pattern.legacy, pattern.target]),
    own('GET', keys.fence),
    own('EXISTS', keys.backfilled),
    own('INCR', keys.fallbackReads),
    own('HEXISTS', keys.members, 'probe'),
    own('HSET', keys.members, 'probe', 'x'),
    own('SET', control, 'x', 'PX', '1'),
    own('DEL', control),
    own('HINCRBY', keys.illegalIds, 'probe', '1'),
    own('HMGET', control, 'what'),
    own('PEXPIRE', control, '1'),
    own('HSETNX', control, 'probe', 'x'),
    own('HGET', control, 'probe'),
    own('HDEL', control, 'probe'),
    own('HGETALL', keys.depth),
    own('TYPE', control),
    own('LRANGE', control, '0', '0'),
    own('LREM', control, '1', 'probe'),
    own('LPUSH', control, 'probe'),
    own('ZADD', control, '1', 'probe'),
    own('ZRANGE', control, '0', '0'),
    own('ZREM', control, 'probe'),
    own('ZSCORE', control, 'probe'),
    ...queues.flatMap((queue) => {
      const on = (...args: [string, ...string[]]): NeededRight => right(args, [`~${queue}`])
      return [
        on('TYPE', queue),
        on('LLEN', queue),
        on('LPUSH', queue, 'probe'),
        right(['LMOVE', queue, control, 'RIGHT', 'LEFT'], [`~${queue}`, pattern.control]),
      ]
    }),
  ]
}

/** The rules of ACL SETUSER that grant these rights, and nothing else: key patterns, then commands, each once. */
export function aclRules(needed: readonly NeededRight[]): string[] {
  const commands = new Set(needed.map(({ command }) => command))
  return [...widest(new Set(needed.flatMap(({ keys }) => keys))), ...[...commands].sort()]
}

/** The same leave, without key patterns that another one covers. */
export function widest(rules: ReadonlySet<string>): string[] {
  return [...rules].filter((rule) => ![...rules].some((other) => other !== rule && covers(other, rule)))
}

function covers(wide: string, pattern: string): boolean {
  // What may be read and written needs no leave to be read.
  if (pattern === `%R${wide}`) return true
  return /^[^*?[]*\*$/.test(wide) && pattern.startsWith(wide.slice(0, -1))
}

/** The command that grants what is missing and takes nothing away. */
export function grantText(user: string, missing: readonly string[]): string {
  return `ACL SETUSER ${user} ${missing.join(' ')}`
}

function right(args: readonly [string, ...string[]], keys: readonly string[]): NeededRight {
  const [name, sub = ''] = args
  const command = ['ACL', 'CLIENT', 'CONFIG', 'MEMORY'].includes(name) ? `${name}|${sub}` : name
  return { args, command: `+${command.toLowerCase()}`, keys }
}

const SCRIPTING: readonly NeededRight[] = [
  // The hash of no script: the answer is NOSCRIPT to whoever may ask.
  right(['EVALSHA', '0'.repeat(40), '0'], []),
  right(['EVAL', '#!lua flags=no-writes\nreturn 1', '0'], []),
  right(['INFO', 'server'], []),
  right(['TIME'], []),
]

function namesOf(templates: KeyTemplates) {
  const job = `keyshift-preflight-${randomBytes(8).toString('hex')}`
  return {
    job,
    legacy: legacyKey(templates, job),
    target: targetKey(templates, 'keyshift-preflight', job),
    control: templates.controlPrefix + job,
    pattern: {
      legacy: `~${legacyKey(templates, '*')}`,
      target: `~${targetKey(templates, '*', '*')}`,
      control: `~${templates.controlPrefix}*`,
    },
  }
}
