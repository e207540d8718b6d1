/** What a person sees: lines that stay, and one live line at the bottom (on a terminal) or now and then (in a log). */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const LOG_EVERY_MS = 5_000

export class Screen {
  readonly phases: { name: string; seconds: number }[] = []
  readonly #out: Output
  readonly #started = Date.now()
  #live = ''
  #loggedAt = 0

  constructor(out: Output) {
    this.#out = out
  }

  line(text: string): void {
    this.#erase()
    for (const part of text.split('\n')) this.#out.write(`${this.#clock()} ${part}\n`)
    this.#draw()
  }

  /** Lines without the clock: tables, lists. */
  block(text: string): void {
    this.#erase()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  /** Replaces the live line. In a log it is written every few seconds. */
  live(text: string): void {
    if (this.#out.isTTY === true) {
      this.#erase()
      this.#live = text
      this.#draw()
    } else if (text !== '' && Date.now() - this.#loggedAt >= LOG_EVERY_MS) {
      this.#loggedAt = Date.now()
      this.#out.write(`${this.#clock()} ${text}\n`)
    }
  }

  /** Runs a part of the demo, shows that it goes on, and notes how long it took. */
  async phase<T>(name: string, work: (report: (done: number, total: number) => void) => Promise<T>): Promise<T> {
    const started = Date.now()
    const seconds = (): number => (Date.now() - started) / 1000
    let progress = ''
    this.line(`${name} ...`)
    const tick = setInterval(() => {
      if (progress !== '') this.live(`${name}: ${progress}, ${seconds().toFixed(0)} s`)
    }, 500)
    try {
      const result = await work((done, total) => {
        progress = `${done.toLocaleString('en')} of ${total.toLocaleString('en')}`
      })
      this.phases.push({ name, seconds: Math.round(seconds() * 10) / 10 })
      this.live('')
      this.line(`${name}: done in ${seconds().toFixed(1)} s`)
      return result
    } finally {
      clearInterval(tick)
      this.live('')
    }
  }

  #clock(): string {
    const s = Math.floor((Date.now() - this.#started) / 1000)
    return `[${String(Math.floor(s / 60))}:${String(s % 60).padStart(2, '0')}]`
  }

  #erase(): void {
    if (this.#live !== '') this.#out.write('\r\x1b[K')
  }

  #draw(): void {
    if (this.#live !== '') this.#out.write(this.#live.slice(0, (this.#out.columns ?? 120) - 1))
  }
}
