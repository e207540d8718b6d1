import { introducesItself, saysKeyshift, writes, type RedisClientLine } from './redis-clients.ts'

/** Tools come back within minutes: what was seen is kept for so long, ms. */
const REMEMBERED_MS = 600_000
const MOST_REMEMBERED = 256
const MOST_YOUNG = 64
/** How many connections may come and go between two looks without those after them being missed. */
const AHEAD = 64

/**
 * Which connections Redis had lately, those included that were there for a moment: Redis numbers its connections, so that the next
 * ones can be asked for by the ids that they will get, which costs the same however many connections there are.
 */
export class ConnectionMemory {
  #newest = 0
  /** Not introduced yet. */
  #young: readonly number[] = []
  readonly #seen = new Map<string, { readonly line: RedisClientLine; readonly at: number }>()

  /** What to ask for next: who has not introduced itself, and who comes next. */
  ids(): readonly string[] {
    const next = Array.from({ length: AHEAD }, (_, i) => this.#newest + 1 + i)
    return [...this.#young, ...next].map(String)
  }

  /**
   * Takes in the lines of all connections (`whole`), or of those of `ids()`; true where one is of a kind that was not seen lately.
   * `now`: monotonic, ms.
   */
  note(lines: readonly RedisClientLine[], now: number, whole = false): boolean {
    // The numbers of another Redis process begin anew.
    if (whole) this.#newest = 0
    for (const line of lines) this.#newest = Math.max(this.#newest, line.id)
    this.#young = lines
      .filter(introducesItself)
      .map(({ id }) => id)
      .slice(-MOST_YOUNG)
    // Those of a whole list are there still, and are judged as that. Whose record is gone cannot be told by a client's name.
    const come = whole ? [] : lines.filter((line) => !introducesItself(line) && !saysKeyshift(line))
    const isNew = come.map((line) => this.#remember(line, now)).includes(true)
    for (const [key, { at }] of this.#seen)
      if (now - at > REMEMBERED_MS || this.#seen.size > MOST_REMEMBERED) this.#seen.delete(key)
    return isNew
  }

  /** One line for each kind that was seen lately, by its last connection. */
  recent(now: number): readonly RedisClientLine[] {
    return [...this.#seen.values()].filter(({ at }) => now - at <= REMEMBERED_MS).map(({ line }) => line)
  }

  #remember(line: RedisClientLine, now: number): boolean {
    const { name, user, library, db, flags, address } = line
    // That one of a kind has written is not forgotten for another that reads.
    const key = JSON.stringify([address.replace(/:\d+$/, ''), name, user, library, db, flags, writes(line)])
    const before = this.#seen.get(key)
    this.#seen.delete(key)
    this.#seen.set(key, { line, at: now })
    return before === undefined || now - before.at > REMEMBERED_MS
  }
}
