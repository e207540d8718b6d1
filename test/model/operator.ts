import { allowsWork, evidenceAfter, PROVEN_BACK, proofsNeeded, workDue, type Work } from './evidence.ts'
import { isOfProduct, rungText, stepsFrom, type Rung, type WantedStep } from './ladder.ts'
import type { Rules, Scope } from './rules.ts'
import {
  ENTRY,
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

/** The replica holds what the primary holds. */
export function caughtUp(s: State): State {
  const { legacy, targets, owner, truth, strays, fence, record } = s
  return { ...s, replica: { legacy, targets, owner, truth, strays, fence, record } }
}

export type Emit = (label: string, state: State, broken?: string) => void

const older = (age: Age): Age => (age >= OLD ? age : age + 1)

const PROOFS = Object.entries(WORK)
const VOID = { proofs: 0, looked: 0, halfway: 0 }

/** The operator: the product's walk, gates and evidence over the states of the model. */
export class Operator {
  readonly #rungs: readonly Rung[]
  readonly #rules: Rules
  readonly #scope: Scope
  readonly #steps = new Map<number, readonly WantedStep[]>()
  readonly #due = new Map<number, readonly Proof[]>()
  readonly #needed: readonly number[]

  constructor(rungs: readonly Rung[], rules: Rules, scope: Scope) {
    this.#rungs = rungs
    this.#rules = rules
    this.#scope = scope
    this.#needed = rungs.map((state) => proofsNeeded(state).reduce((bits, name) => bits | WORK[name], 0))
  }

  next(s: State, emit: Emit): void {
    if (s.came === UNPUBLISHED) {
      emit('operator publishes epoch 1, Legacy', this.#publish(s, 0, STEPPED))
      return
    }
    if (s.record > 0) emit('operator writes record and ConfigMap', { ...s, record: 0, config: 0 })
    if (s.failedOver)
      emit('operator sees that Redis has failed over, evidence is void', { ...s, ...VOID, failedOver: false })
    if (s.fenceLost) emit('operator asserts the fence again', { ...s, fenceLost: false, ...VOID })
    if (s.pending && s.record === 0)
      emit('operator judges the pod that is gone, evidence is void', { ...s, ...this.#judged(s), pending: false })
    if (!s.converged && s.record === 0 && this.#converged(s))
      emit('operator sees every member on the routing in force', { ...s, converged: true })
    for (const step of this.#wanted(s)) this.#take(s, step, emit)
    if (this.#scope.redocuments === true) this.#take(s, { kind: 'redocument', rung: s.rungs[0] }, emit)
    this.#takeIn(s, emit)
  }

  /** What a worker may be looking for now, in the phase that the record names. */
  due(s: State): readonly Proof[] {
    if (s.record !== 0 || s.came === UNPUBLISHED) return []
    const { converged, base, back, proofs } = s
    const fence = s.fenceLost ? 7 : s.fence
    const key = s.rungs[0] | ((converged ? 1 : 0) << 4) | (base << 5) | (back << 8) | (proofs << 11) | (fence << 17)
    let due = this.#due.get(key)
    if (due === undefined) {
      const known = { converged, base, back, proofs, fence: s.fenceLost ? undefined : fence }
      due = workDue(this.state(s), known, this.#rules)
      this.#due.set(key, due)
    }
    return due
  }

  /** What a worker's script asks the record in Redis: does its phase allow this, and is it above the fence? */
  allows(s: State, kind: Work): boolean {
    if (s.came === UNPUBLISHED || s.fenceLost || s.record > s.fence) return false
    const state = this.#rungs[s.rungs[s.record as 0 | 1 | 2]] as Rung
    return allowsWork(kind, state) || (kind === 'reverseBackfill' && this.#mayReverse(state))
  }

  /** `BackfillVerify` reports done: what the product needs proven there is proven. */
  isDone(s: State): boolean {
    const needed = this.#needed[s.rungs[0]] as number
    if (this.#rules.holdPending && (s.unaware || s.pending)) return false
    return this.phase(s) === 'BackfillVerify' && (s.proofs & needed) === needed && !s.failedOver
  }

  // The rule off: an attempt that waits for its next one is taken for none where nothing is proven.
  #judged({ proofs, halfway }: State): Partial<State> {
    if (!this.#rules.voidUnaware) return {}
    return this.#rules.voidCheckpoint || proofs !== 0 ? VOID : { ...VOID, halfway }
  }

  /** Every job must have its legacy key: from here the walk back is routing alone. */
  mustBeWhole(s: State): boolean {
    const state = this.state(s)
    return this.isWhole(s) || (isOfProduct(state) && !this.#mayReverse(state))
  }

  /** Every job has a legacy key, as far as the operator knows. */
  isWhole(s: State): boolean {
    return s.back === NEVER || ((s.proofs & PROVEN_BACK) === PROVEN_BACK && !s.failedOver)
  }

  state(s: State): Rung {
    return this.#rungs[s.rungs[0]] as Rung
  }

  phase(s: State): Rung['phase'] {
    return this.state(s).phase
  }

  // The rule off that holds the walk back in NoFallback: the work goes on in BackfillVerify.
  #mayReverse({ phase }: Rung): boolean {
    return !this.#rules.heldInNoFallback && phase === 'BackfillVerify'
  }

  #wanted(s: State): readonly WantedStep[] {
    const key = s.rungs[0] | (s.rungs[1] << 4) | (s.came << 8) | ((s.converged ? 1 : 0) << 10)
    let steps = this.#steps.get(key)
    if (steps === undefined) {
      const before = s.came === FORWARD ? s.rungs[1] : undefined
      steps = stepsFrom(this.#rungs, { at: s.rungs[0], before, converged: s.converged })
      this.#steps.set(key, steps)
    }
    return steps
  }

  #take(s: State, { kind, rung }: WantedStep, emit: Emit): void {
    const state = this.#rungs[rung] as Rung
    const text = rungText(state)
    if (kind === 'abort') {
      emit(`operator publishes ${text} without waiting (abort)`, this.#publish(s, rung, STEPPED))
      return
    }
    if (s.record !== 0 || s.failedOver) return
    if (kind === 'forward' && !this.#mayGoForward(s)) return
    if (s.fence > 0) {
      const cut =
        kind === 'forward' && this.#scope.availability !== false && s.clients.some((client) => this.#isCut(s, client))
      emit(
        'operator raises the fence to the epoch in force',
        this.#acked({ ...s, fence: 0 }),
        cut ? 'A: a forward step shuts out an operation of a live member' : undefined,
      )
      return
    }
    if (s.fenceLost || (kind === 'back' && !this.#mayGoBack(s, state))) return
    emit(
      `operator publishes ${text} (${kind})`,
      this.#publish(this.#rules.ackedForStep ? this.#acked(s) : s, rung, kind === 'forward' ? FORWARD : STEPPED),
    )
  }

  #mayGoForward(s: State): boolean {
    const needed = (this.#needed[s.rungs[0]] as number) & (this.#rules.verifyFirst ? ~0 : ~WORK.verifiedTarget)
    if (this.phase(s) === 'NoFallback' && this.#rules.noOldEntries && s.entry === ENTRY.job) return false
    return (s.proofs & needed) === needed && (!this.#rules.gate || (s.converged && this.#converged(s)))
  }

  // Walks back over states where every job has a legacy key wait for those keys.
  #mayGoBack(s: State, to: Rung): boolean {
    if (!this.#rules.reverseFirst || this.isWhole(s)) return true
    return to.phase === 'NoFallback' || this.#mayReverse(to)
  }

  // The fence is read back, acknowledged by every replica: so has each write before it been.
  #acked(s: State): State {
    return this.#scope.failover === true && this.#rules.ackedFence ? caughtUp(s) : s
  }

  // assessConvergence: no pod without the client, no live member behind; in Legacy no lapsed one either.
  #converged(s: State): boolean {
    if (!this.#rules.gate) return true
    return (
      !s.unaware &&
      !(s.pending && this.#rules.holdPending) &&
      s.clients.every((client) =>
        client.joining
          ? false
          : client.alive
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
    const evidence = evidenceAfter(s, this.#rungs[rung] as Rung, this.#rules)
    const { replica } = s
    const next = (age: Age): Age => (age < 2 ? age + 1 : 2)
    return {
      ...s,
      rungs: [rung, s.rungs[0], s.rungs[1]],
      came,
      converged: false,
      fence: older(s.fence),
      record: next(s.record),
      config: next(s.config),
      ...evidence,
      replica: { ...replica, fence: older(replica.fence), record: next(replica.record) },
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
