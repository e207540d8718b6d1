import type { ReasonInfo } from './reasons.ts'

/**
 * Every reason that preflight gives: as a blocker within PreflightBlocked, or as a warning in the Event PreflightPassed. The message
 * beside it names keys, rights and figures. `docs/reasons.md` comes from this list.
 */
export const PREFLIGHT_REASONS = {
  EvictionPolicy: {
    meaning: 'Redis may evict keys, and with that one key of a pair.',
    action: 'Set maxmemory-policy to noeviction.',
  },
  ForeignKeys: {
    meaning: 'Keys look like target keys and are none.',
    action: 'Name them in keys.ignore, or rename them.',
  },
  MalformedJobs: {
    meaning: 'Jobs have no usable workspace, or are of another type.',
    action: 'Repair or delete them, or set keys.onMalformed: Quarantine to leave them behind.',
  },
  MinReplicasToWrite: {
    meaning: 'Warning: while min-replicas-to-write is not met, reads are refused too.',
    action: 'Nothing, where that is known; else lower it, or add replicas.',
  },
  MissingRights: {
    meaning: 'The Redis user of the worker lacks rights.',
    action: 'Run the ACL SETUSER of the message; docs/redis-users.md has all rights of each user.',
  },
  NoLegacyKeys: {
    meaning: 'No key matches the legacy template.',
    action: 'Correct address, db or template; where it is meant to be empty, set keys.allowEmpty: true.',
  },
  NoPersistence: {
    meaning: 'Warning: neither AOF nor snapshots are on.',
    action: 'Turn one on, or accept that a restart of Redis loses every job.',
  },
  NotEnoughMemory: {
    meaning: 'The copies do not fit under maxmemory.',
    action: 'Raise maxmemory.',
  },
  NotPrimary: {
    meaning: 'The server is a replica.',
    action: 'Give the address of the primary.',
  },
  OversizeJobs: {
    meaning: 'Warning: copying or comparing one of these jobs holds Redis for long.',
    action: 'Make them smaller, or migrate in a quiet hour.',
  },
  PatternScans: {
    meaning: 'Warning: what lists jobs by a pattern of legacy keys meets target keys too.',
    action: 'Let it use the list of the client, or leave such names out.',
  },
  QueueWrongType: {
    meaning: 'keys.queues names a key that is no list.',
    action: 'Correct the name.',
  },
  RedisCluster: {
    meaning: 'The server is a Redis Cluster.',
    action: 'Use a single primary, alone or behind Sentinels.',
  },
  RedisTooOld: {
    meaning: 'Redis is older than 7.0.',
    action: 'Upgrade Redis first.',
  },
  TargetKeysPresent: {
    meaning: 'There are keys that look like target keys, and no earlier run is recorded.',
    action: 'Purge them by the annotation keyshift.dev/purge, or give these jobs other ids.',
  },
  UnknownEvictionPolicy: {
    meaning: 'Redis does not say its maxmemory-policy.',
    action: 'Make it noeviction, and state it in redis.assume.maxmemoryPolicy.',
  },
  UnknownMaxmemory: {
    meaning: 'maxmemory is 0 or not told, so nobody can say whether the copies fit.',
    action: 'Set it, or state redis.assume.maxmemory.',
  },
  UnknownPersistence: {
    meaning: 'Warning: Redis does not say whether it takes snapshots.',
    action: 'See to it that its data survives a restart.',
  },
  UnknownQueueType: {
    meaning: 'Warning: the worker may not ask for the type of a queue.',
    action: 'See to it that it is a list, or grant the rights that the message names.',
  },
  UnknownRights: {
    meaning: 'The rights of the Redis user cannot be told.',
    action: 'Allow it ACL WHOAMI and ACL DRYRUN (docs/redis-users.md).',
  },
  UnknownServer: {
    meaning: 'Redis does not say what it is.',
    action: 'Grant the worker +info; a proxy must pass INFO on.',
  },
  UnknownWriters: {
    meaning: 'Warning: the worker cannot see who else writes jobs, or with which rights.',
    action: 'Grant the rights that the message names.',
  },
} as const satisfies Readonly<Record<string, ReasonInfo>>

export type PreflightReason = keyof typeof PREFLIGHT_REASONS
