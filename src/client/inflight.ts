/** Operations in flight by the epoch under which they began: what a member may report. */
export class Inflight {
  readonly #counts = new Map<number, number>()
  readonly #idle = new Set<() => void>()
  #drained: (() => void) | undefined

  /** Called when the last operation of an epoch has ended. */
  onDrained(listener: () => void): void {
    this.#drained = listener
  }

  /** Counts an operation in; the returned function counts it out, once. */
  begin(epoch: number): () => void {
    this.#counts.set(epoch, (this.#counts.get(epoch) ?? 0) + 1)
    let ended = false
    return () => {
      if (ended) return
      ended = true
      const left = (this.#counts.get(epoch) ?? 1) - 1
      if (left > 0) {
        this.#counts.set(epoch, left)
        return
      }
      this.#counts.delete(epoch)
      this.#drained?.()
      if (this.#counts.size === 0) for (const done of [...this.#idle]) done()
    }
  }

  /** The highest epoch E up to `current` for which no operation began under an older one. */
  reportable(current: number): number {
    return Math.min(current, ...this.#counts.keys())
  }

  /** Resolves when nothing is in flight, or after `limitMs`. */
  async idle(limitMs: number): Promise<void> {
    if (this.#counts.size === 0) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#idle.delete(done)
        resolve()
      }
      const timer = setTimeout(done, limitMs)
      this.#idle.add(done)
    })
  }
}
