import { neededProofs } from '../../src/decision/evidence.ts'
import { stateText } from '../../src/decision/ladder.ts'
import type { RoutingState } from '../../src/protocol/phases.ts'
import { WORK_PHASES, type WorkKind } from '../../src/protocol/work.ts'
import { baseUnder, stepsFrom, workDue, type WantedStep } from './ladder.ts'
import type { Rules, Scope } from './rules.ts'
import {
  FORWARD,
  NEVER,
  OLD,
  STEPPED,
  UNPUBLISHED,
  WORK,
  type Age,
  type Client,
  type Proof,
  type State,
} from './state.ts'

export type Emit = (label: string, state: State, broken?: string) => void

const older = (age: Age): Age => (age >= OLD ? age : age + 1)

const PROOFS = Object.entries(WORK)

/** The operator: the product's walk, gates and evidence over the states of the model. */
export class Operator {
  readonly #rungs: readonly RoutingState[]
  readonly #rules: Rules
  readonly #scope: Scope
  readonly #steps = new Map<number, readonly WantedStep[]>()
  readonly #due = new Map<number, readonly Proof[]>()
  readonly #needed: readonly number[]

  constructor(rungs: readonly RoutingState[], rules: Rules, scope: Scope) {
    this.#rungs = rungs
    this.#rules = rules
    this.#scope = scope
    this.#needed = rungs.map((state) => neededProofs(state).reduce((bits, name) => bits | WORK[name], 0))
  }

  next(s: State, emit: Emit): void {
    if (s.came === UNPUBLISHED) {
      emit('operator publishes epoch 1, Legacy', this.#publish(s, 0, STEPPED))
      return
    }
    if (s.record > 0) emit('operator writes record and ConfigMap', { ...s, record: 0 })
    if (s.fenceLost) emit('operator asserts the fence again', { ...s, fenceLost: false, proofs: 0, looked: 0 })
    if (!s.converged && s.record === 0 && this.#converged(s))
      emit('operator sees every member on the routing in force', { ...s, converged: true })
    for (const step of this.#wanted(s)) this.#take(s, step, emit)
    if (this.#scope.redocuments === true) this.#take(s, { kind: 'redocument', rung: s.rungs[0] }, emit)
    this.#takeIn(s, emit)
  }

  /** What a worker may be looking for now, in the phase that the record names. */
  due(s: State): readonly Proof[] {
    if (s.record !== 0 || s.unaware || s.came === UNPUBLISHED) return []
    const key =
      s.rungs[0] | ((s.converged ? 1 : 0) << 3) | (s.base << 4) | (s.proofs << 7) | ((s.fenceLost ? 7 : s.fence) << 10)
    let due = this.#due.get(key)
    if (due === undefined) {
      const { converged, base, proofs } = s
      due = workDue(this.#rungs[s.rungs[0]] as RoutingState, {
        converged,
        base,
        proofs,
        fence: s.fenceLost ? undefined : s.fence,
      })
      this.#due.set(key, due)
    }
    return due
  }

  /** What a worker's script asks the record in Redis: does its phase allow this, and is it above the fence? */
  allows(s: State, kind: WorkKind): boolean {
    if (s.came === UNPUBLISHED || s.fenceLost || s.record > s.fence) return false
    return WORK_PHASES[kind].includes((this.#rungs[s.rungs[s.record as 0 | 1 | 2]] as RoutingState).phase)
  }

  /** `BackfillVerify` reports done: what the product needs proven there is proven. */
  isDone(s: State): boolean {
    const needed = this.#needed[s.rungs[0]] as number
    return this.phase(s) === 'BackfillVerify' && (s.proofs & needed) === needed
  }

  phase(s: State): RoutingState['phase'] {
    return (this.#rungs[s.rungs[0]] as RoutingState).phase
  }

  #wanted(s: State): readonly WantedStep[] {
    const key = s.rungs[0] | (s.rungs[1] << 3) | (s.came << 6) | ((s.converged ? 1 : 0) << 8)
    let steps = this.#steps.get(key)
    if (steps === undefined) {
      const before = s.came === FORWARD ? s.rungs[1] : undefined
      steps = stepsFrom(this.#rungs, { at: s.rungs[0], before, aborted: false, converged: s.converged })
      this.#steps.set(key, steps)
    }
    return steps
  }

  #take(s: State, { kind, rung }: WantedStep, emit: Emit): void {
    const text = stateText(this.#rungs[rung] as RoutingState)
    if (kind === 'abort') {
      emit(`operator publishes ${text} without waiting (abort)`, this.#publish(s, rung, STEPPED))
      return
    }
    if (s.record !== 0) return
    if (kind === 'forward' && !this.#mayGoForward(s)) return
    if (s.fence > 0) {
      const cut =
        kind === 'forward' && this.#scope.availability !== false && s.clients.some((client) => this.#isCut(s, client))
      emit(
        'operator raises the fence to the epoch in force',
        { ...s, fence: 0 },
        cut ? 'A: a forward step shuts out an operation of a live member' : undefined,
      )
      return
    }
    if (s.fenceLost) return
    emit(`operator publishes ${text} (${kind})`, this.#publish(s, rung, kind === 'forward' ? FORWARD : STEPPED))
  }

  #mayGoForward(s: State): boolean {
    const needed = (this.#needed[s.rungs[0]] as number) & (this.#rules.verifyFirst ? ~0 : ~WORK.verifiedTarget)
    return (s.proofs & needed) === needed && (!this.#rules.gate || (s.converged && this.#converged(s)))
  }

  // assessConvergence: no pod without the client, no live member behind; in Legacy no lapsed one either.
  #converged(s: State): boolean {
    if (!this.#rules.gate) return true
    return (
      !s.unaware &&
      s.clients.every((client) =>
        client.alive
          ? client.age === 0 && (!this.#rules.drain || client.orphan || client.opAge === 0 || client.opAge === NEVER)
          : this.phase(s) !== 'Legacy',
      )
    )
  }

  // A live member whose document, or whose operation in flight, works until the fence rises and not any more then.
  #isCut(s: State, client: Client): boolean {
    const runs = (age: Age): boolean => age > 0 && age <= s.fence
    return client.alive && (runs(client.age) || (client.opAge !== NEVER && !client.orphan && runs(client.opAge)))
  }

  #publish(s: State, rung: number, came: number): State {
    const state = this.#rungs[rung] as RoutingState
    const kept = this.#rules.baseEpoch || state.createTarget === 100
    const base = kept ? baseUnder(s.base, state) : older(s.base)
    const allowed =
      (WORK_PHASES.backfill.includes(state.phase) ? WORK.backfill : 0) |
      (WORK_PHASES.verify.includes(state.phase) ? WORK.verifiedTarget | WORK.verifiedBoth : 0)
    return {
      ...s,
      rungs: [rung, s.rungs[0], s.rungs[1]],
      came,
      converged: false,
      fence: older(s.fence),
      record: s.record < 2 ? s.record + 1 : 2,
      base,
      proofs: base === NEVER ? 0 : s.proofs,
      looked: base === NEVER ? 0 : s.looked & allowed,
      clients: s.clients.map((client) => ({ ...client, age: older(client.age), opAge: older(client.opAge) })),
    }
  }

  #takeIn(s: State, emit: Emit): void {
    if (s.looked === 0 || s.base === NEVER) return
    for (const [name, bit] of PROOFS)
      if ((s.looked & bit) !== 0)
        emit(`operator takes in ${name}`, { ...s, looked: s.looked & ~bit, proofs: s.proofs | bit })
  }
}
