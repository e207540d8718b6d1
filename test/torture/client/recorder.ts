import {
  Conflict,
  InvalidArgument,
  JobExists,
  NotReady,
  Refused,
  StaleEpoch,
  UnknownOutcome,
} from '../../../src/client/index.ts'
import type { Action, Answer } from '../history/job.ts'
import { say } from './log.ts'

/** Runs operations and tells of each before it is sent and after it was answered. */
export class Recorder {
  readonly #clockMs: number
  #last = 0

  constructor(clockMs: number) {
    this.#clockMs = clockMs
  }

  now(): number {
    return Number(process.hrtime.bigint()) / 1e6 + this.#clockMs
  }

  /** The answer, or undefined where it is unknown or nothing was done. */
  async run(
    jobId: string,
    action: Action,
    send: (id: number) => Promise<Answer>,
    before: (id: number) => void = () => undefined,
  ): Promise<Answer | undefined> {
    const id = (this.#last += 1)
    say(['call', id, jobId, this.now(), action])
    before(id)
    try {
      const answer = await send(id)
      say(['done', id, this.now(), answer])
      return answer
    } catch (error) {
      return this.#settle(id, action, error)
    }
  }

  #settle(id: number, action: Action, error: unknown): Answer | undefined {
    if (error instanceof UnknownOutcome) say(['unknown', id])
    else if (error instanceof JobExists) return this.#answered(id, 'exists')
    else if (error instanceof Conflict) return this.#answered(id, 'conflict')
    else if (error instanceof NotReady || error instanceof Refused || error instanceof StaleEpoch)
      say(['refused', id, error.code])
    // It waited until its expiry had passed.
    else if (error instanceof InvalidArgument && /expire in the past/.test(error.message))
      say(['refused', id, error.code])
    else {
      say(['unknown', id])
      say(['wrong', `${action.kind}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`])
    }
    return undefined
  }

  #answered(id: number, answer: Answer): Answer {
    say(['done', id, this.now(), answer])
    return answer
  }
}
