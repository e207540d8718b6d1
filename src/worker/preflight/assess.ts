import type { PreflightReason } from '../../api/preflight-reasons.ts'
import type { PreflightResult } from '../../protocol/work.ts'
import type { WorkSpec } from '../../protocol/work.ts'
import { memoryLimit, type Info } from '../server-facts.ts'
import type { ServerFacts } from './facts.ts'
import { advisedRights, missingRights, type Rights } from '../rights.ts'

export interface Verdict {
  readonly reason: PreflightReason
  readonly message: string
}

export interface Assessment {
  readonly blockers: readonly Verdict[]
  readonly warnings: readonly Verdict[]
}

/** What the pass over the keyspace found; absent where it could not be made. */
export interface Keyspace {
  readonly result: Omit<PreflightResult, 'kind' | 'blockers' | 'warnings'>
  readonly oversize: number
  readonly oversizeKeys: readonly { readonly key: string; readonly why: string }[]
  /** Legacy keys of which the memory was measured, and bytes of them all together. */
  readonly sampled: number
  readonly sampledBytes: number
}

type Finding = { readonly blocker: Verdict } | { readonly warning: Verdict }
const block = (reason: PreflightReason, message: string): Finding => ({ blocker: { reason, message } })
const warn = (reason: PreflightReason, message: string): Finding => ({ warning: { reason, message } })

/** Reasons that also forbid the pass over the keyspace: the scripts could not run, or would stop half way. */
export const NO_SCAN: ReadonlySet<PreflightReason> = new Set<PreflightReason>([
  'RedisTooOld',
  'RedisCluster',
  'NotPrimary',
  'UnknownServer',
  'MissingRights',
  'UnknownRights',
])

/** Judges the server alone. */
export function assessServer(spec: WorkSpec, facts: ServerFacts, rights: Rights): Assessment {
  const { info } = facts
  const server = info === undefined ? [block('UnknownServer', 'Redis refuses INFO: grant +info to the worker')] : []
  return collect([
    ...server,
    ...(info === undefined ? [] : [version(info), mode(info), role(info), policy(info, spec), minReplicas(info)]),
    ...(info === undefined ? [] : [persistence(info, facts.save)]),
    rightsOf(rights),
    ofOthers(rights),
    ...spec.queues
      .filter((queue) => !facts.queueTypes.has(queue))
      .map((queue) =>
        warn(
          'UnknownQueueType',
          `the worker may not ask for the type of the queue ${queue}: see to it that it is a list, or grant it +type and %R~${queue}`,
        ),
      ),
    ...[...facts.queueTypes].map(([queue, type]) =>
      type === 'list' || type === 'none'
        ? undefined
        : block('QueueWrongType', `keys.queues names ${queue}, which is a ${type} and not a list: correct the name`),
    ),
  ])
}

/** Judges what the pass found. */
export function assessKeyspace(spec: WorkSpec, info: Info, keys: Keyspace): Assessment {
  return collect([
    memory(info, spec, keys),
    ...presence(spec, keys),
    malformed(spec, keys),
    foreign(keys),
    oversize(keys),
    patternScans(spec),
  ])
}

function collect(findings: readonly (Finding | undefined)[]): Assessment {
  return {
    blockers: findings.flatMap((f) => (f !== undefined && 'blocker' in f ? [f.blocker] : [])),
    warnings: findings.flatMap((f) => (f !== undefined && 'warning' in f ? [f.warning] : [])),
  }
}

function version(info: Info): Finding | undefined {
  const text = info.get('redis_version') ?? ''
  const major = Number(/^(\d+)\./.exec(text)?.[1] ?? Number.NaN)
  if (Number.isNaN(major))
    return block(
      'UnknownServer',
      'INFO does not say redis_version: use Redis 7.0 or newer, and a proxy that passes INFO on',
    )
  return major < 7 ? block('RedisTooOld', `Redis is ${text}, 7.0 or newer is needed: upgrade it first`) : undefined
}

function mode(info: Info): Finding | undefined {
  const enabled = info.get('cluster_enabled')
  if (enabled === '0') return undefined
  return enabled === undefined
    ? block('UnknownServer', 'INFO does not say cluster_enabled: use a single primary, and a proxy that passes INFO on')
    : block(
        'RedisCluster',
        'this is Redis Cluster, where the two keys of a job lie in different slots: use a single primary, alone or behind Sentinels',
      )
}

function role(info: Info): Finding | undefined {
  return info.get('role') === 'master'
    ? undefined
    : block('NotPrimary', 'redis.address is a replica: give the address of the primary')
}

function policy(info: Info, spec: WorkSpec): Finding | undefined {
  const name = info.get('maxmemory_policy') ?? spec.assume.maxmemoryPolicy
  if (name === undefined) {
    return block(
      'UnknownEvictionPolicy',
      'Redis does not say its maxmemory-policy: make it noeviction and state it in redis.assume.maxmemoryPolicy',
    )
  }
  return name === 'noeviction'
    ? undefined
    : block(
        'EvictionPolicy',
        `maxmemory-policy is ${name}, which can evict one key of a pair: CONFIG SET maxmemory-policy noeviction`,
      )
}

function persistence(info: Info, save: string | undefined): Finding | undefined {
  if (info.get('aof_enabled') === '1' || (save !== undefined && save !== '')) return undefined
  return save === undefined
    ? warn(
        'UnknownPersistence',
        'Redis does not say whether it takes snapshots, and AOF is off: see to it that data survives a restart',
      )
    : warn(
        'NoPersistence',
        'neither AOF nor snapshots are on: a restart loses every job and what the migration has recorded',
      )
}

function minReplicas(info: Info): Finding | undefined {
  // The field is there only while min-replicas-to-write is set.
  const good = info.get('min_slaves_good_slaves')
  return good === undefined
    ? undefined
    : warn(
        'MinReplicasToWrite',
        `min-replicas-to-write is set (${good} good replicas now): while it is not met reads are refused too, not only writes`,
      )
}

function rightsOf(rights: Rights): Finding | undefined {
  if (!rights.known)
    return block(
      'UnknownRights',
      `the rights of the Redis user cannot be told: ${rights.why}; allow it ACL WHOAMI and ACL DRYRUN`,
    )
  return rights.missing.length === 0 ? undefined : block('MissingRights', missingRights(rights))
}

function ofOthers(rights: Rights): Finding | undefined {
  return rights.known && rights.advised.length > 0 ? warn('UnknownWriters', advisedRights(rights)) : undefined
}

function memory(info: Info, spec: WorkSpec, keys: Keyspace): Finding | undefined {
  const limit = memoryLimit(info, spec.assume.maxmemory)
  if (limit === undefined) {
    return block(
      'UnknownMaxmemory',
      'maxmemory is 0 or not told, so nobody can say whether the copies fit: set it, or state the bytes that Redis may use in redis.assume.maxmemory',
    )
  }
  const { legacy, target } = keys.result
  const each = keys.sampled === 0 ? 0 : keys.sampledBytes / keys.sampled
  const toMake = Math.max(0, legacy - target)
  const used = Number(info.get('used_memory') ?? '0')
  const needed = Math.ceil(used + toMake * each * 1.1)
  return needed <= limit
    ? undefined
    : block(
        'NotEnoughMemory',
        `${toMake} copies of about ${Math.round(each)} bytes and 10 % need ${needed} bytes together with the ${used} in use, the limit is ${limit}: raise maxmemory`,
      )
}

function presence(spec: WorkSpec, { result: { legacy, target } }: Keyspace): (Finding | undefined)[] {
  return [
    legacy === 0 && !spec.allowEmpty
      ? block(
          'NoLegacyKeys',
          `no key matches ${spec.legacy}: is it the right address, db and template? Where it is meant to be empty, set keys.allowEmpty: true`,
        )
      : undefined,
    target > 0 && spec.allowTarget !== true
      ? block(
          'TargetKeysPresent',
          `${target} keys look like target keys, and no earlier run of this migration is recorded: if they are what such a run left, annotate the resource with keyshift.dev/purge, which deletes those that equal their legacy key; if they are jobs whose ids have the delimiter in them, give those jobs other ids first`,
        )
      : undefined,
  ]
}

function malformed(spec: WorkSpec, { result }: Keyspace): Finding | undefined {
  if (result.malformed === 0) return undefined
  const what = `${result.malformed} jobs have no usable ${spec.workspaceField}: ${listing(result.malformedKeys)}`
  return spec.onMalformed === 'Block'
    ? block('MalformedJobs', `${what}; repair or delete them, or set keys.onMalformed: Quarantine to leave them behind`)
    : warn('MalformedJobs', `${what}; they stay where they are, out of reach of clients from DualWrite on`)
}

function foreign({ result }: Keyspace): Finding | undefined {
  return result.foreign === 0
    ? undefined
    : block(
        'ForeignKeys',
        `${result.foreign} keys look like target keys and are none: ${listing(result.foreignKeys)}; name them in keys.ignore, or rename them`,
      )
}

function oversize(keys: Keyspace): Finding | undefined {
  return keys.oversize === 0
    ? undefined
    : warn(
        'OversizeJobs',
        `${keys.oversize} jobs are so large that copying or comparing one holds Redis for long: ${listing(keys.oversizeKeys)}; make them smaller, or migrate in a quiet hour`,
      )
}

/** Code that is not the client's may find jobs by the pattern of legacy keys, and take the name of a target key for a job's. */
function patternScans({ legacy, target }: WorkSpec): Finding | undefined {
  const [before = '', after = ''] = legacy.split(/\{[^}]*\}/)
  const fits = target.startsWith(before) && target.endsWith(after) && target.length >= before.length + after.length
  return fits
    ? warn(
        'PatternScans',
        `whatever lists jobs by a pattern such as SCAN MATCH ${before}*${after} meets target keys (${target}) too, from DualWrite on: let it use the client's list, or leave such names out`,
      )
    : undefined
}

function listing(samples: readonly { readonly key: string; readonly why: string }[]): string {
  const shown = samples.slice(0, 5).map(({ key, why }) => `${key} (${why})`)
  return shown.join(', ') + (samples.length > shown.length ? ', …' : '')
}
