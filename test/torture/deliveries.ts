/** Jobs that were made with a queue entry: each is delivered at least once, as itself, and its entry is never lost. */
interface Entry {
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
  delivered = 0

  constructor(homeOf: (jobId: string) => string) {
    this.#homeOf = homeOf
  }

  enqueued(jobId: string): void {
    this.#entries.set(jobId, { made: false, ack: 'none' })
  }

  made(jobId: string): void {
    const entry = this.#entries.get(jobId)
    if (entry !== undefined) entry.made = true
  }

  deliver(jobId: string, workspace: string | null): void {
    this.delivered += 1
    if (!this.#entries.has(jobId))
      this.#found.push({ invariant: 'I2', text: `job ${jobId} was delivered and never enqueued` })
    if (workspace !== this.#homeOf(jobId))
      this.#found.push({
        invariant: 'I3',
        text: `job ${jobId} of workspace ${this.#homeOf(jobId)} was delivered as one of ${String(workspace)}`,
      })
  }

  ack(jobId: string, done: boolean): void {
    const entry = this.#entries.get(jobId)
    if (entry !== undefined && entry.ack !== 'done') entry.ack = done ? 'done' : 'sent'
  }

  has(jobId: string): boolean {
    return this.#entries.has(jobId)
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
