import type { System } from './explore.ts'
import { routeOf, rungs, type Route } from './ladder.ts'
import { Operator, type Emit } from './operator.ts'
import { ALL_RULES, type Rules, type Scope } from './rules.ts'
import { meaning, OPERATIONS, run, type Answer, type Keys, type Operation } from './scripts.ts'
import {
  codec,
  expiryOf,
  FRESH,
  HALF,
  NEVER,
  NOTHING,
  OLD,
  UNPUBLISHED,
  updated,
  value,
  WORK,
  withExpiry,
  workspaceOf,
  type Age,
  type Client,
  type State,
} from './state.ts'

const IDLE = { opAge: NEVER, opRung: 0, orphan: false, half: HALF.no, halfOf: 0, missed: false } as const
const WORKSPACES = ['w1', 'w2']

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

  constructor(scope: Scope, rules: Rules = ALL_RULES) {
    const all = rungs()
    const bytes = codec(scope.clients, !rules.fence || scope.fenceLoss !== undefined)
    this.width = bytes.width
    this.encode = (state, buffer, at) => bytes.encode(state, buffer, at)
    this.decode = (buffer, at) => bytes.decode(buffer, at)
    this.operator = new Operator(all, rules, scope)
    this.#rules = rules
    this.#scope = scope
    this.#routes = all.map((state) => routeOf(state, scope.selected))
    this.#readsTarget = all.map(({ readTarget }) => readTarget > 0)
    this.initial = [start(scope.clients)]
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
    if (s.legacy !== s.truth)
      return 'I5: legacy does not hold what was acknowledged last: a walk back to Legacy would lose it'
    for (let w = 0; w < 2; w += 1) {
      const target = s.targets[w] as number
      if (target === NOTHING) continue
      if (workspaceOf(target) !== w) return `I3: the target key of ${WORKSPACES[w]} holds a job of ${WORKSPACES[1 - w]}`
      const excused =
        (s.strays & (1 << w)) !== 0 || s.clients.some(({ half, halfOf }) => isHalfWrite(half) && halfOf === w)
      if (s.legacy !== NOTHING && s.legacy !== target && !excused) return 'I1: both keys of the job exist and differ'
    }
    if (this.operator.isDone(s) && !isMigrated(s))
      return 'I4: BackfillVerify reports done, and the keys are not as they shall be'
    return undefined
  }

  #client(s: State, i: number, emit: Emit): void {
    const c = s.clients[i] as Client
    const { slow, lapses, restarts } = this.#scope
    const who = `client of ${epoch(c.age)}`
    if (!this.#refuses(s, c.age, c.rung)) this.#operate(s, i, c.rung, who, false, emit)
    if (c.half !== HALF.no) this.#goOn(s, i, emit)
    else if (c.opAge !== NEVER) {
      if (!this.#refuses(s, c.opAge, c.opRung))
        this.#operate(s, i, c.opRung, `late script of ${epoch(c.opAge)}`, true, emit)
      emit(`an operation of ${epoch(c.opAge)} is refused, or lost before it reached Redis`, set(s, i, IDLE))
    } else if (slow === true && !this.#refuses(s, c.age, c.rung))
      emit(`${who} begins an operation`, set(s, i, { opAge: c.age, opRung: c.rung }))

    const oldest = s.fence < 2 ? s.fence : 2
    for (let age = s.record; age < c.age && age <= oldest; age += 1)
      emit(`${who} reads the document of ${epoch(age)}`, set(s, i, { age, rung: s.rungs[age as 0 | 1 | 2] }))
    if (lapses === true) {
      if (c.alive) emit(`${who} loses its lease`, set(s, i, { alive: false }))
      else emit(`${who} renews its lease`, set(s, i, { alive: true }))
    }
    if (restarts === true)
      for (let age = s.record; age <= oldest; age += 1) {
        // What was sent may still come; what was half done stays so.
        const op = c.opAge === NEVER || c.half !== HALF.no ? IDLE : { orphan: true }
        const document = { age, rung: s.rungs[age as 0 | 1 | 2], alive: true }
        emit(`${who} is killed and starts again on the document of ${epoch(age)}`, set(s, i, { ...document, ...op }))
      }
  }

  /** Runs each operation for each workspace under one routing. `late`: it has been in flight, and its place is free after it. */
  #operate(s: State, i: number, rung: number, who: string, late: boolean, emit: Emit): void {
    for (let w = 0; w < this.#scope.workspaces; w += 1)
      for (const operation of OPERATIONS) {
        if (operation === 'expire' && this.#scope.expiry !== true) continue
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

  #runScript(s: State, w: number, operation: Operation, rung: number, label: string, emit: Emit): void {
    const route = this.#routes[rung] as Route
    const keys: Keys = { legacy: s.legacy, targets: [s.targets[0], s.targets[1]] }
    const answer = run(operation, keys, w, route, this.#rules)
    if (s.rightsGone && operation !== 'get') {
      // NOPERM: refused before the first write.
      if (!this.#rules.checksFirst) emit(`${label} stops at the target key: NOPERM`, { ...s, legacy: keys.legacy })
      return
    }
    const meant = meaning(operation, s.truth, w)
    const strays = operation === 'create' && answer.ok ? s.strays & ~(1 << w) : s.strays
    const after = noteMisses({ ...s, legacy: keys.legacy, targets: keys.targets, strays, truth: meant.truth })
    emit(`${label} -> ${answerText(operation, answer)}`, after, wrong(operation, answer, meant.answer, s, w))
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
    const keys: Keys = { legacy: s.legacy, targets: [s.targets[0], s.targets[1]] }
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
        bad ? 'I2: a read missed a job that was there all the time' : undefined,
      )
      return
    }
    if (c.half === HALF.againCreate || c.half === HALF.againDelete) {
      const operation = c.half === HALF.againCreate ? 'create' : 'delete'
      const keys: Keys = { legacy: s.legacy, targets: [s.targets[0], s.targets[1]] }
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
    const { workspaceInside, copyInside } = this.#rules
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
    for (const proof of this.operator.due(s)) {
      if (!this.operator.allows(s, proof === 'backfill' ? 'backfill' : 'verify')) continue
      const clean =
        proof === 'backfill'
          ? s.legacy === NOTHING || s.targets[workspaceOf(s.legacy)] !== NOTHING
          : proof === 'verifiedTarget'
            ? s.targets.every((target) => target === NOTHING || target === s.legacy)
            : isMigrated(s)
      if (clean) emit(`worker finds nothing amiss (${proof})`, { ...s, looked: s.looked | WORK[proof] })
    }
    if (this.#scope.unaware !== undefined && this.operator.allows(s, 'purge') && s.targets.some((t) => t !== NOTHING))
      emit('purge deletes the target keys', { ...s, targets: [NOTHING, NOTHING] })
    if (this.#scope.unaware !== undefined && this.operator.allows(s, 'repair')) {
      const targets = repaired(s, this.operator.phase(s) === 'BackfillVerify')
      emit('repair makes the target keys equal to legacy', { ...s, targets, strays: 0 })
    }
  }

  #world(s: State, emit: Emit): void {
    const { expiry, unaware, fenceLoss, rights } = this.#scope
    if (expiry === true)
      for (const moment of [1, 2]) {
        const gone = (v: number): number => (v !== NOTHING && expiryOf(v) === moment ? NOTHING : v)
        const [legacy, truth, a, b] = [gone(s.legacy), gone(s.truth), gone(s.targets[0]), gone(s.targets[1])]
        if (legacy !== s.legacy || truth !== s.truth || a !== s.targets[0] || b !== s.targets[1])
          emit(`time passes: expiry ${moment}`, noteMisses({ ...s, legacy, truth, targets: [a, b] }))
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

  /** A pod without the client: it writes the legacy key alone, as the application did before. */
  #unaware(s: State, kind: 'noticed' | 'unnoticed', emit: Emit): void {
    // From ReadRouting on such a pod breaks the migration: it is alarmed about, not tolerated.
    for (let age = 0; age <= s.fence && age <= 2; age += 1)
      if (this.#readsTarget[s.rungs[age as 0 | 1 | 2]] === true && s.came !== UNPUBLISHED && this.#rules.gate) return
    if (!s.unaware) return emit('a pod without the client starts', { ...s, unaware: true })
    const seen = kind === 'noticed' ? { proofs: 0, looked: 0 } : {}
    emit(`the pod without the client is gone${kind === 'noticed' ? ', evidence is void' : ''}`, {
      ...s,
      ...seen,
      unaware: false,
    })
    const write = (label: string, v: number): void => {
      emit(`pod without the client: ${label}`, { ...s, legacy: v, truth: v, strays: 3 })
    }
    if (s.legacy === NOTHING) return write('create', value(0, 0, FRESH))
    if (workspaceOf(s.legacy) !== 0) return
    write('update', updated(s.legacy))
    write('delete', NOTHING)
  }
}

function start(clients: number): State {
  const client: Client = { age: 0, rung: 0, alive: true, ...IDLE }
  return {
    rungs: [0, 0, 0],
    came: UNPUBLISHED,
    converged: false,
    fence: 0,
    record: 0,
    base: NEVER,
    proofs: 0,
    looked: 0,
    fenceLost: false,
    unaware: false,
    rightsGone: false,
    legacy: NOTHING,
    targets: [NOTHING, NOTHING],
    strays: 0,
    held: NOTHING,
    truth: NOTHING,
    clients: Array.from({ length: clients }, () => client),
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
    a.missed === b.missed
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
