/** Sorts of harm, as the summary counts them. */
export const HARMS = ['lost', 'stale', 'resurrected', 'leaked', 'different'] as const
export type Harm = (typeof HARMS)[number]

export interface Violation {
  readonly harm: Harm
  readonly what: string
  readonly why: string
}

const KEPT = 20

/** Counts every violation and keeps the first of each sort in words. */
export class Violations {
  readonly counts: Record<Harm, number> = { lost: 0, stale: 0, resurrected: 0, leaked: 0, different: 0 }
  readonly #kept: Violation[] = []

  add(harm: Harm, what: string, why: string): void {
    this.counts[harm] += 1
    if (this.counts[harm] <= KEPT) this.#kept.push({ harm, what, why })
  }

  get kept(): readonly Violation[] {
    return this.#kept
  }

  get total(): number {
    return HARMS.reduce((sum, harm) => sum + this.counts[harm], 0)
  }

  /** Takes over what another part found. */
  include(other: Violations): void {
    for (const harm of HARMS) this.counts[harm] += other.counts[harm]
    this.#kept.push(...other.kept)
  }
}
