import type { Job, KeyshiftClient } from '../../../src/client/index.ts'
import { stateText, type Action, type Answer, type Command, type Value } from '../history/job.ts'
import { homeOf, pick, QUEUES, WORKSPACES, type Encoding } from '../jobs.ts'
import type { Recorder } from './recorder.ts'
import { say } from './log.ts'

/** Limit of most operations, and of a few that often run out of it, ms. */
const DEADLINE_MS = 2500
const SHORT_DEADLINE_MS = 40

type Kind =
  'create' | 'brief' | 'get' | 'update' | 'cas' | 'mutate' | 'delete' | 'expire' | 'persist' | 'push' | 'enqueue'
const WEIGHTS: readonly (readonly [Kind, number])[] = [
  ['get', 36],
  ['create', 14],
  ['brief', 5],
  ['update', 12],
  ['cas', 9],
  ['mutate', 7],
  ['delete', 7],
  ['expire', 2],
  ['persist', 2],
  ['enqueue', 6],
]
const TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)

/** Everything that is drawn for one operation, at once, so that no answer moves what is drawn for the next. */
interface Draw {
  readonly kind: Kind
  readonly jobId: string
  readonly workspace: string
  readonly lifeMs: number
  readonly short: boolean
  readonly repeatable: boolean
}

export interface SessionOptions<E extends Encoding> {
  readonly client: KeyshiftClient<E>
  readonly encoding: E
  /** Begins every value that it writes, so that each is written once only. */
  readonly tag: string
  readonly recorder: Recorder
  readonly random: () => number
}

/** One caller after another operation, on jobs that others work on as well. */
export class Session<E extends Encoding> {
  readonly #options: SessionOptions<E>
  /** What was last seen of a job, for compare-and-set. */
  readonly #seen = new Map<string, string>()
  #written = 0

  constructor(options: SessionOptions<E>) {
    this.#options = options
  }

  async step(jobs: readonly string[]): Promise<void> {
    const draw = this.#draw(jobs)
    const { kind, jobId, workspace } = draw
    if (kind === 'create' || kind === 'brief') return void (await this.#create(draw, undefined))
    if (kind === 'enqueue') return void (await this.#create(draw, QUEUES[this.#options.encoding]))
    if (kind === 'get') return void (await this.#get(jobId, workspace, draw))
    if (kind === 'expire' || kind === 'persist') return void (await this.#expire(draw))
    const { recorder } = this.#options
    if (kind === 'delete')
      return void (await recorder.run(jobId, { kind, workspace }, (id) =>
        this.#told(this.#store(workspace).delete(jobId, this.#with(draw, id))),
      ))
    await (this.#options.encoding === 'hash' ? this.#changeHash(draw) : this.#changeText(draw))
  }

  #draw(jobs: readonly string[]): Draw {
    const { random, encoding } = this.#options
    let at = random() * TOTAL
    const kind = WEIGHTS.find(([, weight]) => (at -= weight) < 0)?.[0] ?? 'get'
    // Some jobs are busier than others.
    const jobId = jobs[Math.floor(random() ** 1.5 * jobs.length)] as string
    const stranger = random() < 0.08
    const other = pick(random, WORKSPACES)
    const [lifeMs, short, repeatable] = [300 + random() * 2500, random() < 0.01, random() < 0.2]
    const fresh = kind === 'enqueue' ? `${encoding[0]}q-${this.#options.tag}-${this.#written}` : jobId
    return {
      kind,
      jobId: fresh,
      workspace: stranger && kind !== 'enqueue' ? other : homeOf(fresh),
      lifeMs,
      short,
      repeatable,
    }
  }

  async #create(draw: Draw, queue: string | undefined): Promise<void> {
    const { recorder } = this.#options
    const { jobId, workspace } = draw
    const expiresAt = draw.kind === 'brief' ? Math.round(recorder.now() + draw.lifeMs) : null
    const value = this.#value(workspace)
    await recorder.run(
      jobId,
      { kind: 'create', workspace, value, expiresAt },
      async (id) => {
        const options = { ...this.#with(draw, id), ...(expiresAt === null ? {} : { expiresAt }) }
        const store = this.#store(workspace)
        await (queue === undefined
          ? store.create(jobId, value as never, options)
          : store.enqueue(jobId, value as never, { ...options, queue }))
        return 'ok'
      },
      (id) => {
        if (queue !== undefined) say(['enqueue', id])
      },
    )
  }

  async #get(jobId: string, workspace: string, draw?: Draw): Promise<void> {
    await this.#options.recorder.run(jobId, { kind: 'get', workspace }, async (id) => {
      const job = await this.#store(workspace).get(jobId, draw === undefined ? {} : this.#with(draw, id))
      const seen = job === undefined ? undefined : tagIn(job.value)
      if (seen !== undefined) this.#seen.set(jobId, seen)
      return jobText(job)
    })
  }

  async #expire(draw: Draw): Promise<void> {
    const { recorder } = this.#options
    const { jobId, workspace } = draw
    const expiresAt = draw.kind === 'persist' ? null : Math.round(recorder.now() + draw.lifeMs)
    await recorder.run(jobId, { kind: 'expire', workspace, expiresAt }, (id) => {
      const expiry = expiresAt === null ? ({ persist: true } as const) : { expiresAt }
      return this.#told(this.#store(workspace).expire(jobId, expiry, this.#with(draw, id)))
    })
  }

  async #changeHash(draw: Draw): Promise<void> {
    const { recorder, client } = this.#options
    const { kind, jobId, workspace } = draw
    const store = (client as KeyshiftClient<'hash'>).forWorkspace(workspace)
    const tag = this.#next()
    if (kind === 'mutate') {
      const commands: readonly Command[] = [
        ['HSET', 'b', tag],
        ['HINCRBY', 'n', 1],
      ]
      await recorder.run(jobId, { kind, workspace, commands }, async (id) => {
        const results = await store.mutate(jobId, commands, this.#with(draw, id))
        return results === undefined ? 'absent' : JSON.stringify(results)
      })
      return
    }
    const expect = kind === 'cas' ? { expect: { a: this.#seen.get(jobId) ?? 'never' } } : {}
    const set = kind === 'cas' ? { a: tag } : { a: tag, b: tag }
    const action: Action = { kind: 'update', workspace, set, ...expect }
    const answer = await recorder.run(jobId, action, (id) =>
      this.#told(store.update(jobId, set, { ...this.#with(draw, id), ...expect })),
    )
    if (answer === 'ok') this.#seen.set(jobId, tag)
  }

  async #changeText(draw: Draw): Promise<void> {
    const { recorder, client } = this.#options
    const { jobId, workspace } = draw
    const store = (client as unknown as KeyshiftClient<'json'>).forWorkspace(workspace)
    await recorder.run(jobId, { kind: 'replace', workspace }, (id) =>
      this.#told(
        store.update(
          jobId,
          (old) => {
            const text = this.#value(workspace) as string
            say(['swap', id, old, text])
            return text
          },
          { ...this.#with(draw, id), maxTries: 3 },
        ),
      ),
    )
  }

  async #told(done: Promise<boolean>): Promise<Answer> {
    return (await done) ? 'ok' : 'absent'
  }

  #store(workspace: string) {
    return this.#options.client.forWorkspace(workspace)
  }

  #with({ short, repeatable }: Draw, id: number) {
    return {
      deadlineMs: short ? SHORT_DEADLINE_MS : DEADLINE_MS,
      ...(repeatable ? { operationId: `${this.#options.tag}-${id}` } : {}),
    }
  }

  #value(workspace: string): Value {
    const tag = this.#next()
    return this.#options.encoding === 'hash'
      ? { workspace_id: workspace, a: tag, b: tag, n: '0' }
      : `{"workspace_id":"${workspace}", "a":"${tag}", "big": 12345678901234567890}`
  }

  #next(): string {
    return `${this.#options.tag}-${(this.#written += 1)}`
  }
}

/** A job as a history has it. */
export function jobText(job: Job<Encoding> | undefined): Answer {
  if (job === undefined) return stateText(undefined)
  return stateText({ workspace: workspaceIn(job.value), value: job.value, expiresAt: job.expiresAt ?? null })
}

function workspaceIn(value: Value): string {
  const fields = typeof value === 'string' ? (JSON.parse(value) as Record<string, string>) : value
  return fields['workspace_id'] ?? ''
}

function tagIn(value: Value): string | undefined {
  return typeof value === 'string' ? undefined : value['a']
}
