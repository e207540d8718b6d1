const HOUR_MS = 3_600_000

/** Which elements of a check's vector had a value in the last hour, so that a part of them going missing is noticed. */
export class Activity {
  readonly #lastSeen = new Map<string, number>()

  /** `names` had a value at `time` (ms). Times must not fall. */
  see(names: readonly string[], time: number): void {
    for (const name of names) this.#lastSeen.set(name, time)
    for (const [name, seen] of this.#lastSeen) if (time - seen > HOUR_MS) this.#lastSeen.delete(name)
  }

  /**
   * Names active in the hour before `time` and not among `present`, when they are more than a fifth of those active:
   * then a store, a scrape target or a recording rule is away, not a few idle workspaces. Otherwise empty.
   */
  vanished(present: readonly string[], time: number): readonly string[] {
    const here = new Set(present)
    const active = [...this.#lastSeen].filter(([, seen]) => time - seen <= HOUR_MS).map(([name]) => name)
    const missing = active.filter((name) => !here.has(name))
    return missing.length * 5 > active.length ? missing.sort() : []
  }
}
