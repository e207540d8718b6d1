/** The part of a writable stream that is used. */
export interface LineStream {
  write(text: string, done: (error?: Error | null) => void): boolean
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** Lines that may wait in memory for a slow reader, in characters. */
const MAX_WAITING = 16 * 1024 * 1024

/**
 * Writes lines to stdout and knows which have left the process: a pipe whose reader is slow holds them back, and
 * `process.exit` would drop them. A dead stream swallows lines instead of ending the process.
 */
export class LineSink {
  readonly #stream: LineStream
  #waiting = 0
  #dropped = 0
  #dead = false
  readonly #idle: (() => void)[] = []

  constructor(stream: LineStream) {
    this.#stream = stream
    stream.on('error', () => this.#die())
  }

  write(line: string): void {
    if (this.#dead) return
    if (this.#waiting > MAX_WAITING) {
      this.#dropped += 1
      return
    }
    if (this.#dropped > 0) {
      const lost = JSON.stringify({ level: 'warn', message: `${this.#dropped} log lines dropped: stdout is not read` })
      this.#dropped = 0
      this.#send(lost)
    }
    this.#send(line)
  }

  /** Resolves when every line has left, or after `limitMs`. */
  async flush(limitMs: number): Promise<void> {
    if (this.#waiting === 0 || this.#dead) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs)
      this.#idle.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #send(line: string): void {
    const size = line.length + 1
    this.#waiting += size
    this.#stream.write(`${line}\n`, (error) => {
      this.#waiting -= size
      if (error !== undefined && error !== null) this.#die()
      else if (this.#waiting === 0) this.#wake()
    })
  }

  #die(): void {
    this.#dead = true
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
