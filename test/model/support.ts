import { isPhase, ROUTING_TABLE, type PhaseRules } from '../../src/protocol/phases.ts'
import { PLANNED_TABLE, type PlannedRules } from '../../src/protocol/planned.ts'
import { describeTrace } from './describe.ts'
import { explore, type Exploration } from './explore.ts'
import type { Rung } from './ladder.ts'
import { Protocol } from './protocol.ts'
import { ALL_RULES, type Rules, type Scope } from './rules.ts'
import type { State } from './state.ts'

export interface Explored {
  readonly protocol: Protocol
  readonly result: Exploration<State>
  /** The counterexample as text, '' where there is none. */
  readonly counterexample: string
}

export function exploreProtocol(scope: Scope, rules: Rules = ALL_RULES, keepEdges = false): Explored {
  const protocol = new Protocol(scope, rules)
  const result = explore(protocol, undefined, keepEdges)
  const { violation } = result
  return {
    protocol,
    result,
    counterexample: violation === undefined ? '' : describeTrace(violation.message, violation.trace),
  }
}

/** Runs `work` while a row of the product's routing table says something else. */
export function withRow<T>(phase: Rung['phase'], change: Partial<PlannedRules>, work: () => T): T {
  const table = (isPhase(phase) ? ROUTING_TABLE : PLANNED_TABLE) as Record<string, PhaseRules>
  const before = table[phase] as PhaseRules
  table[phase] = { ...before, ...change }
  try {
    return work()
  } finally {
    table[phase] = before
  }
}
