import type { Action, Answer, State } from './history/job.ts'
import { explain } from './history/explain.ts'
import { isExplained } from './history/loss.ts'
import { linearize, Undecided, type Operation } from './history/linearize.ts'

/** Operations kept of a job, to say in an explanation where a value came from. */
const REMEMBERED = 300

/** A primary without its replicas refuses writes after a second and is looked for after another. */
const LOSS_MS = 3000

interface Job {
  states: readonly State[]
  /** Since the last rest. */
  operations: Draft[]
  past: Operation[]
}

interface Draft {
  readonly id: number
  readonly by: string
  action: Action
  readonly call: number
  end: number
  answer: Answer | undefined
}

export interface Broken {
  readonly jobId: string
  readonly offending: Operation
  readonly text: string
}

/**
 * Histories of all jobs, judged one stretch between two rests after the other. At a rest nothing is in flight and whatever
 * had an unknown outcome is settled, so what a job may be then is all that must be kept of it.
 */
export class Histories {
  readonly #jobs = new Map<string, Job>()
  readonly #open = new Map<string, { readonly jobId: string; readonly draft: Draft }>()
  #ids = 0
  /** Operations judged, and those among them whose outcome was never known. */
  operations = 0
  unknown = 0
  /** Jobs whose stretch had too many possible orders to be judged. */
  undecided = 0

  /** `caller` and `callerId` name the operation until it has ended. */
  call(caller: string, callerId: number, jobId: string, call: number, action: Action): void {
    const draft = { id: (this.#ids += 1), by: caller, action, call, end: Infinity, answer: undefined }
    this.#job(jobId).operations.push(draft)
    this.#open.set(`${caller} ${callerId}`, { jobId, draft })
  }

  swap(caller: string, callerId: number, old: string, text: string): void {
    const open = this.#open.get(`${caller} ${callerId}`)
    if (open?.draft.action.kind === 'replace') open.draft.action = { ...open.draft.action, swap: { old, text } }
  }

  /** @returns the job */
  done(caller: string, callerId: number, end: number, answer: Answer): string | undefined {
    const open = this.#take(caller, callerId)
    if (open !== undefined) Object.assign(open.draft, { end, answer })
    return open?.jobId
  }

  /** The job of an operation in flight. */
  jobOf(caller: string, callerId: number): string | undefined {
    return this.#open.get(`${caller} ${callerId}`)?.jobId
  }

  /** It may happen until the next rest. */
  lost(caller: string, callerId: number): void {
    this.#take(caller, callerId)
  }

  /** Nothing was done. */
  refused(caller: string, callerId: number): void {
    const open = this.#take(caller, callerId)
    if (open === undefined) return
    const job = this.#job(open.jobId)
    job.operations = job.operations.filter((one) => one !== open.draft)
  }

  /** Everything that a caller has not heard of will never be heard of. */
  died(caller: string): void {
    for (const key of [...this.#open.keys()]) if (key.startsWith(`${caller} `)) this.#open.delete(key)
  }

  jobIds(): readonly string[] {
    return [...this.#jobs.keys()]
  }

  /** A job that is there before anyone works on it. */
  begin(jobId: string, state: State): void {
    this.#job(jobId).states = [state]
  }

  /**
   * Ends the stretch of a job with what its keys hold at rest. A broken one goes on from there. `torn`: a failover began then;
   * what was answered before that is judged as ever, and what is there now must be explained by what may be lost.
   */
  rest(
    jobId: string,
    [from, to]: readonly [number, number],
    seen: State,
    answer: Answer,
    torn?: number,
  ): Broken | undefined {
    const job = this.#job(jobId)
    const look: Operation = { id: (this.#ids += 1), by: 'rest', action: { kind: 'look' }, call: from, end: to, answer }
    // At rest the unknown is settled: what has not been done by now never will be.
    const operations = job.operations.map((one) => (one.answer === undefined ? { ...one, end: from } : one))
    operations.sort((a, b) => a.call - b.call)
    if (torn === undefined) operations.push(look)
    this.operations += job.operations.length
    this.unknown += operations.filter((one) => one.answer === undefined).length
    const { states, past } = job
    job.operations = []
    job.past = [...past, ...operations].slice(-REMEMBERED)
    job.states = [seen]
    try {
      if (torn !== undefined) return this.#tear(jobId, states, operations, look, torn)
      const verdict = linearize(states, operations)
      if (verdict.ok) {
        job.states = verdict.states
        return undefined
      }
      const { offending } = verdict
      return { jobId, offending, text: explain(jobId, states, operations, verdict, job.past) }
    } catch (error) {
      if (!(error instanceof Undecided)) throw error
      this.undecided += 1
      return undefined
    }
  }

  #tear(
    jobId: string,
    states: readonly State[],
    operations: readonly Operation[],
    look: Operation,
    torn: number,
  ): Broken | undefined {
    const open =
      (from: number) =>
      (one: Operation): Operation =>
        one.answer !== undefined && one.end > from ? { ...one, end: Infinity, answer: undefined } : one
    const before = operations.filter(({ call }) => call < torn).map(open(torn))
    const verdict = linearize(states, before)
    if (!verdict.ok) {
      const { offending } = verdict
      return { jobId, offending, text: explain(jobId, states, before, verdict, this.#jobs.get(jobId)?.past) }
    }
    const safe = torn - LOSS_MS
    const kept = linearize(states, operations.filter(({ call }) => call < safe).map(open(safe)))
    const since = operations.filter(({ end }) => end >= safe)
    const seen = this.#jobs.get(jobId)?.states[0]
    if (isExplained(seen, kept.ok ? kept.states : states, since)) return undefined
    const text = `job ${jobId}: more is lost than a failover may lose: ${String(look.answer)}, with ${since.length} operations from ${LOSS_MS} ms before it on`
    return { jobId, offending: look, text }
  }

  forget(jobId: string): void {
    this.#jobs.delete(jobId)
  }

  #take(caller: string, callerId: number) {
    const key = `${caller} ${callerId}`
    const open = this.#open.get(key)
    this.#open.delete(key)
    return open
  }

  #job(jobId: string): Job {
    let job = this.#jobs.get(jobId)
    if (job === undefined) this.#jobs.set(jobId, (job = { states: [undefined], operations: [], past: [] }))
    return job
  }
}
