import type { Proof, Status } from '../api/status.ts'
import type { Reason } from '../api/reasons.ts'
import type { JobKeyMigration } from '../api/resource.ts'
import type { Kept } from '../api/kept.ts'
import type { MemberRecord, LeaseRecord } from '../protocol/control-keys.ts'
import type { WorkFields, WorkResult, WorkSpec, WorkKind } from '../protocol/work.ts'

/**
 * The operator's head is one pure function, `decide(resource, observations, now)`. It returns the status that shall be
 * written and the actions that follow, in order. It reads no clock and does no I/O.
 */
export type Known<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly reason: string; readonly message: string }

export interface PodObservation {
  readonly name: string
  readonly uid: string
  /** `Kind/name` of the entry of spec.app.workloads that owns it. */
  readonly workload: string
  /** pod-template-hash, controller-revision-hash, or a hash of the pod's spec. */
  readonly template: string
  readonly image: string
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
  readonly deleting: boolean
  /** Start of the first container of containerStatuses that ever started, ms since the epoch. */
  readonly startedAt?: number
  /** When it ended, for Succeeded and Failed pods, ms. */
  readonly endedAt?: number
  /** Why it does not get to work, or does not go away, and what to do. */
  readonly trouble?: string
}

export interface MemberObservation {
  readonly id: string
  readonly record: MemberRecord
  /** Absent when it lapsed or was closed. */
  readonly lease?: LeaseRecord
}

export interface RecordObservation {
  readonly cluster: string
  readonly owner: string
  readonly epoch: number
  /** Grows with each change of `kept` within the epoch. */
  readonly revision: number
  readonly hash: string
  readonly document: string
  /** What was kept of status; undefined where it cannot be read. */
  readonly kept?: Kept
  /** There is more in it than this version knows of. */
  readonly later?: boolean
}

export interface RedisObservation {
  /** By the clock of Redis, ms since 1970. */
  readonly now: number
  readonly runId: string
  /** master_replid */
  readonly lineage: string
  readonly fence?: number
  readonly record?: RecordObservation
  readonly members: readonly MemberObservation[]
  readonly backfilled: boolean
  readonly fallbackReads: number
  readonly illegalIds: {
    readonly count: number
    /** since the last one, ms */ readonly ageMs?: number
    readonly example?: string
    readonly member?: string
  }
  /** Connections that may write the templates and are no member's, worker's or observer's; Unknown where they cannot be listed. */
  readonly writers: Known<readonly string[]>
  /** One line for each Redis user that lacks rights, the operator's own or the application's: the command that grants them. */
  readonly rightsMissing: readonly string[]
  /** Who else is connected and writes no jobs, and how that is known. */
  readonly observers?: readonly string[]
}

export interface JobObservation {
  readonly name: string
  readonly kind: WorkKind
  readonly attempt: number
  /** As the Job controller has it. */
  readonly state: 'Active' | 'Succeeded' | 'Failed'
  readonly suspended: boolean
  /** Why it does not start or failed, from the Job's or its pod's conditions. */
  readonly message?: string
  /** Its worker has ended, and this keeps its pod from ending well: containers that are none of ours. */
  readonly overstays?: string
}

export interface WorkObservation {
  readonly jobName: string
  readonly kind: WorkKind
  /** Which Job of this name it is of. */
  readonly run: string
  readonly state: WorkFields['state']
  readonly done: number
  readonly total: number
  readonly rate: number
  readonly pass: number
  /** When a worker last wrote here, by the clock of Redis, ms since 1970. */
  readonly movedAt?: number
  readonly lineage: string
  readonly epoch: number
  readonly result?: WorkResult
  readonly error?: string
}

export type Outcome = 'Pass' | 'Fail' | 'Inconclusive' | 'Error'

/** Result of one check over one window. */
export interface CheckMeasurement {
  readonly check: string
  readonly outcome: Outcome
  readonly value?: number
  /** Worst elements first, at most 5. */
  readonly worst: readonly { readonly labels: string; readonly value: number }[]
  readonly message: string
  readonly query: string
}

/**
 * One judged stretch of time. Windows arrive oldest first, do not overlap, and begin at or after `soakCountedThrough`,
 * which is set from the publication of a step on: failures count before it has converged, too.
 */
export interface SoakWindow {
  /** ms since the epoch */
  readonly start: number
  readonly end: number
  /** One of each check of the spec; a window that lacks one does not pass. */
  readonly measurements: readonly CheckMeasurement[]
}

export interface ConfigMapObservation {
  readonly exists: boolean
  readonly immutable: boolean
  /** Text under `routing.json`. */
  readonly document?: string
  /** Field manager that last wrote routing.json, where it is not the operator. */
  readonly foreignManager?: string
}

/** Another resource that would write what this one writes. */
export interface RivalObservation {
  /** `namespace/name` */
  readonly owner: string
  readonly uid: string
  /** ms since 1970 */
  readonly createdAt: number
  readonly sharesConfigMap: boolean
  /** The same templates in the same database of the same Redis. */
  readonly sharesKeys: boolean
}

export interface Observations {
  /** UID of the kube-system namespace. */
  readonly cluster: string
  readonly redis: Known<RedisObservation>
  readonly configMap: Known<ConfigMapObservation>
  readonly rivals: readonly RivalObservation[]
  /** Pods of all workloads, from the watch cache; from a live LIST when `live`. */
  readonly pods: Known<readonly PodObservation[]>
  /** True when pods and members were listed live in this pass, as a forward step demands. */
  readonly live: boolean
  /** Entries of spec.app.workloads that do not exist, as `Kind/name`. */
  readonly missingWorkloads: Known<readonly string[]>
  /** Jobs that this resource owns; read before `work`, so that one seen to have ended has its last word there. */
  readonly jobs: Known<readonly JobObservation[]>
  readonly work: readonly WorkObservation[]
  /** Windows judged since status.soakCountedThrough, oldest first. Empty in phase Legacy and when disabled. */
  readonly windows: readonly SoakWindow[]
  /** The newest measurement of each check, for status and for gates without soak. */
  readonly latest: readonly CheckMeasurement[]
  /** What the pass before wanted to do and was refused. */
  readonly refused?: RefusedAction
}

export interface RefusedAction {
  readonly action: Action['type']
  readonly reason: Reason
  readonly message: string
}

export interface PublishDetail {
  readonly epoch: number
  readonly document: string
}

/** Carried out in order, each idempotent; a failed one ends the pass, the next pass decides anew. */
export type Action =
  /** Compare-and-set the record to the status just written: never to a lower epoch. */
  | {
      readonly type: 'WriteRecord'
      readonly document: string
      readonly epoch: number
      readonly reason: string
      /** A person has adopted the epoch: the record of another resource or cluster gives way. */
      readonly takeOver?: true
    }
  /** Server-side apply of the operator's keys. */
  | { readonly type: 'ApplyConfigMap'; readonly document: string }
  /** Raise min_epoch, WAIT for the replicas, read it back; the executor then sets status.fence. */
  | {
      readonly type: 'RaiseFence'
      readonly epoch: number
      /** master_replid that the primary must have; undefined: any. */
      readonly lineage?: string
    }
  | {
      readonly type: 'CreateJob'
      readonly attempt: number
      readonly work: WorkSpec
      readonly suspend: boolean
      /** Name of the Job whose checkpoint it takes over. */
      readonly resumes?: string
    }
  | { readonly type: 'SuspendJob'; readonly name: string; readonly suspend: boolean }
  /** Job object and its Redis work hash. `keepsWork`: the hash stays, for the next attempt to go on from. */
  | { readonly type: 'DeleteJob'; readonly name: string; readonly keepsWork: boolean }
  /** Sets or removes `backfilled` and zeroes the fallback counter. */
  | { readonly type: 'MarkBackfilled'; readonly on: boolean }
  /** Removes member records whose pods are gone. */
  | { readonly type: 'PruneMembers'; readonly ids: readonly string[] }

export interface EventNote {
  readonly type: 'Normal' | 'Warning'
  /** One of src/api/reasons.ts. */
  readonly reason: string
  readonly message: string
}

export interface Decision {
  /**
   * Comes before all else: where it is refused, neither is the status written nor anything done. A step is published only
   * once every replica has acknowledged whatever this decision relies on.
   */
  readonly guard?: Extract<Action, { type: 'RaiseFence' }>
  /** Complete; written only where it differs from the one read. */
  readonly status: Status
  readonly actions: readonly Action[]
  readonly events: readonly EventNote[]
  /** Ask again after this, ms; the caller caps it. */
  readonly requeueAfterMs: number
  /** The pass wanted a forward step but `observations.live` was false: gather live and decide again at once. */
  readonly wantsLive: boolean
}

export type Decide = (resource: JobKeyMigration, observations: Observations, now: number) => Decision

export type { Proof }
