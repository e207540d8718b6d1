import { KeyshiftError } from '../redis/errors.ts'

const SHOWN = 100

/** An id that the templates cannot hold. Nothing was done: choose another id. */
export class InvalidId extends KeyshiftError {
  override readonly retry = 'never'
  /** As it was given; the message holds its beginning only. */
  readonly id: unknown
  constructor(what: 'job id' | 'workspace id' | 'operation id', id: unknown, why: string) {
    super('INVALID_ID', `${what} ${shown(id)} ${why}: nothing was done, choose another one`)
    this.id = id
  }
}

function shown(id: unknown): string {
  if (typeof id !== 'string') return `(${id === null ? 'null' : typeof id})`
  return id.length <= SHOWN ? JSON.stringify(id) : `${JSON.stringify(id.slice(0, SHOWN))}...`
}

/** An option or argument that cannot be used; the message says what to give instead. Nothing was done. */
export class InvalidArgument extends KeyshiftError {
  override readonly retry = 'never'
  constructor(message: string) {
    super('INVALID_ARGUMENT', message)
  }
}

/** A job of this id exists already (job ids are unique over all workspaces). Nothing was done. */
export class JobExists extends KeyshiftError {
  override readonly retry = 'decide'
  readonly jobId: string
  constructor(jobId: string) {
    super('JOB_EXISTS', `job ${JSON.stringify(jobId)} exists already`)
    this.jobId = jobId
  }
}

/** The stored value was not the expected one, for `update` of a text after all its tries. Nothing was done. */
export class Conflict extends KeyshiftError {
  override readonly retry = 'decide'
  /** The field that differed, for hashes. */
  readonly field: string | undefined
  constructor(jobId: string, field?: string) {
    super(
      'CONFLICT',
      `job ${JSON.stringify(jobId)} was changed by someone else${field === undefined ? '' : ` (field ${field})`}`,
    )
    this.field = field
  }
}

/** The value names another workspace than the store's, or none that can be read. Nothing was done. */
export class WorkspaceMismatch extends KeyshiftError {
  override readonly retry = 'never'
  constructor(jobId: string, field: string) {
    super(
      'WORKSPACE_MISMATCH',
      `the value of job ${JSON.stringify(jobId)} must hold its own workspace in "${field}", unchanged, and a text be JSON that ` +
        'Redis can read (at most 1,000 levels deep, no half of a surrogate pair)',
    )
  }
}

/** Redis holds something under a name that this operation needs, and it is not what belongs there. Nothing was done: look at the key. */
export class Occupied extends KeyshiftError {
  override readonly retry = 'never'
  constructor(message: string, options?: { cause?: unknown }) {
    super('OCCUPIED', message, options)
  }
}

/** The operation id was used for another operation or job. Nothing was done. */
export class OperationReused extends KeyshiftError {
  override readonly retry = 'never'
  constructor(id: string) {
    super('OPERATION_REUSED', `operation id ${JSON.stringify(id)} was used for another operation: give each its own`)
  }
}

/** The lease on a queue entry ended and someone else may work on it. Nothing was done: drop the work. */
export class LeaseLost extends KeyshiftError {
  override readonly retry = 'never'
  constructor(jobId: string) {
    super('LEASE_LOST', `the lease on job ${JSON.stringify(jobId)} has ended: it goes, or went, back to its queue`)
  }
}
