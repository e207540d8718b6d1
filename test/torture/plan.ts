/** What a seed makes of each round: where the walk is sent and what breaks when. Pure, so that a seed can be run again. */
import { LEASE_TTL_MS } from '../../src/protocol/control-keys.ts'
import { PHASES, type Phase } from '../../src/protocol/phases.ts'
import { pick, randomOf } from './jobs.ts'
import type { Aim } from './operator.ts'

export type Fault =
  | { readonly kind: 'kill-client'; readonly slot: number; readonly newPod: boolean; readonly lapse: boolean }
  /** `lapse`: its lease is over at once; else it stands still for as long as it takes. */
  | { readonly kind: 'stop-client'; readonly slot: number; readonly ms: number; readonly lapse: boolean }
  | { readonly kind: 'kill-worker' | 'double-worker'; readonly afterMs: number }
  | { readonly kind: 'stop-worker'; readonly afterMs: number; readonly ms: number }
  | { readonly kind: 'kill-redis' | 'stop-redis'; readonly ms: number }
  | { readonly kind: 'failover' }
  | { readonly kind: 'cut' | 'vanish'; readonly slot: number }
  | { readonly kind: 'cut-next'; readonly slot: number; readonly where: 'request' | 'reply' | 'mid-reply' }
  | { readonly kind: 'delay'; readonly slot: number; readonly ms: number; readonly byMs: number }
  /** The mounted ConfigMap stays as it is. */
  | { readonly kind: 'stick'; readonly slot: number; readonly ms: number }
  | { readonly kind: 'operator-dies'; readonly actions: number }
  | { readonly kind: 'old-status'; readonly passes: number | undefined }

/** What a run counts of that which was really done: a stop that outlasted the lease counts as both. */
export type FaultName = Fault['kind'] | 'stop-past-lease'

export interface Round {
  readonly lengthMs: number
  /** In order of `at`, ms from the start of the round. */
  readonly aims: readonly { readonly at: number; readonly aim: Aim }[]
  readonly faults: readonly { readonly at: number; readonly fault: Fault }[]
  /** Annotation of a purge, carried out if the walk comes to Legacy. */
  readonly purge: string | undefined
  /**
   * This client stands still with its lease over while the walk goes from half of the creates on both schemas to everything
   * proven, and wakes up with the old routing. Nothing else is done in such a round.
   */
  readonly sleeper: number | undefined
}

export interface PlanOptions {
  readonly seed: number
  readonly slots: number
  /** Slots behind a proxy. */
  readonly proxied: readonly number[]
  /** Long enough to also stop clients through a whole walk, and for any fault to come of itself. */
  readonly long: boolean
  /** Sentinels are there: every third round has a failover. */
  readonly sentinel: boolean
}

const LONG_STOP_MS = LEASE_TTL_MS + 2000
const LONG_STOP_EVERY = 7
const SLEEPER_EVERY = 5
const FAILOVER_EVERY = 3

export function planRound(options: PlanOptions, number: number): Round {
  const random = randomOf(options.seed, 'round', number)
  if (!options.long && number === 0) return opening(options, random)
  if (options.long && number % SLEEPER_EVERY === 1)
    return { lengthMs: 0, aims: [], faults: [], purge: undefined, sleeper: Math.floor(random() * options.slots) }
  const long = options.long ? number % LONG_STOP_EVERY === LONG_STOP_EVERY - 1 : number === 1 && !options.sentinel
  const lengthMs = long ? LONG_STOP_MS + 2000 : Math.round(3000 + random() * 2500)
  const faults = Array.from({ length: 2 + Math.floor(random() * 4) }, () => ({
    at: Math.round(random() * Math.min(lengthMs, 5000) * 0.8),
    fault: drawFault(options, random),
  }))
  const slot = Math.floor(random() * options.slots)
  if (options.sentinel && number % FAILOVER_EVERY === 0)
    faults.push({ at: Math.round(lengthMs / 2), fault: { kind: 'failover' } })
  if (long) faults.push({ at: 200, fault: { kind: 'stop-client', slot, ms: LONG_STOP_MS, lapse: false } })
  return {
    lengthMs,
    aims: drawAims(random, lengthMs),
    faults: faults.sort((a, b) => a.at - b.at),
    purge: random() < 0.5 ? `round-${number}` : undefined,
    sleeper: undefined,
  }
}

const LAST = PHASES.at(-1) as Phase

/** Where a run is too short to trust to luck: each fault that the proof is about, while the walk climbs. */
function opening({ slots, proxied, sentinel }: PlanOptions, random: () => number): Round {
  const client = Math.floor(random() * slots)
  const others = proxied.filter((slot) => slot !== client)
  const faults: Round['faults'] = [
    // The walk begins with a preflight: its worker is killed as it starts.
    { at: 0, fault: { kind: 'kill-worker', afterMs: Math.round(random() * 100) } },
    { at: 1000, fault: { kind: 'kill-client', slot: client, newPod: random() < 0.5, lapse: random() < 0.5 } },
    ...(sentinel
      ? [{ at: 2000, fault: { kind: 'failover' } as const }]
      : [
          { at: 2000, fault: { kind: 'cut', slot: pick(random, others) } as const },
          { at: 3000, fault: { kind: 'kill-redis', ms: Math.round(random() * 600) } as const },
        ]),
    { at: 4500, fault: drawFault({ slots, proxied }, random) },
  ]
  const aims = [{ at: 0, aim: { targetPhase: LAST, canaryPercentage: 100 } }]
  return { lengthMs: 6000, aims, faults, purge: undefined, sleeper: undefined }
}

/** Most rounds climb; some fall, and some waver, so that steps are taken back before they have converged. */
function drawAims(random: () => number, lengthMs: number): Round['aims'] {
  const mood = random()
  if (mood < 0.5) return [{ at: 0, aim: { targetPhase: LAST, canaryPercentage: 100 } }]
  if (mood < 0.7) return [{ at: 0, aim: drawAim(random, PHASES.slice(0, 2)) }]
  return Array.from({ length: 2 + Math.floor(random() * 5) }, () => ({
    at: Math.round(random() * lengthMs),
    aim: drawAim(random, PHASES),
  })).sort((a, b) => a.at - b.at)
}

function drawAim(random: () => number, phases: readonly Phase[]): Aim {
  return { targetPhase: pick(random, phases), canaryPercentage: pick(random, [20, 50, 70, 100]) }
}

function drawFault({ slots, proxied }: Pick<PlanOptions, 'slots' | 'proxied'>, random: () => number): Fault {
  const [kind, a, b, c] = [random(), random(), random(), random()]
  const slot = Math.floor(a * slots)
  const throughProxy = proxied[Math.floor(a * proxied.length)] ?? 0
  if (kind < 0.17) return { kind: 'kill-client', slot, newPod: b < 0.6, lapse: c < 0.7 }
  if (kind < 0.27) return { kind: 'stop-client', slot, ms: Math.round(300 + b * 2000), lapse: c < 0.6 }
  if (kind < 0.42) return { kind: 'kill-worker', afterMs: Math.round(b * 1200) }
  if (kind < 0.49) return { kind: 'double-worker', afterMs: Math.round(b * 800) }
  if (kind < 0.54) return { kind: 'stop-worker', afterMs: Math.round(b * 800), ms: Math.round(200 + c * 1500) }
  if (kind < 0.6) return { kind: 'kill-redis', ms: Math.round(b * 600) }
  if (kind < 0.66) return { kind: 'stop-redis', ms: Math.round(200 + b * 1200) }
  if (kind < 0.74) return { kind: 'cut', slot: throughProxy }
  if (kind < 0.8)
    return { kind: 'cut-next', slot: throughProxy, where: pick(() => b, ['request', 'reply', 'mid-reply']) }
  if (kind < 0.83) return { kind: 'vanish', slot: throughProxy }
  if (kind < 0.87)
    return { kind: 'delay', slot: throughProxy, ms: Math.round(500 + b * 1000), byMs: Math.round(c * 150) }
  if (kind < 0.93) return { kind: 'stick', slot, ms: Math.round(500 + b * 3000) }
  if (kind < 0.97) return { kind: 'operator-dies', actions: Math.floor(b * 4) }
  return { kind: 'old-status', passes: b < 0.3 ? undefined : 1 + Math.floor(c * 40) }
}
