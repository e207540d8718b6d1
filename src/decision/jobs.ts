import { durationMs, redisPlaceOf } from '../api/resource.ts'
import type { Spec } from '../api/schema.ts'
import type { Status, StatusJob, WorkAccount } from '../api/status.ts'
import { canonicalJson, type RoutingDocument } from '../protocol/document.ts'
import type { Phase } from '../protocol/phases.ts'
import { WORK_KINDS, WORK_PHASES, type WorkKind, type WorkSpec } from '../protocol/work.ts'
import { isOpen, jobName, runOf } from './accounts.ts'
import { documentOf, type Scene } from './scene.ts'
import { count, cut } from './text.ts'
import { isoTime, timeMs } from './time.ts'
import type { Action, JobObservation, WorkObservation } from './types.ts'
import { hasDrifted } from './walk.ts'

/** Earlier attempts whose Jobs are kept for their logs. */
const KEPT_ATTEMPTS = 2

/** What the Job of an account is told to do. */
export function workSpecOf(scene: Scene, status: Status, kind: WorkKind, account: WorkAccount): WorkSpec {
  const { spec, input } = scene
  const { maxmemory, maxmemoryPolicy } = spec.redis.assume
  return {
    jobName: jobName(scene.name, kind, account.attempt),
    run: runOf(scene.resource.metadata.uid, account),
    kind,
    ...(account.direction === undefined ? {} : { direction: account.direction }),
    legacy: input.legacy,
    target: input.target,
    workspaceField: input.workspaceField,
    ignore: spec.keys.ignore,
    allowEmpty: spec.keys.allowEmpty,
    onMalformed: spec.keys.onMalformed,
    // What an earlier run left is judged by verify at DualWrite 100 %, or purged.
    ...(kind === 'preflight' || kind === 'purge' ? { allowTarget: documentOf(status.routing)?.targets !== false } : {}),
    queues: input.queues,
    redis: redisPlaceOf(spec.redis),
    ...tlsOf(spec.redis),
    maxKeysPerSecond: spec.worker.maxKeysPerSecond,
    maxRedisLatencyMs: durationMs(spec.worker.maxRedisLatency),
    assume: {
      ...(maxmemory === undefined ? {} : { maxmemory }),
      ...(maxmemoryPolicy === undefined ? {} : { maxmemoryPolicy }),
    },
  }
}

function tlsOf({ tls }: Spec['redis']): Pick<WorkSpec, 'tls'> {
  if (tls === undefined) return {}
  const { caSecretRef: ca, clientCertSecretRef, serverName } = tls
  return {
    tls: {
      ...(ca === undefined ? {} : { caFrom: `key ${ca.key} of Secret ${ca.name}` }),
      ...(clientCertSecretRef === undefined ? {} : { clientCert: true }),
      ...(serverName === undefined ? {} : { serverName }),
    },
  }
}

/** Creates the Jobs asked for, suspends or resumes those at work, removes those that are over and done with. */
export function jobActions(scene: Scene, status: Status, doc: RoutingDocument): readonly Action[] {
  const { jobs: seen } = scene.observations
  if (!seen.known) return []
  const { value: jobs } = seen
  const { paused } = scene.spec
  // A worker must look at the keys that clients look at: not before the document says what the spec says.
  const create =
    paused || hasDrifted(scene, doc)
      ? []
      : accounts(status).flatMap(([kind, account]): Action[] => {
          const name = jobName(scene.name, kind, account.attempt)
          if (account.state !== 'Creating' || jobs.some((job) => job.name === name)) return []
          return [
            {
              type: 'CreateJob',
              attempt: account.attempt,
              work: workSpecOf(scene, status, kind, account),
              suspend: false,
              ...(account.resumes === undefined ? {} : { resumes: jobName(scene.name, kind, account.resumes) }),
            },
          ]
        })
  const others = jobs.flatMap((job): Action[] => {
    const account = status.work?.[job.kind]
    if (account !== undefined && isOver(job, account, doc.phase, scene.observations.work))
      return [{ type: 'DeleteJob', name: job.name, keepsWork: isResumed(job, account) }]
    const atWork = job.state === 'Active' && account?.attempt === job.attempt && isOpen(account)
    return atWork && job.suspended !== paused ? [{ type: 'SuspendJob', name: job.name, suspend: paused }] : []
  })
  return [...others, ...create]
}

function isOver(job: JobObservation, account: WorkAccount, phase: Phase, work: readonly WorkObservation[]): boolean {
  if (job.attempt < account.attempt - KEPT_ATTEMPTS) return true
  if (job.state !== 'Active') return false
  if (job.attempt < account.attempt || !WORK_PHASES[job.kind].includes(phase)) return true
  if (isOpen(account)) return false
  // Closed while it works, what it would bring is void; with its worker ended, others alone keep it.
  return job.overstays !== undefined || !work.some(({ jobName: of, state }) => of === job.name && state === 'done')
}

/** The next attempt takes its checkpoint over. */
function isResumed({ attempt }: JobObservation, account: WorkAccount): boolean {
  return account.state === 'Waiting' ? account.attempt === attempt : isOpen(account) && account.resumes === attempt
}

/** Counts of a running Job are written this often and no more: each write wakes whoever watches. Metrics have them live. */
const PROGRESS_EVERY_MS = 5000

/** Jobs and progress in status: at once where a Job changes its state, else now and then. */
export function noteProgress(scene: Scene, status: Status): Status {
  const seen = scene.observations.jobs
  if (!seen.known) return status
  const jobs = noteJobs(scene, status, seen.value)
  const progress = progressOf(scene, status)
  const states = (lines: Status['jobs']): string =>
    canonicalJson((lines ?? []).map(({ name, state, message }) => ({ name, state, message })))
  const since = timeMs(status.progressAt) ?? -Infinity
  const running = progress !== undefined && status.progress !== undefined
  if (running && states(jobs) === states(status.jobs) && scene.now < since + PROGRESS_EVERY_MS) return status
  const same = canonicalJson({ jobs, progress }) === canonicalJson({ jobs: status.jobs, progress: status.progress })
  return same ? status : { ...status, jobs, progress, progressAt: isoTime(scene.now) }
}

/** One line for each kind of work: that of its attempt in hand. */
function noteJobs(scene: Scene, status: Status, jobs: readonly JobObservation[]): Status['jobs'] {
  const { work } = scene.observations
  const lines = accounts(status).map(([kind, account]): StatusJob => {
    const name = jobName(scene.name, kind, account.attempt)
    const job = jobs.find((candidate) => candidate.name === name)
    const at = work.find(({ jobName: of }) => of === name)
    const before = status.jobs?.find((line) => line.name === name)
    const message = account.message ?? at?.error ?? job?.message
    return {
      name,
      kind,
      state: stateText(account, job) ?? before?.state ?? account.state,
      done: at?.done ?? before?.done ?? 0,
      total: at?.total ?? before?.total ?? 0,
      rate: isOpen(account) ? (at?.rate ?? 0) : 0,
      ...(message === undefined ? {} : { message: cut(message, 1024) }),
    }
  })
  return lines.length === 0 ? undefined : lines
}

/** Progress of the Job at work, for people: an estimate that says so, never 100 % before it is done. */
function progressOf(scene: Scene, status: Status): string | undefined {
  for (const [kind, account] of accounts(status)) {
    const name = jobName(scene.name, kind, account.attempt)
    const at = scene.observations.work.find(({ jobName: of }) => of === name)
    if (!isOpen(account) || at?.state !== 'running') continue
    if (at.total === 0) return `${kind} ${count(at.done, 'key')}`
    const again = at.pass > 1 ? ` of pass ${at.pass}` : ''
    return `${kind} ~${Math.min(99, Math.floor((at.done / at.total) * 100))} %${again}`
  }
  return undefined
}

function stateText(account: WorkAccount, job: JobObservation | undefined): string | undefined {
  if (account.state === 'Waiting' || account.state === 'Held') return account.state
  // Its result counts from then on, also where the Job is deleted before it ends.
  if (account.state === 'Recorded') return 'Succeeded'
  if (job === undefined) return isOpen(account) ? account.state : undefined
  return job.suspended && job.state === 'Active' ? 'Suspended' : job.state
}

function accounts(status: Status): readonly (readonly [WorkKind, WorkAccount])[] {
  return WORK_KINDS.flatMap((kind) => {
    const account = status.work?.[kind]
    return account === undefined ? [] : [[kind, account] as const]
  })
}
