import { NoAnswer, type Answer, type Api } from './http-api.ts'
import { WORKSPACES, hashFields, jsonFields } from './jobs.ts'
import { judge, judgeStatus, versionOf, type Value } from './judge.ts'
import { isOpen, presence, type Entry, type Ledger, type Presence } from './ledger.ts'
import { seededRandom } from './random.ts'
import { Violations } from './violations.ts'

export interface TrafficOptions {
  readonly api: Api
  readonly ledger: Ledger
  /** Requests a second. */
  readonly rate: number
  /** Milliseconds of Redis's clock. */
  readonly now: () => number
  readonly seed?: number
}

type Act = 'create' | 'read' | 'update' | 'delete' | 'expire' | 'list' | 'probe'

/** Of 400 requests in turn; one asks for a job of another workspace, far below what the isolation check allows. */
const MIX: readonly (readonly [Act, number])[] = [
  ['create', 100],
  ['read', 164],
  ['update', 95],
  ['delete', 24],
  ['expire', 12],
  ['list', 4],
  ['probe', 1],
]
const ROUND = MIX.flatMap(([act, times]) => Array.from({ length: times }, () => act))

const TICK_MS = 20
const MAX_IN_FLIGHT = 64
const DAY_MS = 86_400_000
/** No pod for so long is a failure of the service. */
const AWAY_LIMIT_MS = 30_000

/**
 * Live traffic over HTTP. It remembers every acknowledged write and judges each answer against that record: versions
 * only rise, the deleted stay gone, other workspaces see nothing.
 */
export class Traffic {
  readonly violations = new Violations()
  /**
   * `total`: answered. `failed`: an error answer, or no pod within 30 s. `retried`: answered at another try, where the first
   * was not sent or was a read. `unknown`: writes that were cut, or whose outcome the app itself could not learn.
   */
  readonly requests = { total: 0, failed: 0, retried: 0, unknown: 0 }
  /** What the first failed requests answered. */
  readonly failures: string[] = []
  readonly #options: TrafficOptions
  readonly #random: () => number
  readonly #acts: Act[]
  readonly #flying = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #due = 0
  #turn = 0
  #made = 0

  constructor(options: TrafficOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed ?? 1)
    this.#acts = shuffled(ROUND, this.#random)
  }

  start(): void {
    let last = Date.now()
    this.#timer = setInterval(() => {
      const now = Date.now()
      // After a stall of this process the missed requests are not made up for: the rate is a bound.
      this.#due += (this.#options.rate * Math.min(now - last, 200)) / 1000
      last = now
      for (; this.#due >= 1; this.#due -= 1) if (this.#flying.size < MAX_IN_FLIGHT) this.step()
    }, TICK_MS)
  }

  /** Ends it; resolves when every request under way has been answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#flying)
  }

  /** One request, of the kind whose turn it is. */
  step(): void {
    const act = this.#acts[this.#turn++ % this.#acts.length] ?? 'read'
    const work = this.#do(act).finally(() => this.#flying.delete(work))
    this.#flying.add(work)
  }

  #do(act: Act): Promise<void> {
    if (act === 'create') return this.#create()
    const entry = this.#pick(act === 'read')
    if (entry === undefined) return Promise.resolve()
    if (act === 'read') return this.#read(entry)
    if (act === 'list') return this.#list(entry.workspace)
    if (act === 'probe') return this.#probe(entry)
    if (entry.writing) return this.#read(entry)
    return act === 'update' ? this.#update(entry) : act === 'delete' ? this.#delete(entry) : this.#expire(entry)
  }

  // Reads look at the gone as well: they must stay gone.
  #pick(any: boolean): Entry | undefined {
    for (let tries = 0; tries < 20; tries++) {
      const entry = this.#options.ledger.pick(this.#random)
      if (entry === undefined) continue
      if (any || (entry.state === 'live' && (entry.writing || !isOpen(entry)))) return entry
    }
    return undefined
  }

  async #create(): Promise<void> {
    const { ledger, now } = this.#options
    const id = `live-${++this.#made}-${Math.floor(this.#random() * 1e9).toString(36)}`
    const workspace = WORKSPACES[Math.floor(this.#random() * WORKSPACES.length)] ?? ''
    const r = this.#random()
    const expiresAt = r < 0.1 ? now() + 15_000 + Math.floor(r * 600_000) : r < 0.3 ? now() + DAY_MS : undefined
    const queued = ledger.store.queue !== undefined
    const entry = ledger.add({ id, workspace, seeded: false, queued, expiresAt })
    entry.writing = true
    entry.moves += 1
    entry.unknown = 'create' // Until the answer is there.
    const fields = queued ? { ...hashFields(workspace, id, 0), status: 'queued' } : jsonFields(workspace, id, 0)
    const answer = await this.#send('POST', '/jobs', { workspace, job: id, fields, ...(expiresAt && { expiresAt }) })
    entry.writing = false
    entry.moves += 1
    if (answer?.status === 201) {
      entry.unknown = undefined
      ledger.counts.created += 1
    } else if (answer !== undefined) this.#fail('create', answer)
  }

  async #read(entry: Entry): Promise<void> {
    const { now } = this.#options
    const from = now()
    const before = { least: entry.acked, moves: entry.moves, status: entry.statusSeen, calm: !isMoving(entry) }
    const answer = await this.#send('GET', pathOf(entry))
    if (answer === undefined) return
    const moved = !before.calm || entry.moves !== before.moves
    const expected: Presence = moved ? 'either' : presence(entry, from, now())
    const what = `${entry.workspace}/${entry.id}`
    if (answer.status === 404) {
      if (expected === 'there') this.violations.add('lost', what, 'a read found nothing')
      // The delete without an answer was done: from now on it is gone for good.
      else if (!moved && entry.unknown === 'delete') Object.assign(entry, { state: 'deleted', unknown: undefined })
    } else if (answer.status !== 200) this.#fail('read', answer)
    else if (expected === 'gone') this.violations.add('resurrected', what, `a read found a job that ${gone(entry)}`)
    else this.#judgeRead(entry, answer, before)
  }

  #judgeRead(entry: Entry, answer: Answer, before: { least: number; status: number }): void {
    const what = `${entry.workspace}/${entry.id}`
    const value = valueOf(answer.body)
    if (value === undefined) return this.violations.add('different', what, 'a read answered without a value')
    const verdict = judge(entry, value, before.least)
    if (verdict !== undefined) return this.violations.add(verdict.fault, what, `a read ${verdict.why}`)
    const back = judgeStatus(entry, value, before.status)
    if (back !== undefined) this.violations.add('stale', what, `a read ${back}`)
    // What one read has shown, no later one may take back.
    entry.acked = Math.max(entry.acked, versionOf(value))
    if (entry.unknown === 'create') entry.unknown = undefined
  }

  async #update(entry: Entry): Promise<void> {
    const { ledger } = this.#options
    const v = entry.acked + 1
    const fields =
      ledger.store.encoding === 'hash'
        ? { v: String(v), payload: hashFields(entry.workspace, entry.id, v)['payload'] }
        : jsonFields(entry.workspace, entry.id, v)
    const increment = ledger.store.encoding === 'hash' ? { updates: 1 } : undefined
    entry.issued = v
    await this.#write(entry, 'PATCH', pathOf(entry), { fields, ...(increment && { increment }) }, () => {
      entry.acked = v
      ledger.counts.updated += 1
    })
  }

  async #delete(entry: Entry): Promise<void> {
    entry.moves += 1
    const acknowledged = (): void => {
      entry.state = 'deleted'
      this.#options.ledger.counts.deleted += 1
    }
    await this.#write(entry, 'DELETE', pathOf(entry), undefined, acknowledged, () => (entry.unknown = 'delete'))
    entry.moves += 1
  }

  async #expire(entry: Entry): Promise<void> {
    const { now, ledger } = this.#options
    const r = this.#random()
    const expiresAt = now() + (r < 0.3 ? 15_000 + Math.floor(r * 200_000) : DAY_MS)
    entry.moves += 1
    const acknowledged = (): void => {
      entry.expiresAt = expiresAt
      ledger.counts.updated += 1
    }
    const unknown = (): void => void (entry.otherExpiry = expiresAt)
    await this.#write(entry, 'PUT', `${pathOf(entry)}/expire`, { expiresAt }, acknowledged, unknown)
    entry.moves += 1
  }

  async #write(
    entry: Entry,
    method: string,
    path: string,
    body: unknown,
    acknowledged: () => void,
    unknown: () => void = () => {},
  ): Promise<void> {
    const { now } = this.#options
    const from = now()
    entry.writing = true
    const answer = await this.#send(method, path, body)
    const expected = presence(entry, from, now())
    const what = `${entry.workspace}/${entry.id}`
    if (answer === undefined) unknown()
    else if (answer.status === 200 || answer.status === 204) {
      if (expected === 'gone') this.violations.add('resurrected', what, `${method} changed a job that ${gone(entry)}`)
      acknowledged()
    } else if (answer.status === 404) {
      if (expected === 'there') this.violations.add('lost', what, `${method} found nothing`)
    } else {
      unknown()
      this.#fail(method, answer)
    }
    entry.writing = false
  }

  async #list(workspace: string): Promise<void> {
    const { ledger } = this.#options
    const answer = await this.#send('GET', `/workspaces/${workspace}/jobs`)
    if (answer === undefined) return
    if (answer.status !== 200) return this.#fail('list', answer)
    const jobs = (answer.body as { jobs?: readonly { job: string; workspace: string }[] }).jobs ?? []
    const seen = new Set<string>()
    for (const { job, workspace: owner } of jobs) {
      const known = ledger.get(job)?.workspace
      if (owner !== workspace || (known !== undefined && known !== workspace))
        this.violations.add('leaked', `${workspace}/${job}`, `a list of ${workspace} shows a job of ${known ?? owner}`)
      if (seen.has(job))
        this.violations.add('different', `${workspace}/${job}`, 'one page of a list shows the job twice')
      seen.add(job)
    }
  }

  /** Asks for a job as another workspace, by each verb in turn: the answer is "not found", and nothing changes. */
  async #probe(entry: Entry): Promise<void> {
    const other = WORKSPACES[(WORKSPACES.indexOf(entry.workspace) + 7) % WORKSPACES.length] ?? ''
    const method = ['GET', 'PATCH', 'DELETE'][Math.floor(this.#random() * 3)] ?? 'GET'
    const body = method === 'PATCH' ? { fields: { payload: 'written by another workspace' } } : undefined
    const answer = await this.#send(method, `/workspaces/${other}/jobs/${entry.id}`, body)
    if (answer === undefined || answer.status === 404) return
    if (answer.status >= 400) return this.#fail(`${method} of another workspace`, answer)
    this.violations.add('leaked', `${entry.workspace}/${entry.id}`, `${method} as ${other} answered ${answer.status}`)
  }

  /** Sends until answered where that is safe; undefined when the outcome is unknown, or no pod was there. */
  async #send(method: string, path: string, body?: unknown): Promise<Answer | undefined> {
    const giveUpAt = Date.now() + AWAY_LIMIT_MS
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#options.api.send(method, path, body)
        this.requests.total += 1
        if (attempt > 1) this.requests.retried += 1
        if (method === 'GET' || !isUnknown(answer)) return answer
        this.requests.unknown += 1
        return undefined
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
        if (error.sent && method !== 'GET') {
          this.requests.unknown += 1
          return undefined
        }
        if (Date.now() > giveUpAt) {
          this.#fail(`${method} ${path}`, { status: 0, body: error.message })
          return undefined
        }
        await new Promise((resolve) => setTimeout(resolve, Math.min(100 * attempt, 1000)))
      }
    }
  }

  #fail(what: string, answer: Answer): void {
    this.requests.failed += 1
    if (this.failures.length < 20)
      this.failures.push(`${what}: ${answer.status} ${JSON.stringify(answer.body)?.slice(0, 200)}`)
  }
}

const pathOf = (entry: Entry): string => `/workspaces/${entry.workspace}/jobs/${entry.id}`
const gone = (entry: Entry): string => (entry.state === 'deleted' ? 'was deleted' : 'had expired')

/** A delete or expiry is on its way: `moves` is odd. */
const isMoving = (entry: Entry): boolean => entry.moves % 2 === 1

/** The app says that it does not know whether the write was done. */
const isUnknown = ({ body }: Answer): boolean =>
  typeof body === 'object' && body !== null && (body as { outcome?: string }).outcome === 'unknown'

function valueOf(body: unknown): Value | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { fields, text } = body as { fields?: Record<string, string>; text?: string }
  return text ?? fields
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const out = [...items]
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[out[i], out[j]] = [out[j] as T, out[i] as T]
  }
  return out
}
