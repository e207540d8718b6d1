import type { RoutingDocument } from '../protocol/document.ts'
import type { Connection } from '../redis/connection.ts'

const CONFIRM_MS = 5000
const RETRY_MS = 250

export interface AdoptionOptions {
  readonly connection: Pick<Connection, 'hasSentinels' | 'confirmPrimary'>
  /** Puts a document in force. */
  readonly follow: (doc: RoutingDocument) => void
  /** Called when what keeps a document from being followed changes; undefined: nothing. */
  readonly onProblem: (problem: string | undefined) => void
}

/**
 * Takes a newer routing only while most Sentinels name the server of the connection: a primary that a failover left behind goes
 * on taking writes, and none may be acknowledged there under a routing that was published after the failover. Until then
 * the routing before goes on, for as long as the fence lets it. Without Sentinels, and before anything was sent, it is taken at once.
 */
export class Adoption {
  readonly #options: AdoptionOptions
  #followed = false
  #next: RoutingDocument | undefined
  #timer: NodeJS.Timeout | undefined
  #problem: string | undefined
  #confirming = false

  constructor(options: AdoptionOptions) {
    this.#options = options
  }

  offer(doc: RoutingDocument): void {
    if (this.#followed && this.#options.connection.hasSentinels) {
      this.#next = doc
      if (!this.#confirming && this.#timer === undefined) void this.#confirm()
      return
    }
    this.#followed = true
    this.#options.follow(doc)
  }

  close(): void {
    this.#next = undefined
    clearTimeout(this.#timer)
  }

  async #confirm(): Promise<void> {
    this.#timer = undefined
    // What is offered while the Sentinels are asked may be younger than their answer.
    const asked = this.#next
    if (asked === undefined) return
    this.#confirming = true
    const problem = await this.#options.connection.confirmPrimary({ deadlineMs: CONFIRM_MS }).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
    this.#confirming = false
    if (this.#next === undefined) return
    this.#report(problem && `epoch ${asked.epoch} is not followed yet: ${problem}`)
    if (problem === undefined) this.#options.follow(asked)
    if (this.#next === asked && problem === undefined) this.#next = undefined
    else this.#timer = setTimeout(() => void this.#confirm(), problem === undefined ? 0 : RETRY_MS)
  }

  #report(problem: string | undefined): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.onProblem(problem)
  }
}
