export type Log = (line: string) => void

export const silent: Log = () => {}

/** Runs `work` and says what goes on: at once, every `everyMs` while it lasts, and how long it took. */
export async function step<T>(log: Log, text: string, work: () => Promise<T>, everyMs = 10_000): Promise<T> {
  const started = Date.now()
  const seconds = () => ((Date.now() - started) / 1000).toFixed(1)
  // Steps under a second stay silent until they end, so that a warm run is short to read.
  const first = setTimeout(() => log(`${text} ...`), 1000)
  const again = setInterval(() => log(`${text} ... ${Math.round((Date.now() - started) / 1000)} s`), everyMs)
  try {
    const result = await work()
    log(`${text}: done in ${seconds()} s`)
    return result
  } finally {
    clearTimeout(first)
    clearInterval(again)
  }
}
