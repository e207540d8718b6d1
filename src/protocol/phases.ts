/**
 * The routing table: what each phase means for creates and reads. Clients, scripts' callers, the operator and the
 * model in the test tree all read this one table.
 */
export const PHASES = ['Legacy', 'DualWrite', 'ReadRouting', 'BackfillVerify'] as const
export type Phase = (typeof PHASES)[number]

export interface PhaseRules {
  /** Which share the steps of this phase ramp: new jobs, reads, or nothing. */
  readonly ramps: 'creates' | 'reads' | 'nothing'
  /** New jobs get a legacy key. */
  readonly createLegacy: boolean
  /** Percent of new jobs that also get a target key; `ramp` where the step says. */
  readonly createTarget: number | 'ramp'
  /** Percent of reads that try the target key first; `ramp` where the step says. */
  readonly readTarget: number | 'ramp'
  /** A read that misses its first key tries the other one. */
  readonly fallback: boolean
  /** Which keys decide whether a job exists. */
  readonly existence: 'legacy' | 'either'
}

export const ROUTING_TABLE: Readonly<Record<Phase, PhaseRules>> = {
  Legacy: {
    ramps: 'nothing',
    createLegacy: true,
    createTarget: 0,
    readTarget: 0,
    fallback: false,
    existence: 'legacy',
  },
  DualWrite: {
    ramps: 'creates',
    createLegacy: true,
    createTarget: 'ramp',
    readTarget: 0,
    fallback: false,
    existence: 'legacy',
  },
  ReadRouting: {
    ramps: 'reads',
    createLegacy: true,
    createTarget: 100,
    readTarget: 'ramp',
    fallback: true,
    existence: 'either',
  },
  BackfillVerify: {
    ramps: 'nothing',
    createLegacy: true,
    createTarget: 100,
    readTarget: 100,
    fallback: true,
    existence: 'either',
  },
}

/** Position of a phase in the walk, 0 for `Legacy`. */
export function phaseIndex(phase: Phase): number {
  return PHASES.indexOf(phase)
}

export function isPhase(value: unknown): value is Phase {
  return typeof value === 'string' && (PHASES as readonly string[]).includes(value)
}

/** One routing state: a phase with the percentages in force. */
export interface RoutingState {
  readonly phase: Phase
  /** Index of the step within the phase, from 0. */
  readonly step: number
  /** Percent (0-100, integer) of new jobs that get a target key. */
  readonly createTarget: number
  /** Percent (0-100, integer) of reads that try the target key first. */
  readonly readTarget: number
}

/** The state of `phase` whose ramp stands at `percent` (ignored where the phase ramps nothing). */
export function routingState(phase: Phase, step: number, percent: number): RoutingState {
  const rules = ROUTING_TABLE[phase]
  const at = (share: number | 'ramp'): number => (share === 'ramp' ? percent : share)
  return { phase, step, createTarget: at(rules.createTarget), readTarget: at(rules.readTarget) }
}

/** The percentage that the phase of `state` ramps, or undefined where it ramps nothing. */
export function rampPercent(state: RoutingState): number | undefined {
  const { ramps } = ROUTING_TABLE[state.phase]
  if (ramps === 'nothing') return undefined
  return ramps === 'creates' ? state.createTarget : state.readTarget
}
