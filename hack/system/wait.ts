export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export type WaitOptions = {
  limitMs: number
  everyMs?: number
  /** Where a person should look when the wait ends badly, usually a log file. */
  look: string
  /** Ends the wait early, with the reason why what is waited for can no longer come. */
  hopeless?: () => string | undefined
}

/** Polls until `check` gives a value; `undefined` and errors mean "not yet". */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  options: WaitOptions,
) {
  const end = Date.now() + options.limitMs
  let last = ''
  for (;;) {
    try {
      const value = await check()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    const lost = options.hopeless?.()
    if (lost !== undefined) throw new Error(`${what}: ${lost}`)
    if (Date.now() >= end) {
      const why = last === '' ? '' : ` (last answer: ${last})`
      throw new Error(`${what}: not within ${options.limitMs / 1000} s${why}; look at ${options.look}`)
    }
    await sleep(options.everyMs ?? 100)
  }
}
