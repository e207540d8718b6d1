import type { System } from './explore.ts'
import { phaseIndex } from '../../src/protocol/phases.ts'
import { OF_PRODUCT, WORK_OF } from './evidence.ts'
import { isOfProduct, routeOf, rungs, type Route } from './ladder.ts'
import { caughtUp, Operator, type Emit } from './operator.ts'
import { ALL_RULES, type Rules, type Scope } from './rules.ts'
import { meaning, OPERATIONS, resolve, run, type Answer, type Keys, type Operation } from './scripts.ts'
import {
  codec,
  ENTRY,
  expiryOf,
  FRESH,
  HALF,
  NEVER,
  NOTHING,
  OLD,
  UNPUBLISHED,
  updated,
  value,
  versionOf,
  WORK,
  withExpiry,
  workspaceOf,
  type Age,
  type Client,
  type Proof,
  type State,
} from './state.ts'

const IDLE = { opAge: NEVER, opRung: 0, orphan: false, half: HALF.no, halfOf: 0, missed: false, seen: 0 } as const
const WORKSPACES = ['w1', 'w2']
const COUNTED = 'A: a fallback read is counted although the job has its target key'

/** The whole protocol as a transition system: operator, clients, workers, Redis, and what can happen to them. */
export class Protocol implements System<State> {
  readonly width: number
  readonly initial: readonly State[]
  readonly encode: System<State>['encode']
  readonly decode: System<State>['decode']
  readonly operator: Operator
  readonly #rules: Rules
  readonly #scope: Scope
  readonly #routes: readonly Route[]
  readonly #readsTarget: readonly boolean[]
  /** Whether producers write `workspace:job_id`. */
  readonly #pairs: readonly boolean[]

  constructor(scope: Scope, rules: Rules = ALL_RULES) {
    const all = rungs()
    const bytes = codec(
      scope.clients,
      !rules.fence || scope.fenceLoss !== undefined || (scope.failover === true && !rules.ackedFence),
      scope.failover === true,
    )
    this.width = bytes.width
    this.encode = (state, buffer, at) => bytes.encode(state, buffer, at)
    this.decode = (buffer, at) => bytes.decode(buffer, at)
    this.operator = new Operator(all, rules, scope)
    this.#rules = rules
    this.#scope = scope
    this.#routes = all.map((state) => routeOf(state, scope.selected))
    // As queueEntry() of src/protocol writes them.
    this.#pairs = all.map((state) => !isOfProduct(state) || phaseIndex(state.phase) >= 2)
    this.#readsTarget = all.map(({ readTarget }) => readTarget > 0)
    this.initial = [start(scope)]
  }

  next(s: State, emit: Emit): void {
    this.operator.next(s, emit)
    for (let i = 0; i < s.clients.length; i += 1) {
      // Clients in the same state are one.
      if (s.clients.findIndex((other) => same(other, s.clients[i] as Client)) < i) continue
      this.#client(s, i, emit)
    }
    this.#worker(s, emit)
    this.#world(s, emit)
  }

  /** The invariants that can be seen in one state. */
  check(s: State): string | undefined {
    if (this.operator.isDone(s) && !isMigrated(s))
      return 'I4: BackfillVerify reports done, and the keys are not as they shall be'
    if (this.#scope.alarm === true) return undefined
    if (this.operator.mustBeWhole(s)) {
      if (s.legacy !== s.truth)
        return 'I5: legacy does not hold what was acknowledged last: a walk back to Legacy would lose it'
    } else {
      const kept = s.targets.every((target, w) => target === (workspaceOf(s.truth) === w ? s.truth : NOTHING))
      if (!kept) return 'I5: the target keys do not hold what was acknowledged last: a reverse backfill would lose it'
      if (s.legacy !== NOTHING && s.legacy !== s.truth) return 'I1: the legacy key is not what the target key is'
    }
    for (let w = 0; w < 2; w += 1) {
      const target = s.targets[w] as number
      if (target === NOTHING) continue
      if (workspaceOf(target) !== w) return `I3: the target key of ${WORKSPACES[w]} holds a job of ${WORKSPACES[1 - w]}`
      const excused =
        (s.strays & (1 << w)) !== 0 || s.clients.some(({ half, halfOf }) => isHalfWrite(half) && halfOf === w)
      if (s.legacy !== NOTHING && s.legacy !== target && !excused) return 'I1: both keys of the job exist and differ'
    }
    if (this.operator.phase(s) === 'Completed' && s.legacy !== NOTHING) return 'I4: Completed, and a legacy key is left'
    return undefined
  }

  #client(s: State, i: number, emit: Emit): void {
    const c = s.clients[i] as Client
    const { slow, lapses, restarts, joins } = this.#scope
    const who = `client of ${epoch(c.age)}`
    if (c.joining) return this.#join(s, i, emit)
    if (!this.#refuses(s, c.age, c.rung)) this.#operate(s, i, c.rung, who, false, emit)
    if (c.half === HALF.compare) this.#compare(s, i, who, emit)
    else if (c.half !== HALF.no) this.#goOn(s, i, emit)
    else if (c.opAge !== NEVER) {
      if (!this.#refuses(s, c.opAge, c.opRung))
        this.#operate(s, i, c.opRung, `late script of ${epoch(c.opAge)}`, true, emit)
      emit(`an operation of ${epoch(c.opAge)} is refused, or lost before it reached Redis`, set(s, i, IDLE))
    } else if (slow === true && !this.#refuses(s, c.age, c.rung))
      emit(`${who} begins an operation`, set(s, i, { opAge: c.age, opRung: c.rung }))

    const oldest = s.fence < 2 ? s.fence : 2
    for (let age = s.config; age < c.age && age <= oldest; age += 1)
      emit(`${who} reads the document of ${epoch(age)}`, set(s, i, { age, rung: s.rungs[age as 0 | 1 | 2] }))
    if (lapses === true) {
      if (c.alive) emit(`${who} loses its lease`, set(s, i, { alive: false }))
      else emit(`${who} renews its lease`, set(s, i, { alive: true }))
    }
    if (joins === true && (c.alive || c.opAge !== NEVER))
      emit(
        `${who} is killed, its pod is replaced`,
        set(s, i, { ...IDLE, age: OLD, rung: 0, alive: false, joining: true }),
      )
    if (restarts === true)
      for (let age = s.config; age <= oldest; age += 1) {
        // What was sent may still come; what was half done stays so.
        const op = c.opAge === NEVER || (c.half !== HALF.no && c.half !== HALF.compare) ? IDLE : { orphan: true }
        const document = { age, rung: s.rungs[age as 0 | 1 | 2], alive: true }
        emit(`${who} is killed and starts again on the document of ${epoch(age)}`, set(s, i, { ...document, ...op }))
      }
  }

  /** A process of a new pod: it registers, on whatever document is mounted. */
  #join(s: State, i: number, emit: Emit): void {
    for (let age = s.config; age <= (s.came === UNPUBLISHED ? 0 : 2); age += 1) {
      const document = { age, rung: s.rungs[age as 0 | 1 | 2], alive: true, joining: false }
      emit(`a joining pod registers on the document of ${epoch(age)}`, set(s, i, document))
    }
  }

  /** The write of a compare-and-set: under the routing that its read had, or one that the client follows since. */
  #compare(s: State, i: number, who: string, emit: Emit): void {
    const c = s.clients[i] as Client
    const done = set(s, i, IDLE)
    const write = (rung: number, from: string): void => {
      this.#runScript(
        done,
        c.halfOf,
        'compare',
        rung,
        `${from}: compare-and-set in ${WORKSPACES[c.halfOf]}`,
        emit,
        c.seen - 2,
      )
    }
    if (!this.#refuses(s, c.opAge, c.opRung)) write(c.opRung, `late script of ${epoch(c.opAge)}`)
    if (!c.orphan && c.age !== c.opAge && !this.#refuses(s, c.age, c.rung)) write(c.rung, who)
    emit(`a compare-and-set of ${epoch(c.opAge)} is refused, or lost before it reached Redis`, done)
  }

  /** Runs each operation for each workspace under one routing. `late`: it has been in flight, and its place is free after it. */
  #operate(s: State, i: number, rung: number, who: string, late: boolean, emit: Emit): void {
    for (let w = 0; w < this.#scope.workspaces; w += 1)
      for (const operation of OPERATIONS) {
        if (operation === 'expire' && this.#scope.expiry !== true) continue
        if (operation === 'compare') {
          if (!late && this.#scope.compares === true) this.#look(s, i, w, rung, who, emit)
          continue
        }
        const label = `${who}: ${operation} in ${WORKSPACES[w]}`
        if (!late && !this.#rules.oneWrite && operation !== 'get') continue
        const done = late ? set(s, i, IDLE) : s
        if (late && operation === 'get' && !this.#rules.oneRead) this.#readFirst(s, i, w, rung, label, emit)
        else if (late && operation !== 'get' && !this.#rules.oneWrite)
          this.#writeFirst(s, i, w, operation, rung, label, emit)
        else this.#runScript(done, w, operation, rung, label, emit)
        if (late && !this.#rules.noResend && (operation === 'create' || operation === 'delete')) {
          const again = operation === 'create' ? HALF.againCreate : HALF.againDelete
          const kept = set(s, i, { half: again, halfOf: w })
          this.#runScript(
            kept,
            w,
            operation,
            rung,
            `${label}; the reply is lost and the driver keeps the command`,
            emit,
          )
        }
      }
  }

  // The first half of a compare-and-set.
  #look(s: State, i: number, w: number, rung: number, who: string, emit: Emit): void {
    const c = s.clients[i] as Client
    const { ok, got } = run('get', keysOf(s), w, this.#routes[rung] as Route, this.#rules)
    if (!ok || got === undefined || c.opAge !== NEVER || c.half !== HALF.no) return
    const op = { opAge: c.age, opRung: c.rung, half: HALF.compare, halfOf: w, seen: 2 + versionOf(got) }
    emit(`${who} reads in ${WORKSPACES[w]} what it will compare`, set(s, i, op))
  }

  #runScript(s: State, w: number, operation: Operation, rung: number, label: string, emit: Emit, seen?: number): void {
    const route = this.#routes[rung] as Route
    const keys = keysOf(s)
    const answer = run(operation, keys, w, route, this.#rules, seen)
    if (s.rightsGone && operation !== 'get') {
      // NOPERM: refused before the first write.
      if (!this.#rules.checksFirst) emit(`${label} stops at the target key: NOPERM`, { ...s, legacy: keys.legacy })
      return
    }
    const meant = meaning(operation, s.truth, w, seen)
    const strays = operation === 'create' && answer.ok ? s.strays & ~(1 << w) : s.strays
    const after = noteMisses({ ...s, ...keys, strays, truth: meant.truth })
    const broken = this.#scope.alarm === true ? undefined : wrong(operation, answer, meant.answer, s, w)
    emit(`${label} -> ${answerText(operation, answer)}`, after, broken)
  }

  // A read that legacy answers after a target miss is counted once the backfill is complete, and a count starts the soak again.
  #counts(s: State, { order, fallback }: Route): boolean {
    if (this.#scope.availability === false) return false
    return order === 'TL' && fallback && (s.proofs & WORK.backfill) !== 0
  }

  // The rule off: target and legacy are read by two scripts.
  #readFirst(s: State, i: number, w: number, rung: number, label: string, emit: Emit): void {
    const { order } = this.#routes[rung] as Route
    if (order === 'L') return this.#runScript(set(s, i, IDLE), w, 'get', rung, label, emit)
    const first = order === 'TL' ? (s.targets[w] as number) : s.legacy
    const meant = meaning('get', s.truth, w).answer
    if (first !== NOTHING && workspaceOf(first) === w) {
      const answer = { ok: true, got: first }
      emit(`${label}, first key -> found`, set(s, i, IDLE), wrong('get', answer, meant, s, w))
    } else emit(`${label}, first key -> not there`, set(s, i, { half: HALF.read, halfOf: w, missed: !meant.ok }))
  }

  // The rule off: a write is two scripts, legacy first.
  #writeFirst(s: State, i: number, w: number, operation: Operation, rung: number, label: string, emit: Emit): void {
    const keys = keysOf(s)
    const answer = run(operation, keys, w, this.#routes[rung] as Route, this.#rules)
    const target = s.targets[w] as number
    const more = keys.targets[w] !== target
    const meant = meaning(operation, s.truth, w)
    const next = { ...set(s, i, more ? { half: HALF[operation as 'create'], halfOf: w } : IDLE), legacy: keys.legacy }
    emit(`${label}, legacy key`, { ...next, truth: meant.truth }, wrong(operation, answer, meant.answer, s, w))
  }

  /** The second part of an operation that is two scripts, or the same one once more. */
  #goOn(s: State, i: number, emit: Emit): void {
    const c = s.clients[i] as Client
    const w = c.halfOf
    const done = set(s, i, IDLE)
    if (this.#refuses(s, c.opAge, c.opRung)) return emit('the second script is refused', done)
    const target = s.targets[w] as number
    if (c.half === HALF.read) {
      const second = (this.#routes[c.opRung] as Route).order === 'TL' ? s.legacy : target
      const mine = second !== NOTHING && workspaceOf(second) === w
      const bad = mine ? second !== s.truth : !c.missed
      emit(
        `second script of a read in ${WORKSPACES[w]} -> ${mine ? 'found' : 'not there'}`,
        done,
        bad
          ? 'I2: a read missed a job that was there all the time'
          : mine && target !== NOTHING && this.#counts(s, this.#routes[c.opRung] as Route)
            ? COUNTED
            : undefined,
      )
      return
    }
    if (c.half === HALF.againCreate || c.half === HALF.againDelete) {
      const operation = c.half === HALF.againCreate ? 'create' : 'delete'
      const keys = keysOf(s)
      run(operation, keys, w, this.#routes[c.opRung] as Route, this.#rules)
      emit(`the driver sends that ${operation} in ${WORKSPACES[w]} once more`, { ...done, ...keys })
      return
    }
    const made =
      c.half === HALF.delete || s.legacy === NOTHING
        ? NOTHING
        : c.half === HALF.expire && target !== NOTHING
          ? withExpiry(target, expiryOf(s.legacy))
          : s.legacy
    emit('second script of that write, target key', { ...done, targets: replaced(s.targets, w, made) })
  }

  #refuses(s: State, age: Age, rung: number): boolean {
    if (!this.#rules.fence) return false
    if (!s.fenceLost) return age > s.fence
    // Behind the fence, Legacy stands for epochs 0 and 1: who accepts them without a fence is the scope's to say.
    if (age === OLD && rung === 0) return this.#scope.fenceLoss !== 'early'
    return this.#rules.failClosed
  }

  #worker(s: State, emit: Emit): void {
    const mayCopy = this.operator.allows(s, 'backfill')
    const { copyInside } = this.#rules
    const workspaceInside = this.#rules.workspaceInside && this.#rules.workspaceChecked
    if (mayCopy && workspaceInside && copyInside && s.legacy !== NOTHING) {
      const w = workspaceOf(s.legacy)
      if (s.targets[w] === NOTHING) emit('backfill copies the job', { ...s, targets: replaced(s.targets, w, s.legacy) })
    }
    if (mayCopy && !(workspaceInside && copyInside)) {
      if (s.held === NOTHING) {
        if (s.legacy !== NOTHING) emit('backfill reads the legacy key', { ...s, held: s.legacy })
      } else {
        const w = workspaceOf(s.held)
        const written = copyInside ? s.legacy : s.held
        const targets = s.targets[w] === NOTHING ? replaced(s.targets, w, written) : s.targets
        emit(`backfill writes the target key of ${WORKSPACES[w]}`, { ...s, held: NOTHING, targets })
      }
    }
    if (this.operator.allows(s, 'reverseBackfill')) this.#reverse(s, emit)
    if (
      this.operator.allows(s, 'deleteLegacy') &&
      s.legacy !== NOTHING &&
      s.targets[workspaceOf(s.legacy)] === s.legacy
    ) {
      const owner = value(workspaceOf(s.legacy), expiryOf(s.legacy), 0)
      const held = this.#rules.owner && this.#rules.ownerAtDelete ? { owner } : {}
      emit('cleanup deletes the legacy key', { ...s, legacy: NOTHING, ...held })
    }
    for (const proof of this.operator.due(s)) {
      if (!this.operator.allows(s, WORK_OF[proof])) continue
      const bit = WORK[proof]
      const ended = { looked: s.looked | bit, halfway: s.halfway & ~bit }
      if (finds(proof, s, this.#rules)) {
        emit(`worker finds nothing amiss (${proof})`, { ...s, ...ended })
        if (this.#scope.resumes === true && (bit & OF_PRODUCT) !== 0)
          emit(`worker finds the job in order, then its node is lost (${proof})`, { ...s, halfway: s.halfway | bit })
      }
      if ((s.halfway & bit) !== 0)
        emit(`the next worker goes on from there, and finds nothing amiss (${proof})`, { ...s, ...ended })
    }
    if (this.#scope.unaware !== undefined && this.operator.allows(s, 'purge') && s.targets.some((t) => t !== NOTHING))
      emit('purge deletes the target keys', { ...s, targets: [NOTHING, NOTHING] })
    if (this.#scope.unaware !== undefined && this.operator.allows(s, 'repair')) {
      const targets = repaired(s, this.operator.phase(s) === 'BackfillVerify')
      emit('repair makes the target keys equal to legacy', { ...s, targets, strays: 0 })
    }
  }

  /** Makes the legacy key of a target, which says from then on whose job id it is. */
  #reverse(s: State, emit: Emit): void {
    s.targets.forEach((target, w) => {
      if (target === NOTHING || (s.legacy !== NOTHING && s.legacy !== target)) return
      if (s.owner !== NOTHING && workspaceOf(s.owner) !== w) return
      const owner = this.#rules.ownerAtReverse ? NOTHING : s.owner
      if (s.legacy === NOTHING || owner !== s.owner)
        emit('reverse backfill makes the legacy key', { ...s, legacy: target, owner })
    })
  }

  #world(s: State, emit: Emit): void {
    const { expiry, unaware, fenceLoss, rights, queue, failover } = this.#scope
    if (queue === true) this.#queue(s, emit)
    if (failover === true) this.#failover(s, emit)
    if (expiry === true)
      for (const moment of [1, 2]) {
        const gone = (v: number): number => (v !== NOTHING && expiryOf(v) === moment ? NOTHING : v)
        const [legacy, truth, a, b] = [gone(s.legacy), gone(s.truth), gone(s.targets[0]), gone(s.targets[1])]
        const owner = gone(s.owner)
        if (legacy !== s.legacy || truth !== s.truth || a !== s.targets[0] || b !== s.targets[1] || owner !== s.owner)
          emit(`time passes: expiry ${moment}`, noteMisses({ ...s, legacy, truth, targets: [a, b], owner }))
      }
    if (unaware !== undefined) this.#unaware(s, unaware, emit)
    if (rights === true)
      emit(s.rightsGone ? 'the rights come back' : 'rights on target keys are taken away', {
        ...s,
        rightsGone: !s.rightsGone,
      })
    if (fenceLoss !== undefined && s.came !== UNPUBLISHED && !s.fenceLost && s.rungs[0] >= 2)
      emit('somebody deletes the fence', { ...s, fenceLost: true })
  }

  /** Producers push, consumers find the job of the entry, end their work, or give it back in the form of their phase. */
  #queue(s: State, emit: Emit): void {
    for (const c of s.clients) {
      if (c.joining || this.#refuses(s, c.age, c.rung)) continue
      const route = this.#routes[c.rung] as Route
      const form = (w: number): number => (this.#pairs[c.rung] === true ? ENTRY.pair + w : ENTRY.job)
      const who = `client of ${epoch(c.age)}`
      const keys = keysOf(s)
      if (s.entry === ENTRY.none) {
        for (let w = 0; w < this.#scope.workspaces; w += 1)
          if (run('get', keys, w, { ...route, fallback: true }, this.#rules).ok)
            emit(`${who} pushes the job of ${WORKSPACES[w]}`, { ...s, entry: form(w) })
        continue
      }
      const found = resolve(s.entry, keys, route)
      const meant = s.truth !== NOTHING && (s.entry === ENTRY.job || s.entry - ENTRY.pair === workspaceOf(s.truth))
      const broken =
        found === undefined
          ? meant
            ? 'I2: a queue entry is thrown away although its job is there'
            : undefined
          : !meant
            ? 'I2: a queue entry brings back a job that is gone'
            : found === workspaceOf(s.truth)
              ? undefined
              : 'I3: a queue entry leads to a job of another workspace'
      if (found === undefined) emit(`${who} dequeues -> the job is gone`, { ...s, entry: ENTRY.none }, broken)
      else {
        emit(`${who} dequeues the job of ${WORKSPACES[found]}`, { ...s, entry: ENTRY.none }, broken)
        if (form(found) !== s.entry) emit(`${who} gives the entry back`, { ...s, entry: form(found) }, broken)
      }
    }
  }

  /** A replica that lags takes over: what it has is what is there, acknowledged or not. */
  #failover(s: State, emit: Emit): void {
    emit('the replica catches up', caughtUp(s))
    const { replica, ...rest } = s
    const seen = this.#rules.voidLineage ? { looked: 0, halfway: 0, failedOver: s.came !== UNPUBLISHED } : {}
    emit('Redis fails over to the replica', noteMisses({ ...rest, ...replica, replica, ...seen }))
  }

  /** A pod without the client: it writes the legacy key alone, as the application did before. */
  #unaware(s: State, kind: 'noticed' | 'unnoticed', emit: Emit): void {
    // From ReadRouting on such a pod breaks the migration: it is alarmed about, not tolerated.
    const mayCome = !this.#rules.gate || this.#scope.alarm === true
    for (let age = 0; age <= s.fence && age <= 2; age += 1)
      if (this.#readsTarget[s.rungs[age as 0 | 1 | 2]] === true && s.came !== UNPUBLISHED && !mayCome) return
    if (!s.unaware) return emit('a pod without the client starts', { ...s, unaware: true })
    emit('the pod without the client is gone', { ...s, unaware: false, pending: kind === 'noticed' })
    const write = (label: string, v: number): void => {
      emit(`pod without the client: ${label}`, { ...s, legacy: v, truth: v, strays: 3 })
    }
    if (s.legacy === NOTHING) return write('create', value(0, 0, FRESH))
    if (workspaceOf(s.legacy) !== 0) return
    write('update', updated(s.legacy))
    write('delete', NOTHING)
  }
}

function start({ clients, joins }: Scope): State {
  const client = (i: number): Client => {
    const joining = joins === true && i > 0
    return { age: joining ? OLD : 0, rung: 0, alive: !joining, joining, ...IDLE }
  }
  return {
    rungs: [0, 0, 0],
    came: UNPUBLISHED,
    converged: false,
    fence: 0,
    record: 0,
    config: 0,
    base: NEVER,
    back: NEVER,
    proofs: 0,
    looked: 0,
    halfway: 0,
    fenceLost: false,
    unaware: false,
    pending: false,
    rightsGone: false,
    failedOver: false,
    legacy: NOTHING,
    targets: [NOTHING, NOTHING],
    strays: 0,
    owner: NOTHING,
    entry: ENTRY.none,
    replica: {
      legacy: NOTHING,
      targets: [NOTHING, NOTHING],
      owner: NOTHING,
      truth: NOTHING,
      strays: 0,
      fence: 0,
      record: 0,
    },
    held: NOTHING,
    truth: NOTHING,
    clients: Array.from({ length: clients }, (_, i) => client(i)),
  }
}

function keysOf({ legacy, targets, owner }: State): Keys {
  return { legacy, targets: [targets[0], targets[1]], owner }
}

/** Whether a pass of the work over the keys finds nothing amiss, and left nothing to do. */
function finds(proof: Proof, s: State, { ownerAtReverse }: Rules): boolean {
  const { legacy, targets, owner } = s
  const target = legacy === NOTHING ? NOTHING : (targets[workspaceOf(legacy)] as number)
  switch (proof) {
    case 'verifiedTarget':
      return targets.every((one) => one === NOTHING || one === legacy)
    case 'backfill':
      return legacy === NOTHING || target !== NOTHING
    case 'verifiedBoth':
      return isMigrated(s)
    case 'reverse':
      return legacy !== NOTHING ? owner === NOTHING || !ownerAtReverse : targets.every((one) => one === NOTHING)
    case 'verifiedCleanup':
      return target === legacy
    case 'deleted':
      return legacy === NOTHING
  }
}

function set(s: State, i: number, change: Partial<Client>): State {
  const clients = s.clients.slice()
  clients[i] = { ...(s.clients[i] as Client), ...change }
  return { ...s, clients }
}

function same(a: Client, b: Client): boolean {
  return (
    a.age === b.age &&
    a.rung === b.rung &&
    a.alive === b.alive &&
    a.opAge === b.opAge &&
    a.opRung === b.opRung &&
    a.orphan === b.orphan &&
    a.half === b.half &&
    a.halfOf === b.halfOf &&
    a.missed === b.missed &&
    a.seen === b.seen &&
    a.joining === b.joining
  )
}

function isHalfWrite(half: number): boolean {
  return half >= HALF.create && half <= HALF.expire
}

// A read that missed its first key may answer that the job is not there if it was not, at some moment since.
function noteMisses(s: State): State {
  const isMissed = (c: Client): boolean =>
    c.half === HALF.read && !c.missed && (s.truth === NOTHING || workspaceOf(s.truth) !== c.halfOf)
  if (!s.clients.some(isMissed)) return s
  return { ...s, clients: s.clients.map((c) => (isMissed(c) ? { ...c, missed: true } : c)) }
}

function replaced(targets: readonly [number, number], w: number, v: number): [number, number] {
  return w === 0 ? [v, targets[1]] : [targets[0], v]
}

/** Targets as repair leaves them; `both`: missing ones are made, too. */
function repaired({ legacy, targets }: State, both: boolean): [number, number] {
  const should = (w: number): number => {
    if (legacy === NOTHING || workspaceOf(legacy) !== w) return NOTHING
    return both || targets[w] !== NOTHING ? legacy : NOTHING
  }
  return [should(0), should(1)]
}

/** Every legacy key has an equal target key, and there is nothing extra. */
function isMigrated({ legacy, targets }: State): boolean {
  if (legacy === NOTHING) return targets.every((target) => target === NOTHING)
  const w = workspaceOf(legacy)
  return targets[w] === legacy && targets[1 - w] === NOTHING
}

function wrong(operation: Operation, got: Answer, meant: Answer, s: State, w: number): string | undefined {
  if (got.ok === meant.ok && got.got === meant.got) return undefined
  if (s.truth !== NOTHING && workspaceOf(s.truth) !== w)
    return `I3: ${operation} of ${WORKSPACES[w]} reached a job of ${WORKSPACES[1 - w]}`
  if (operation === 'get')
    return got.ok && meant.ok
      ? 'I2: a read answered an old value'
      : `I2: a read ${got.ok ? 'brought back a job that is gone' : 'missed a job that is there'}`
  return `I2: ${operation} was ${got.ok ? 'done' : 'refused'} although the job ${s.truth === NOTHING ? 'is not there' : 'is there'}`
}

function answerText(operation: Operation, { ok }: Answer): string {
  if (ok) return 'OK'
  return operation === 'create' ? 'exists' : 'not found'
}

/** Replaced by numbers when a trace is printed. */
function epoch(age: Age): string {
  return `{${age}}`
}
