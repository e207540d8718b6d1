import type { Credentials, RedisConstructor, TlsOptions } from '../redis/connection.ts'

export type Encoding = 'hash' | 'json'

export interface ClientOptions<E extends Encoding = Encoding, V = Stored<E>> {
  /** `ai:job:{job_id}`. Must equal the routing document's. */
  readonly legacy: string
  /** `ai:job:{workspace_id}:{job_id}`. Must equal the routing document's. */
  readonly target: string
  /** How a job is stored: a Redis hash, or a string that holds JSON. */
  readonly encoding: E
  /** Hash field, or top-level JSON field, that holds the workspace. Default: the placeholder that only the target has. */
  readonly workspaceField?: string | undefined
  readonly redis: {
    /** `redis://host:port/db` of the primary (`rediss://` for TLS), without credentials. This or `sentinel`. */
    readonly address?: string | undefined
    /** The Sentinels that say where the primary is. This or `address`. */
    readonly sentinel?:
      | {
          /** Name under which they watch it, for example `mymaster`. */
          readonly masterName: string
          /** `host:port` of the Sentinels, better all of them than one. */
          readonly addresses: readonly string[]
          readonly db: number
          /** Credentials of the Sentinels themselves, asked for at every (re)connect. */
          readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
        }
      | undefined
    /** TLS with Redis and its Sentinels. As a function it is asked at every (re)connect, so that a new CA is picked up. */
    readonly tls?: TlsOptions | (() => Promise<TlsOptions>) | undefined
    /** Asked at every (re)connect, so that a rotated password is picked up without a restart. */
    readonly credentials?: (() => Promise<Credentials | undefined>) | undefined
    /** The `Redis` class of ioredis 5.4 to 6. Default: that of the installed `ioredis`. */
    readonly Redis?: RedisConstructor | undefined
  }
  /** Where the routing ConfigMap is mounted, as a directory. Left out: unmanaged, plain legacy operation. */
  readonly routingDir?: string | undefined
  /** UID and name of the pod. Default: the environment variables POD_UID and POD_NAME. */
  readonly podUid?: string | undefined
  readonly podName?: string | undefined
  /** Limit of an operation, ms, retries included. Default 5000. */
  readonly deadlineMs?: number | undefined
  /** How long the answer of an operation id is remembered, ms. Default 600000. */
  readonly operationTtlMs?: number | undefined
  /** How often the routing directory is polled, ms. Default 1000. */
  readonly pollMs?: number | undefined
  readonly metrics?: MetricsOptions | undefined
  /** For `json`: what the text of a job means to the app. Default: jobs are their texts. */
  readonly codec?: (E extends 'json' ? Codec<V> : never) | undefined
  /** Called as an operation begins; what it returns is called once, when the operation has settled. For traces. */
  readonly trace?: ((operation: TracedOperation) => ((end: TracedEnd) => void) | undefined) | undefined
  /** Called with what an operator of the app should see; what it throws changes nothing. Default: nothing is logged. */
  readonly log?:
    ((level: 'info' | 'warn' | 'error', message: string, detail: Readonly<Record<string, unknown>>) => void) | undefined
}

/** One operation as the metrics count them: `update` of a text is a `get` and an `update`, `dequeue` what each look took. */
export interface TracedOperation {
  /** `create get update mutate delete expire push list dequeue ack nack extend reap`. */
  readonly name: string
  /** Undefined where it is not known, as for `dequeue`. */
  readonly workspaceId: string | undefined
}

export interface TracedEnd {
  /** What its script answered (`OK NOT_FOUND DENIED CONFLICT EMPTY` ...), the code of its error, or `ABORTED`. */
  readonly outcome: string
  /** What the operation rejects with. An answer that the caller's method turns into an error, as `CONFLICT`, is none yet. */
  readonly error: unknown
  /** Of the last try; 0 while unmanaged. */
  readonly epoch: number
  /** Tries after the first one. */
  readonly retries: number
}

/** The part of a prom-client registry that is used. */
export interface MetricsRegistry {
  getSingleMetric(name: string): unknown
  registerMetric(metric: never): void
}

export type MetricName =
  | 'ai_jobs_total'
  | 'ai_job_latency_seconds'
  | 'ai_queue_depth'
  | 'security_decisions_total'
  | 'ai_jobs_dual_write_ratio'
  | 'keyshift_client_reads_total'
  | 'keyshift_client_stale_epoch_total'
  | 'keyshift_client_operations_total'
  | 'keyshift_client_epoch'
  | 'keyshift_client_routing_problem'
  | 'keyshift_client_invalid_ids_total'
  | 'keyshift_client_queue_removed_total'
  | 'keyshift_client_unscoped_total'

export interface MetricsOptions {
  /** The registry that the app's /metrics page shows. */
  readonly registry: MetricsRegistry
  /** Put in front of every name. */
  readonly prefix?: string | undefined
  /** Another name for a metric, or false to leave it out. */
  readonly rename?: Partial<Record<MetricName, string | false | undefined>> | undefined
}

export interface OperationOptions {
  /** Limit of this call, ms, retries included. */
  readonly deadlineMs?: number | undefined
  /**
   * Aborting ends a call that was not sent yet, and a read at any time. A write that was sent still settles with its
   * outcome, within its deadline.
   */
  readonly signal?: AbortSignal | undefined
}

export interface WriteOptions extends OperationOptions {
  /**
   * Makes a repeated call safe: a second one with the same id, job and operation gets the first one's answer. The client
   * itself repeats a call with an id whose outcome is unknown, until its deadline.
   */
  readonly operationId?: string | undefined
}

export type Expiry = { readonly ttlMs: number } | { readonly expiresAt: number } | { readonly persist: true }

export interface CreateOptions extends WriteOptions {
  /** Time to live, ms; or an absolute time, ms since 1970. Neither: the job does not expire. */
  readonly ttlMs?: number | undefined
  readonly expiresAt?: number | undefined
  /** Key of the queue that gets the job's entry in the same step. */
  readonly queue?: string | undefined
}

/** What Redis holds of a job. `hash`: fields and values. `json`: the text, byte for byte. */
export type Stored<E extends Encoding> = E extends 'hash' ? Readonly<Record<string, string>> : string

/** Type of the fields of hashes that the app gives: texts. The client believes it and checks nothing. */
export type Typed<J> = { readonly [F in keyof J]?: string }

/** Between the text of a job and what the app works with. What `stringify` returns is stored byte for byte. */
export interface Codec<V> {
  /** Where it throws, the call rejects with `Occupied`, and its error as `cause`. */
  parse(text: string): V
  stringify(value: V): string
}

export interface Job<E extends Encoding, V = Stored<E>> {
  readonly jobId: string
  readonly value: V
  /** ms since 1970; absent where the job does not expire. */
  readonly expiresAt?: number
}

export type Field<V> = [V] extends [object] ? keyof V & string : string
/** Some of the fields of a hash; `Also` is what a field may be instead. */
export type Fields<V, Also = never> = [V] extends [object]
  ? string extends keyof V
    ? Readonly<Record<string, string | Also>>
    : { readonly [F in keyof V]?: NonNullable<V[F]> | Also }
  : Readonly<Record<string, string | Also>>

export type MutateCommand<F extends string = string> =
  | readonly ['HSET', field: F, value: string]
  | readonly ['HDEL', field: F]
  | readonly ['HINCRBY', field: F, by: number | bigint]
  | readonly ['HINCRBYFLOAT', field: F, by: number]

/** `Store<Job>`: a store of hashes with the fields of `Job`; `Store<Job, 'json'>`: of what a codec makes. */
export type Store<J, E extends Encoding = 'hash'> = JobStore<E, J>

/** Jobs of one workspace. A job of another workspace is treated as one that is not there. */
export interface JobStore<E extends Encoding, V = Stored<E>> {
  readonly workspaceId: string
  /** Creates a job that does not exist. For hashes the workspace field is filled in. @throws JobExists, WorkspaceMismatch */
  create(jobId: string, value: V, options?: CreateOptions): Promise<void>
  /** `create` and its queue entry in one step. */
  enqueue(jobId: string, value: V, options: CreateOptions & { readonly queue: string }): Promise<void>
  /** Puts the entry of an existing job into a queue (again). False where the job does not exist. */
  push(jobId: string, options: WriteOptions & { readonly queue: string }): Promise<boolean>
  get(jobId: string, options?: OperationOptions): Promise<Job<E, V> | undefined>
  /** See `UpdateHash` and `UpdateText`. False where the job does not exist. */
  readonly update: E extends 'hash' ? UpdateHash<V> : UpdateText<V>
  /** Runs at most 1,000 hash commands as one step, for `hash` only. One result each; undefined where the job does not exist. */
  mutate(
    jobId: string,
    commands: readonly MutateCommand<Field<V>>[],
    options?: WriteOptions,
  ): Promise<readonly string[] | undefined>
  /** False where the job did not exist. */
  delete(jobId: string, options?: WriteOptions): Promise<boolean>
  /** Changes when the job expires. False where the job does not exist. */
  expire(jobId: string, expiry: Expiry, options?: WriteOptions): Promise<boolean>
  /** Every job of the workspace once, in no order. Reads the whole keyspace page by page. */
  list(options?: OperationOptions & { readonly pageSize?: number | undefined }): AsyncIterableIterator<Job<E, V>>
}

/**
 * Sets fields where every field of `expect` still has that value (null: is absent). The workspace field cannot change.
 * @throws Conflict
 */
export type UpdateHash<V = Stored<'hash'>> = (
  jobId: string,
  fields: Fields<V>,
  options?: WriteOptions & { readonly expect?: Fields<V, null> | undefined },
) => Promise<boolean>

/**
 * Gives the job as it is stored to `change` and writes what it returns, if the stored bytes are still the same; else reads again,
 * at most `maxTries` (10) times. `change` may be called several times. The workspace cannot change.
 * @throws Conflict
 */
export type UpdateText<V = string> = (
  jobId: string,
  change: (value: V) => V | Promise<V>,
  options?: WriteOptions & { readonly maxTries?: number | undefined },
) => Promise<boolean>

export interface DequeueOptions extends OperationOptions {
  /** How long to wait for an entry, ms. Default 0: look once. */
  readonly waitMs?: number | undefined
  /** How long the entry is held before it goes back to its queue, ms. Default 60000. */
  readonly leaseMs?: number | undefined
}

/** One entry taken from a queue. It comes back when it is neither acknowledged nor extended before its lease ends. */
export interface Delivery<E extends Encoding, V = Stored<E>> {
  readonly jobId: string
  /** Undefined only in epochs 0 and 1, for a stored value that names no usable workspace. */
  readonly workspaceId: string | undefined
  /** Redis TIME, ms. */
  readonly leaseEnd: number
  /** Reads the job; undefined where it was deleted since. */
  read(options?: OperationOptions): Promise<Job<E, V> | undefined>
  /** The work is done; `failed` says with what result, for the metrics. @throws LeaseLost */
  ack(options?: OperationOptions & { readonly failed?: boolean | undefined }): Promise<void>
  /** Puts the entry back to the end of the queue. @throws LeaseLost */
  nack(options?: OperationOptions): Promise<void>
  /** Holds the entry for another `leaseMs` from now. @throws LeaseLost */
  extend(leaseMs?: number, options?: OperationOptions): Promise<void>
}

export interface Queue<E extends Encoding, V = Stored<E>> {
  readonly key: string
  /**
   * The oldest entry whose job exists, or undefined; that also when `deadlineMs` more than `waitMs` went by over entries
   * whose jobs are gone. Also returns entries whose lease has ended to the queue.
   */
  dequeue(options?: DequeueOptions): Promise<Delivery<E, V> | undefined>
  ack(delivery: Delivery<E, V>, options?: OperationOptions & { readonly failed?: boolean | undefined }): Promise<void>
  nack(delivery: Delivery<E, V>, options?: OperationOptions): Promise<void>
  /** Puts entries whose lease has ended back; returns how many. `dequeue` does it by itself. */
  reap(options?: OperationOptions & { readonly leaseMs?: number | undefined }): Promise<number>
}

export interface ClientState {
  readonly ready: boolean
  /** Why not: `CONNECTING`, `NO_ROUTING` (a fence but no document), `TEMPLATES` (the document's differ), `CLOSED`. */
  readonly reason: 'CONNECTING' | 'NO_ROUTING' | 'TEMPLATES' | 'CLOSED' | undefined
  readonly message: string
  /** True while there is neither a document nor a fence. */
  readonly unmanaged: boolean
  /** 0 while unmanaged. */
  readonly epoch: number
  readonly phase: string
  /** What is wrong with the newest routing file, if it is not the one in force. */
  readonly routingProblem: string | undefined
  readonly memberId: string
}

export interface KeyshiftClient<E extends Encoding, V = Stored<E>> {
  /** Resolves once operations can run. @throws NotReady, after `deadlineMs` (10000) */
  ready(options?: { readonly deadlineMs?: number | undefined }): Promise<void>
  state(): ClientState
  /** `forWorkspace<Job>('w1')`: a store of hashes with the fields of `Job`. With a codec its type is that of all jobs. */
  forWorkspace<J extends Typed<J> | V = V>(workspaceId: string): JobStore<E, E extends 'hash' ? J : V>
  /** `queue<Job>(key)`: as with `forWorkspace`. */
  queue<J extends Typed<J> | V = V>(key: string): Queue<E, E extends 'hash' ? J : V>
  /** Refuses new operations, waits for those in flight, ends the lease and the connection, within 5 s. Idempotent. */
  close(): Promise<void>
}
