/** Longest delay `setTimeout` takes, in ms; a longer one fires after 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** Source of time, injected so that tests own it. */
export interface Clock {
  /** Wall time, ms since 1970. It can jump: for timestamps only. */
  now(): number
  /** Milliseconds that never run backwards: for durations and deadlines. */
  monotonic(): number
  /** Resolves after `ms` (any length), or at once when `signal` aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    for (let left = ms; left > 0 && signal?.aborted !== true; left -= MAX_TIMER_MS) {
      await sleepOnce(Math.min(left, MAX_TIMER_MS), signal)
    }
  },
}

function sleepOnce(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = setTimeout(wake, ms)
    signal?.addEventListener('abort', wake)
  })
}

/**
 * Runs `work` with a signal that aborts after `ms` or with `outer`. Resolves or rejects as `work` does, and rejects with
 * the abort reason if `work` is still pending by then (a client that ignores its signal cannot hold the caller).
 */
export async function withDeadline<T>(
  clock: Clock,
  ms: number,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController()
  const timer = new AbortController()
  const signal = outer === undefined ? deadline.signal : AbortSignal.any([deadline.signal, outer])
  const aborted = new Promise<never>((_, reject) => {
    const fail = () => reject(abortError(signal))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
  void clock.sleep(ms, timer.signal).then(() => {
    if (!timer.signal.aborted) deadline.abort(new DeadlineExceeded(ms))
  })
  try {
    return await Promise.race([work(signal), aborted])
  } finally {
    timer.abort()
    aborted.catch(() => undefined)
  }
}

/** Thrown by `withDeadline` when the work took longer than its limit. */
export class DeadlineExceeded extends Error {
  constructor(ms: number) {
    super(`not done within ${ms} ms`)
    this.name = 'DeadlineExceeded'
  }
}

/** The reason of an aborted signal as an Error. */
export function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason))
}
