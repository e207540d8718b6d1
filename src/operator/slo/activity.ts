const HOUR_MS = 3_600_000
/** What went missing within this time of each other went together, ms. */
const TOGETHER_MS = 120_000

/** Which elements of a check's vector had a value in the last hour, so that a part of them going missing is noticed. */
export class Activity {
  readonly #lastSeen = new Map<string, number>()

  /** `names` had a value at `time` (ms). Times must not fall. */
  see(names: readonly string[], time: number): void {
    for (const name of names) this.#lastSeen.set(name, time)
    for (const [name, seen] of this.#lastSeen) if (time - seen > HOUR_MS) this.#lastSeen.delete(name)
  }

  /**
   * Names active in the hour before `time`, not among `present`, and gone together, when they are more than a fifth of
   * those active: then a store, a scrape target or a recording rule is away. Workspaces that fall idle do so one by one,
   * and a single one is no sign unless nothing is left. Otherwise empty.
   */
  vanished(present: readonly string[], time: number): readonly string[] {
    const here = new Set(present)
    const active = [...this.#lastSeen].filter(([, seen]) => time - seen <= HOUR_MS)
    const together = largestGroup(active.filter(([name]) => !here.has(name)))
    const many = together.length > 1 || here.size === 0
    return many && together.length * 5 > active.length ? together.sort() : []
  }
}

/** The most names that were last seen within TOGETHER_MS of each other. */
function largestGroup(missing: readonly (readonly [name: string, seen: number])[]): string[] {
  const ordered = [...missing].sort(([, a], [, b]) => a - b)
  let [first, best, length] = [0, 0, 0]
  ordered.forEach(([, seen], i) => {
    while (seen - (ordered[first]?.[1] ?? seen) > TOGETHER_MS) first += 1
    if (i + 1 - first > length) [best, length] = [first, i + 1 - first]
  })
  return ordered.slice(best, best + length).map(([name]) => name)
}
