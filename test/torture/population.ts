/** Which jobs are worked on in which round, and which are there without anyone touching them. */
import { homeOf } from './jobs.ts'

const SHORT = 20
const LONG = 12
const LONG_ROUNDS = 6
/** Rounds that every second short job stays after its own, untouched. */
const STAYS = 6
const SEEDS = 80

export interface SeedJob {
  readonly jobId: string
  readonly workspace: string
  readonly value: Readonly<Record<string, string>> | string
  /** Makes its legacy key. */
  readonly command: readonly [string, ...string[]]
}

export class Population {
  readonly #closesAt = new Map<string, number>()

  /** Ids that clients work on in a round, those that live for some rounds first. */
  jobsOf(round: number): readonly string[] {
    const jobs: string[] = []
    const add = (jobId: string, until: number): void => {
      jobs.push(jobId)
      this.#closesAt.set(jobId, until)
    }
    for (const kind of ['h', 's']) {
      for (let i = 0; i < LONG; i += 1) {
        const generation = Math.floor((round + i) / LONG_ROUNDS)
        add(`${kind}l${i}.${generation}`, (generation + 1) * LONG_ROUNDS - i - 1)
      }
      for (let i = 0; i < SHORT; i += 1) add(`${kind}r${round}.${i}`, i % 2 === 0 ? round : round + STAYS)
    }
    return jobs
  }

  /** Jobs that are not needed after the rest of this round. */
  closing(round: number): readonly string[] {
    const closing = [...this.#closesAt].filter(([, until]) => until <= round).map(([jobId]) => jobId)
    for (const jobId of closing) this.#closesAt.delete(jobId)
    return closing
  }

  seeds(): readonly SeedJob[] {
    return ['h', 's'].flatMap((kind) =>
      Array.from({ length: SEEDS / 2 }, (_, i): SeedJob => {
        const jobId = `${kind}seed${i}`
        const workspace = homeOf(jobId)
        const key = `ai:job:${jobId}`
        if (kind === 's') {
          const value = `{ "big": 9007199254740993, "workspace_id": "${workspace}" }`
          return { jobId, workspace, value, command: ['SET', key, value] }
        }
        const value = { workspace_id: workspace, a: `seed-${i}` }
        return { jobId, workspace, value, command: ['HSET', key, ...Object.entries(value).flat()] }
      }),
    )
  }
}
