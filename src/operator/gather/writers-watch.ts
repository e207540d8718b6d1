import type { Connection } from '../../redis/connection.ts'
import { KeyshiftError, Refused } from '../../redis/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { ConnectionMemory } from './connection-memory.ts'
import { parseClientList } from './redis-clients.ts'
import type { Others } from './redis.ts'
import type { SeenBefore } from './writers.ts'

export interface WritersWatchOptions {
  readonly clock: Clock
  /** Somebody new works on the Redis of a resource (`namespace/name`). */
  readonly onNew: (resource: string) => void
  /** The watch for a resource ended by itself, which is a fault of the program. */
  readonly onFailed: (resource: string, error: unknown) => void
}

/** CLIENT LIST grows with the application: between steps the whole list is looked at this often, ms. */
const FRESH_MS = 15_000
/** Newcomers are asked for this often at most, and all resources together with 200 questions a second at most, ms. */
const NEWCOMERS_MS = 25
const SHARE_MS = 5
const RETRY_MS = 1000
/** Without the right to ask, each question is a line in the ACL log. */
const REFUSED_MS = 60_000
/** Limit of a question, ms. */
const CALL = { deadlineMs: 5000 }

interface Entry {
  readonly memory: ConnectionMemory
  readonly connection: Connection
  readonly stop: AbortController
  known: { readonly at: number; readonly by: string; readonly value: Others } | undefined
  watched: boolean
}

/** Who works on the Redis of each resource: whole lists at times, and between them whoever comes, if only for a moment. */
export class WritersWatch {
  readonly #options: WritersWatchOptions
  readonly #entries = new Map<string, Entry>()

  constructor(options: WritersWatchOptions) {
    this.#options = options
  }

  /** `live`: looks anew, whatever is known. @throws what `ask` throws */
  async look(
    resource: string,
    connection: Connection,
    live: boolean,
    observers: readonly string[],
    ask: (memory: SeenBefore) => Promise<Others>,
  ): Promise<Others> {
    const now = () => this.#options.clock.monotonic()
    const entry = this.#entry(resource, connection)
    const { known, memory } = entry
    const by = observers.join('\n')
    if (!live && known?.by === by && now() - known.at < FRESH_MS) return known.value
    const value = await ask({
      recent: memory.recent(now()),
      onList: (lines) => memory.note(lines, now(), true),
    })
    entry.known = { at: now(), by, value }
    // Not before the first whole list: newcomers are those after it.
    if (!entry.watched) this.#run(resource, entry).catch((error: unknown) => this.#options.onFailed(resource, error))
    entry.watched = true
    return value
  }

  /** The resource is gone. */
  forget(resource: string): void {
    this.#entries.get(resource)?.stop.abort()
    this.#entries.delete(resource)
  }

  close(): void {
    for (const resource of [...this.#entries.keys()]) this.forget(resource)
  }

  #entry(resource: string, connection: Connection): Entry {
    const found = this.#entries.get(resource)
    if (found?.connection === connection) return found
    this.forget(resource)
    const memory = new ConnectionMemory()
    const entry = {
      memory,
      connection,
      stop: new AbortController(),
      known: undefined,
      watched: false,
    }
    this.#entries.set(resource, entry)
    return entry
  }

  async #run(resource: string, entry: Entry): Promise<void> {
    const { clock, onNew } = this.#options
    const { signal } = entry.stop
    let waitMs = NEWCOMERS_MS
    for (;;) {
      await clock.sleep(waitMs, signal)
      if (signal.aborted) return
      waitMs = Math.max(NEWCOMERS_MS, this.#entries.size * SHARE_MS)
      try {
        const answer = await entry.connection.call(['CLIENT', 'LIST', 'ID', ...entry.memory.ids()], CALL)
        if (!entry.memory.note(parseClientList(String(answer)), clock.monotonic())) continue
        entry.known = undefined
        onNew(resource)
      } catch (error) {
        if (!(error instanceof KeyshiftError)) throw error
        waitMs = error instanceof Refused ? REFUSED_MS : RETRY_MS
        // It may be another process by now, whose numbers begin anew.
        if (!(error instanceof Refused)) entry.known = undefined
      }
    }
  }
}
