import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Action, JobObservation } from '../../../src/decision/types.ts'
import { WORK_ENV, type WorkSpec } from '../../../src/protocol/work.ts'
import { startTied } from './child.ts'

const PROGRAM = join(import.meta.dirname, '../../../src/worker/main.ts')
/** As the Jobs of the operator have it. */
const BACKOFF_LIMIT = 6
const RETRY_MS = 200

interface WorkerJob {
  readonly work: WorkSpec
  readonly attempt: number
  state: JobObservation['state']
  suspended: boolean
  tries: number
  /** Killed, stopped or doubled. */
  disturbed: boolean
  readonly processes: Set<ChildProcess>
  message?: string
}

/** Stands in for Job controller and kubelet: runs the worker program of each Job, and again when it dies. */
export class Workers {
  readonly #dir: string
  readonly #jobs = new Map<string, WorkerJob>()
  #closed = false

  constructor(dir: string) {
    this.#dir = dir
  }

  observe(): readonly JobObservation[] {
    return [...this.#jobs].map(([name, { work, attempt, state, suspended, message }]) => ({
      name,
      kind: work.kind,
      attempt,
      state,
      suspended,
      ...(message === undefined ? {} : { message }),
    }))
  }

  create({ work, attempt, suspend }: Extract<Action, { type: 'CreateJob' }>, redis: string): void {
    if (this.#jobs.has(work.jobName)) return
    const job: WorkerJob = {
      work: { ...work, redis },
      attempt,
      state: 'Active',
      suspended: suspend,
      tries: 0,
      disturbed: false,
      processes: new Set(),
    }
    this.#jobs.set(work.jobName, job)
    if (!suspend) this.#run(job)
  }

  suspend(name: string, suspend: boolean): void {
    const job = this.#jobs.get(name)
    if (job === undefined || job.suspended === suspend) return
    job.suspended = suspend
    if (suspend) for (const child of job.processes) child.kill('SIGTERM')
    else if (job.processes.size === 0) this.#run(job)
  }

  delete(name: string): void {
    const job = this.#jobs.get(name)
    this.#jobs.delete(name)
    // Also as a process that outlives its Job for a moment.
    for (const child of job?.processes ?? []) child.kill('SIGTERM')
  }

  wasDisturbed(name: string): boolean {
    return this.#jobs.get(name)?.disturbed ?? false
  }

  /** Processes at work. */
  get running(): number {
    return this.#all().length
  }

  /** Ends every worker at work; its Job starts another. @returns how many there were */
  kill(): number {
    const all = this.#all()
    for (const { job, child } of all) {
      job.disturbed = true
      child.kill('SIGCONT')
      child.kill('SIGKILL')
    }
    return all.length
  }

  /** Starts a second process beside each one at work. */
  double(): void {
    for (const { job } of this.#all()) {
      job.disturbed = true
      this.#run(job)
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const { job, child } of this.#all()) {
      job.disturbed = true
      child.kill(signal)
    }
  }

  async stop(): Promise<void> {
    this.#closed = true
    const ends = this.#all().map(({ child }) => once(child, 'exit'))
    for (const { child } of this.#all()) {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
    }
    await Promise.all(ends)
  }

  #all(): readonly { readonly job: WorkerJob; readonly child: ChildProcess }[] {
    return [...this.#jobs.values()].flatMap((job) => [...job.processes].map((child) => ({ job, child })))
  }

  #run(job: WorkerJob): void {
    const env = {
      PATH: process.env['PATH'],
      [WORK_ENV]: JSON.stringify(job.work),
      KEYSHIFT_TERMINATION_LOG: '/dev/null',
      KEYSHIFT_SECRETS_DIR: join(this.#dir, 'no-secrets'),
    }
    const logFile = join(this.#dir, 'workers.log')
    const child = startTied([process.execPath, PROGRAM], { env, stdout: 'ignore', logFile })
    job.processes.add(child)
    child.once('exit', (code) => {
      job.processes.delete(child)
      this.#ended(job, code)
    })
  }

  #ended(job: WorkerJob, code: number | null): void {
    if (this.#closed || job.state !== 'Active' || job.suspended || !this.#jobs.has(job.work.jobName)) return
    if (code === 0) job.state = 'Succeeded'
    if (code === 0 || job.processes.size > 0) return
    job.tries += 1
    if (job.tries > BACKOFF_LIMIT) {
      job.state = 'Failed'
      job.message = 'BackoffLimitExceeded'
      return
    }
    setTimeout(() => {
      if (!this.#closed && job.state === 'Active' && !job.suspended && job.processes.size === 0) this.#run(job)
    }, RETRY_MS).unref()
  }
}
