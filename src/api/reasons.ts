/**
 * Every reason that a condition or an Event can carry, each with what it means and what to do about it.
 * Codes, messages and `docs/reasons.md` come from this one list.
 */
export interface ReasonInfo {
  readonly meaning: string
  readonly action: string
}

export const REASONS = {
  // Filled by the decision: keep sorted by name.
} as const satisfies Record<string, ReasonInfo>

export type Reason = keyof typeof REASONS
