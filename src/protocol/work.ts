import type { Phase } from './phases.ts'

/** Kinds of worker Jobs. */
export const WORK_KINDS = ['preflight', 'backfill', 'verify', 'purge', 'repair'] as const
export type WorkKind = (typeof WORK_KINDS)[number]

/** Which phases allow which kind of work; the scripts check it against the record. */
export const WORK_PHASES: Readonly<Record<WorkKind, readonly Phase[]>> = {
  preflight: ['Legacy'],
  purge: ['Legacy'],
  backfill: ['ReadRouting', 'BackfillVerify'],
  verify: ['DualWrite', 'ReadRouting', 'BackfillVerify'],
  repair: ['DualWrite', 'ReadRouting', 'BackfillVerify'],
}

/** What the operator hands to a worker, as JSON in the environment variable `KEYSHIFT_WORK`. */
export interface WorkSpec {
  /** Name of the Kubernetes Job; key of progress and result in Redis. */
  readonly jobName: string
  /** Tells this Job from every other of its name: a result counts for its own run alone. */
  readonly run: string
  readonly kind: WorkKind
  /** verify and repair only: look at target keys alone (DualWrite), or at both sides. */
  readonly direction?: 'TargetToLegacy' | 'Both'
  readonly legacy: string
  readonly target: string
  readonly workspaceField: string
  readonly ignore: readonly string[]
  readonly allowEmpty: boolean
  readonly onMalformed: 'Block' | 'Quarantine'
  /** preflight, purge: target keys are expected, an earlier run left them. */
  readonly allowTarget?: boolean
  readonly queues: readonly string[]
  /** `redis://host:port/db` or `redis-sentinel://host:port,host:port/db#master-name`, never with credentials. */
  readonly redis: string
  /** TLS with Redis and its Sentinels; left out: none. */
  readonly tls?: {
    /** There is a CA in the folder for it; this says where it comes from, for messages. */
    readonly caFrom?: string
    /** There is a client certificate in its folder. */
    readonly clientCert?: true
    readonly serverName?: string
  }
  /** Upper bound on keys looked at in a second. */
  readonly maxKeysPerSecond: number
  /** Batches shrink while one takes longer than this, milliseconds. */
  readonly maxRedisLatencyMs: number
  /** Stated by the spec where the server does not say. */
  readonly assume: { readonly maxmemory?: number; readonly maxmemoryPolicy?: string }
}

/** Environment variable of a worker pod that holds its `WorkSpec`. */
export const WORK_ENV = 'KEYSHIFT_WORK'
/** Where a worker pod has its Secrets, as files that are read again at each connect. */
export const SECRETS_DIR = '/var/run/keyshift'
/** Folders in there. */
export const SECRETS = {
  /** `username` (optional) and `password` of Redis. */
  redis: 'redis',
  /** The same of the Sentinels. */
  sentinel: 'sentinel',
  /** `ca.crt`, under whatever key the Secret has it. */
  ca: 'redis-ca',
  /** `tls.crt` and `tls.key`. */
  clientCert: 'redis-cert',
} as const

/** Fields of `ControlKeys.work(jobName)`. Numbers are decimal texts. */
export interface WorkFields {
  readonly kind: WorkKind
  /** `WorkSpec.run` of the Job that works under this name. */
  readonly run: string
  /** SHA-1 of what is looked for; a pass goes on only under the same. */
  readonly scope: string
  /** `refused`: for want of something that may pass or be given, such as memory or a right, it could not go on. */
  readonly state: 'running' | 'done' | 'failed' | 'refused'
  /** Keys handled, in this pass. */
  readonly done: string
  /** Estimate of keys to handle; never reached before a whole pass ended. */
  readonly total: string
  /** Keys a second over the last seconds. */
  readonly rate: string
  /** Pass over the keyspace, from 1. */
  readonly pass: string
  /** SCAN cursor to resume from, good only for `runId`. */
  readonly cursor: string
  readonly runId: string
  /** `master_replid` under which the work was done from beginning to end. */
  readonly lineage: string
  /** Epoch of the record when the work began. */
  readonly epoch: string
  /** Redis TIME, ms. */
  readonly startedAt: string
  readonly updatedAt: string
  /** JSON `WorkResult` when done. */
  readonly result: string
  /** One line, when failed or refused. */
  readonly error: string
}

export interface Finding {
  /** Key name, printable (bytes that are no UTF-8 escaped as \xNN), at most 200 characters. */
  readonly key: string
  /** Short reason, such as `no workspace_id`. */
  readonly why: string
}

/** Counts of one pass over the keyspace. Findings hold the first 20 of each sort. */
export interface PreflightResult {
  readonly kind: 'preflight'
  /** Each one holds phase 0. */
  readonly blockers: readonly { readonly reason: string; readonly message: string }[]
  readonly warnings: readonly { readonly reason: string; readonly message: string }[]
  readonly legacy: number
  readonly target: number
  readonly malformed: number
  readonly foreign: number
  readonly malformedKeys: readonly Finding[]
  readonly foreignKeys: readonly Finding[]
}

export interface BackfillResult {
  readonly kind: 'backfill'
  readonly passes: number
  readonly copied: number
  /** Target keys that were there already. */
  readonly present: number
  readonly malformed: number
}

export interface VerifyResult {
  readonly kind: 'verify'
  readonly direction: 'TargetToLegacy' | 'Both'
  readonly compared: number
  /** Legacy without target. */
  readonly missing: number
  /** Both there, with other value, type or expiry. */
  readonly different: number
  /** Target without legacy. */
  readonly orphan: number
  readonly malformed: number
  readonly foreign: number
  /** Missing, different and orphan keys. */
  readonly findings: readonly Finding[]
  readonly malformedKeys: readonly Finding[]
}

export interface PurgeResult {
  readonly kind: 'purge'
  readonly deleted: number
}

export interface RepairResult {
  readonly kind: 'repair'
  readonly direction: 'TargetToLegacy' | 'Both'
  /** Missing targets made. */
  readonly copied: number
  /** Targets that differed and are copies of legacy again. */
  readonly replaced: number
  /** Targets taken away whose legacy key is not there, or names another workspace. */
  readonly removed: number
  /** Keys that repair never touches: malformed, foreign, or a target whose legacy key is malformed. */
  readonly left: number
  /** Keys that were put right. */
  readonly findings: readonly Finding[]
  readonly leftKeys: readonly Finding[]
}

/** What repair takes away stays in Redis this long, or for the rest of its own life if that is shorter, ms. */
export const KEPT_MS = 7 * 24 * 3_600_000

export type WorkResult = PreflightResult | BackfillResult | VerifyResult | PurgeResult | RepairResult
