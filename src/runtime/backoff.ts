/** Limits of an exponential backoff; all times in ms. */
export interface BackoffPolicy {
  readonly initialMs: number
  readonly maxMs: number
  readonly factor: number
  /** Share of the delay, 0 to 1, that is drawn at random, so that many retriers do not march in step. */
  readonly jitter: number
}

export const DEFAULT_BACKOFF: BackoffPolicy = { initialMs: 500, maxMs: 60_000, factor: 2, jitter: 0.5 }

/**
 * Delay before retry number `failures` (1 after the first failure): grows by `factor` up to `maxMs`, then a random part
 * of at most `jitter` of it is taken off. Never 0, never above `maxMs`.
 */
export function backoffDelay(policy: BackoffPolicy, failures: number, random: () => number = Math.random): number {
  const grown = policy.initialMs * policy.factor ** (Math.max(1, failures) - 1)
  const capped = Math.min(policy.maxMs, grown)
  return Math.max(1, Math.round(capped * (1 - policy.jitter * random())))
}
