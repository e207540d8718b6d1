import type { FaultName } from './plan.ts'

export const INVARIANTS = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6'] as const
export type Invariant = (typeof INVARIANTS)[number]

/** Texts kept of each invariant; all are counted. */
const SHOWN = 5

/** What a run has found. */
export class Tally {
  readonly #counts = new Map<Invariant, number>()
  readonly texts: string[] = []
  /** How often each fault was really made. */
  readonly faults = new Map<FaultName, number>()
  readonly #say: (text: string) => void
  kills = 0
  routingChanges = 0

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  violation(invariant: Invariant, text: string): void {
    const count = (this.#counts.get(invariant) ?? 0) + 1
    this.#counts.set(invariant, count)
    if (count > SHOWN) return
    this.texts.push(`${invariant}: ${text}`)
    this.#say(`VIOLATION of ${invariant}: ${text}`)
  }

  made(fault: FaultName): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1)
  }

  get violations(): Record<Invariant, number> {
    return Object.fromEntries(INVARIANTS.map((one) => [one, this.#counts.get(one) ?? 0])) as Record<Invariant, number>
  }

  get total(): number {
    return INVARIANTS.reduce((sum, one) => sum + (this.#counts.get(one) ?? 0), 0)
  }
}
