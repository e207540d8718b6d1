/** Jobs that were made with a queue entry: each is delivered at least once, as itself, and its entry is never lost. */
interface Entry {
  /** What others say of an entry may be heard before what its maker says. */
  enqueued: boolean
  delivered: boolean
  /** true: acknowledged; false: unknown so far or for good. */
  made: boolean
  /** An acknowledgement of its delivery was sent, or was done. */
  ack: 'none' | 'sent' | 'done'
}

export interface Misdelivery {
  readonly invariant: 'I2' | 'I3'
  readonly text: string
}

export class Deliveries {
  readonly #entries = new Map<string, Entry>()
  readonly #found: Misdelivery[] = []
  readonly #homeOf: (jobId: string) => string

  constructor(homeOf: (jobId: string) => string) {
    this.#homeOf = homeOf
  }

  enqueued(jobId: string): void {
    this.#entry(jobId).enqueued = true
  }

  /** The job was created; where no entry was asked for that is nothing to this. */
  made(jobId: string): void {
    const entry = this.#entries.get(jobId)
    if (entry !== undefined) entry.made = true
  }

  deliver(jobId: string, workspace: string | null): void {
    this.#entry(jobId).delivered = true
    const home = this.#homeOf(jobId)
    if (workspace !== home)
      this.#found.push({
        invariant: 'I3',
        text: `job ${jobId} of ${home} was delivered as one of ${String(workspace)}`,
      })
  }

  ack(jobId: string, done: boolean): void {
    const entry = this.#entry(jobId)
    if (entry.ack !== 'done') entry.ack = done ? 'done' : 'sent'
  }

  #entry(jobId: string): Entry {
    let entry = this.#entries.get(jobId)
    if (entry === undefined) {
      entry = { enqueued: false, delivered: false, made: false, ack: 'none' }
      this.#entries.set(jobId, entry)
    }
    return entry
  }

  /** A failover took back what nobody can tell: what waits now is all that there is. */
  forgive(waiting: (jobId: string) => number): void {
    for (const [jobId, entry] of this.#entries)
      Object.assign(entry, { made: false, ack: waiting(jobId) > 0 ? 'none' : 'sent', delivered: false })
  }

  /**
   * Judges all entries at rest. `exists`: the job's key is there; `waiting`: entries of it in the queue and in processing.
   * Jobs that need no more judging are returned, to be forgotten.
   */
  rest(
    exists: (jobId: string) => boolean,
    waiting: (jobId: string) => number,
  ): { readonly over: string[]; readonly found: Misdelivery[] } {
    const over: string[] = []
    const found = this.#found.splice(0)
    const wrong = (text: string): void => void found.push({ invariant: 'I2', text })
    for (const [jobId, entry] of this.#entries) {
      const [there, entries] = [exists(jobId), waiting(jobId)]
      if (entry.delivered && !entry.enqueued) wrong(`job ${jobId} was delivered and never enqueued`)
      if (entry.made && entries === 0 && entry.ack === 'none')
        wrong(`the entry of job ${jobId} is lost: it was never acknowledged`)
      if (!entry.made && there && entries === 0 && entry.ack === 'none')
        wrong(`job ${jobId} was made without its entry`)
      if (!there && entries > 0) wrong(`the entry of job ${jobId} was made without the job`)
      if (entry.ack === 'done' && entries > 0) wrong(`the entry of job ${jobId} is back after it was acknowledged`)
      if (entries > 1) wrong(`job ${jobId} has ${entries} entries`)
      if (entries === 0) {
        over.push(jobId)
        this.#entries.delete(jobId)
      }
    }
    return { over, found }
  }
}
