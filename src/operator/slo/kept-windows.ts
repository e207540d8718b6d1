import type { SoakWindow } from '../../decision/types.ts'
import { mergeWindows, uncounted } from '../../decision/windows.ts'

/** More windows than this are merged where nothing is lost by it. */
const MERGE_ABOVE = 500
/** Most windows kept; the oldest go first: time without a window earns nothing. */
const MOST = 2500

/** Windows that the decision has not counted yet, oldest first. It may be held up for days, while Redis is away. */
export class KeptWindows {
  #windows: readonly SoakWindow[] = []

  get all(): readonly SoakWindow[] {
    return this.#windows
  }

  push(window: SoakWindow): void {
    const windows = [...this.#windows, window]
    this.#windows = windows.length > MERGE_ABOVE ? mergeWindows(windows).slice(-MOST) : windows
  }

  /** Everything up to `through` (ms) is counted. */
  countedThrough(through: number): void {
    this.#windows = uncounted(this.#windows, through)
  }

  clear(): void {
    this.#windows = []
  }
}
