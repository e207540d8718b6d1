import type { PhaseRules } from './phases.ts'

/**
 * Routing states of `LegacyCleanup`, and `Completed`: rows of the routing table that no document names yet. They stand
 * apart from `PHASES`, because a phase is one only with the code that obeys it: until then the schema does not offer it
 * and clients refuse its documents. The model in the test tree reads them, so that they are proven before they are built.
 */
export const PLANNED_STATES = ['NoFallback', 'NoLegacyCreates', 'DeleteLegacy', 'Completed'] as const
export type PlannedState = (typeof PLANNED_STATES)[number]

export interface PlannedRules extends PhaseRules {
  /**
   * The key that says which workspace a job id belongs to where no legacy key says it. `held`: create sets it; `checked`:
   * create asks it. Both: delete and expire carry it along.
   */
  readonly owner: 'checked' | 'held'
}

const TARGET_FIRST = {
  ramps: 'nothing',
  createTarget: 100,
  readTarget: 100,
  fallback: false,
  existence: 'either',
} as const

export const PLANNED_TABLE: Readonly<Record<PlannedState, PlannedRules>> = {
  NoFallback: { ...TARGET_FIRST, createLegacy: true, owner: 'checked' },
  NoLegacyCreates: { ...TARGET_FIRST, createLegacy: false, owner: 'held' },
  DeleteLegacy: { ...TARGET_FIRST, createLegacy: false, owner: 'held' },
  Completed: { ...TARGET_FIRST, createLegacy: false, owner: 'held' },
}

/** Which planned states allow which work; its script asks the record, as in `WORK_PHASES`. */
export const PLANNED_WORK = {
  verify: ['NoFallback', 'NoLegacyCreates'],
  reverseBackfill: ['NoFallback'],
  deleteLegacy: ['DeleteLegacy'],
} as const satisfies Readonly<Record<string, readonly PlannedState[]>>
