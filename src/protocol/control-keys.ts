/**
 * Every control key in Redis, by name. All of them begin with the control prefix of the templates.
 * Fields of hashes are listed with their types; JSON fields hold the interfaces of this folder.
 */
export interface ControlKeys {
  /** String, decimal `min_epoch`. Absent until the operator raises it to 1. Only ever raised. */
  readonly fence: string
  /** Hash, the operator's record: see `RecordFields`. */
  readonly record: string
  /** Hash, member id -> JSON `MemberRecord`. No expiry; the operator prunes members of pods that are gone. */
  readonly members: string
  /** String with PX expiry, JSON `LeaseRecord`, one for each live member. */
  lease(memberId: string): string
  /** String, set by the operator when it has recorded a completed backfill; removed when that evidence is void. */
  readonly backfilled: string
  /** String counter: reads answered by legacy after a target miss while `backfilled` is there. */
  readonly fallbackReads: string
  /** Hash { count, lastAt (Redis TIME, ms), example, member }: ids that will be refused from phase 1 on. */
  readonly illegalIds: string
  /** Hash, workspace -> jobs waiting or in processing. */
  readonly depth: string
  /** Hash, entry of a queue -> the workspace that `depth` counted it for. */
  queued(queue: string): string
  /** Hash, remembered answer of an operation id, with PX expiry. */
  operation(id: string): string
  /** Hash of one worker Job: see `WorkFields` in work.ts. */
  work(jobName: string): string
  /** Begin of the names under which repair keeps what it took away: `<kept><Redis TIME, ms>:<key>`, with PX expiry. */
  readonly kept: string
  /** List, malformed queue entries of a queue. */
  dead(queue: string): string
  /** List, entries of a queue that a consumer holds. */
  processing(queue: string): string
  /** Sorted set, entry -> lease end (Redis TIME, ms), of `processing`. */
  leases(queue: string): string
}

export function controlKeys(prefix: string): ControlKeys {
  return {
    fence: `${prefix}fence`,
    record: `${prefix}record`,
    members: `${prefix}members`,
    lease: (memberId) => `${prefix}lease:${memberId}`,
    backfilled: `${prefix}backfilled`,
    fallbackReads: `${prefix}fallback-reads`,
    illegalIds: `${prefix}illegal-ids`,
    depth: `${prefix}depth`,
    queued: (queue) => `${prefix}queued:${queue}`,
    operation: (id) => `${prefix}op:${id}`,
    work: (jobName) => `${prefix}work:${jobName}`,
    kept: `${prefix}kept:`,
    dead: (queue) => `${prefix}dead:${queue}`,
    processing: (queue) => `${prefix}processing:${queue}`,
    leases: (queue) => `${prefix}leases:${queue}`,
  }
}

/** JSON value of a field of `members`. */
export interface MemberRecord {
  /** `metadata.uid` of the pod; '' where it is not known, and then the operator can match it to no pod. */
  readonly podUid: string
  /** `metadata.name` of the pod; for people. */
  readonly podName: string
  /** Version of the client package. */
  readonly version: string
  /** Redis TIME at registration, ms. */
  readonly registeredAt: number
}

/** JSON value of a lease key. Written on registration, on each renewal and on each change of epoch. */
export interface LeaseRecord {
  /** Epoch under which every operation in flight began, or a later one: 0 while unmanaged. */
  readonly epoch: number
  /** Hash of that document, '' while unmanaged. */
  readonly hash: string
}

/** Lease time to live and renewal interval, milliseconds. */
export const LEASE_TTL_MS = 15_000
export const LEASE_RENEW_MS = 5_000

/** Fields of the record hash, all texts. */
export interface RecordFields {
  /** UID of the kube-system namespace. */
  readonly cluster: string
  /** `namespace/name` of the resource. */
  readonly owner: string
  /** Phase of the document. */
  readonly phase: string
  /** Decimal, step of the document. */
  readonly step: string
  /** Decimal. With `revision` the compare-and-set field: a record is only ever replaced by one that is not older. */
  readonly epoch: string
  /** Decimal. Grows with each change of `account` within the epoch. */
  readonly revision: string
  /** Hash of the document. */
  readonly hash: string
  /** The routing document, byte for byte as published. */
  readonly document: string
  /** JSON of what the operator must not forget besides: latch, evidence, soak, templates seen as members, history, ... */
  readonly account: string
}

/** Redis connection names, so that CLIENT LIST tells ours from foreign ones. */
export const CONNECTION_NAME = {
  client: (memberId: string): string => `keyshift-client:${memberId}`,
  worker: (jobName: string): string => `keyshift-worker:${jobName}`,
  operator: 'keyshift-operator',
} as const
