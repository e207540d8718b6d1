import type { System } from './explore.ts'

/**
 * A stored job as a small integer, 0: no key. Else 1 + workspace (0-1) + 2 * expiry (0 none, 1-2 moments) + 6 * version.
 * Versions only tell values apart: they are renumbered in each state.
 */
export type Value = number
export const NOTHING: Value = 0
export const value = (workspace: number, expiry: number, version: number): Value =>
  1 + workspace + 2 * expiry + 6 * version
export const workspaceOf = (v: Value): number => (v - 1) % 2
export const expiryOf = (v: Value): number => ((v - 1) >> 1) % 3
export const versionOf = (v: Value): number => ((v - 1) / 6) | 0
export const withExpiry = (v: Value, expiry: number): Value => value(workspaceOf(v), expiry, versionOf(v))
/** Versions of a canonical state are below this. */
export const FRESH = 8
/** What an update makes of a value: different values stay different. */
export const updated = (v: Value): Value => v + 6 * FRESH

/** Epochs are told by their age: 0 is the one in force; 3 and older are one. */
export type Age = number
export const OLD: Age = 3
export const NEVER = 4
/** For `State.back`: new jobs get no legacy key. */
export const LOST = 5

/** Operations that came half way, or may come again. */
export const HALF = {
  no: 0,
  create: 1,
  update: 2,
  delete: 3,
  expire: 4,
  read: 5,
  againCreate: 6,
  againDelete: 7,
  /** The caller has read the job and will write what it made of it, if the job is still the same. */
  compare: 8,
} as const

export interface Client {
  /** Epoch that it runs, and the rung that it means. */
  readonly age: Age
  readonly rung: number
  /** Its lease is there. */
  readonly alive: boolean
  /** An operation that began under `opRung` and whose script has not run yet; age NEVER: none. */
  readonly opAge: Age
  readonly opRung: number
  /** The process that began it is gone. */
  readonly orphan: boolean
  readonly half: number
  /** Workspace of a half operation. */
  readonly halfOf: number
  /** The job did not exist at some moment since the half read began. */
  readonly missed: boolean
  /** What the caller has read: 2 + version, 1 where no key holds that version any more, 0 nothing. */
  readonly seen: number
  /** Its pod is there, its process has not registered yet. */
  readonly joining: boolean
}

/** How the epoch in force came about: not at all, by a step back or an abort, by a step forward. */
export const UNPUBLISHED = 0
export const STEPPED = 1
export const FORWARD = 2

export interface State {
  // Operator: rungs of the epochs in force and before, how the last one came, whether all members were seen to run it.
  readonly rungs: readonly [number, number, number]
  readonly came: number
  readonly converged: boolean
  /** Ages of the fence, of record and ConfigMap, and of the base of the evidence (NEVER: no evidence). */
  readonly fence: Age
  readonly record: Age
  readonly config: Age
  readonly base: Age
  /** Age of the first epoch whose new jobs got a legacy key again. NEVER: they always did, or all have one again. LOST: they get none. */
  readonly back: Age
  /** Bits of WORK: what has been proven, and what a worker found but nobody has taken in yet. */
  readonly proofs: number
  readonly looked: number
  /** Bits of WORK: a worker has looked at the job and was lost; another one may go on from its checkpoint. */
  readonly halfway: number
  readonly fenceLost: boolean
  readonly unaware: boolean
  /** The pod without the client is gone, and not judged yet. */
  readonly pending: boolean
  readonly rightsGone: boolean
  /** Redis has failed over and the operator has not seen it yet. */
  readonly failedOver: boolean
  // Redis: the legacy key, and the target key of each workspace; `strays`: bits of targets that a pod without the client left behind.
  readonly legacy: Value
  readonly targets: readonly [Value, Value]
  readonly strays: number
  /** The key that says which workspace holds the job id, where no legacy key does. */
  readonly owner: Value
  /** The one entry of a queue: ENTRY. */
  readonly entry: number
  /** What the replica has, where Redis may fail over. */
  readonly replica: Replica
  /** What a worker carries by hand (only where a rule is off). */
  readonly held: Value
  /** What the job is, after every acknowledged write. */
  readonly truth: Value
  readonly clients: readonly Client[]
}

/** What is lost when this takes over is a write, or several: its keys are those of an earlier moment. */
export interface Replica {
  readonly legacy: Value
  readonly targets: readonly [Value, Value]
  readonly owner: Value
  readonly truth: Value
  readonly strays: number
  readonly fence: Age
  readonly record: Age
}

/** Forms of a queue entry: none, `job_id`, `w1:job_id`, `w2:job_id`. */
export const ENTRY = { none: 0, job: 1, pair: 2 } as const

export const WORK = {
  verifiedTarget: 1,
  backfill: 2,
  verifiedBoth: 4,
  /** Every target key has a legacy key again. */
  reverse: 8,
  /** Every legacy key that is left has an equal target key. */
  verifiedCleanup: 16,
  /** No legacy key is left. */
  deleted: 32,
} as const
export type Proof = keyof typeof WORK

const CLIENT_BYTES = 4
const FIXED_BYTES = 24

/** Canonical bytes: clients in order, values renumbered, what can make no difference any more set to one value. */
export function codec(
  clients: number,
  keepOld: boolean,
  replicas: boolean,
): Pick<System<State>, 'width' | 'encode' | 'decode'> {
  const width = FIXED_BYTES + CLIENT_BYTES * clients
  const order = Array.from({ length: clients }, (_, i) => i)
  const words = new Float64Array(clients)
  return {
    width,
    encode(state, bytes, at) {
      const { rungs, fence, record } = state
      const shut = !keepOld
      const stands = shut || !replicas
      const settled = state.converged || state.came !== FORWARD
      bytes[at] = rungs[0]
      bytes[at + 1] = fence >= 1 || record >= 1 || !settled || replicas ? rungs[1] : 0
      bytes[at + 2] = fence >= 2 || record >= 2 || replicas ? rungs[2] : 0
      bytes[at + 3] = (settled && state.came === FORWARD ? STEPPED : state.came) | (state.converged ? 8 : 0)
      bytes[at + 4] = fence | (record << 3)
      bytes[at + 5] = behind(state.base, fence, stands) | (behind(state.back, fence, stands) << 3)
      bytes[at + 6] = state.proofs
      bytes[at + 7] = state.looked
      bytes[at + 8] =
        (state.fenceLost ? 1 : 0) |
        (state.unaware ? 2 : 0) |
        (state.rightsGone ? 4 : 0) |
        (state.failedOver ? 8 : 0) |
        (strays(state) << 4) |
        (state.pending ? 64 : 0)
      const { replica } = state
      const names: number[] = []
      bytes[at + 9] = renamed(state.truth, names)
      bytes[at + 10] = renamed(state.legacy, names)
      bytes[at + 11] = renamed(state.targets[0], names)
      bytes[at + 12] = renamed(state.targets[1], names)
      bytes[at + 13] = renamed(state.held, names)
      bytes[at + 14] = state.owner
      bytes[at + 15] = state.entry
      bytes[at + 16] = state.config
      bytes[at + 17] = renamed(replica.truth, names)
      bytes[at + 18] = renamed(replica.legacy, names)
      bytes[at + 19] = renamed(replica.targets[0], names)
      bytes[at + 20] = renamed(replica.targets[1], names)
      bytes[at + 21] = replica.owner
      bytes[at + 22] = replicas ? replica.fence | (replica.record << 3) | (strays(replica) << 6) : 0
      bytes[at + 23] = state.halfway
      for (let i = 0; i < clients; i += 1) words[i] = word(state.clients[i] as Client, fence, shut, names)
      order.sort((a, b) => (words[a] as number) - (words[b] as number))
      for (let i = 0; i < clients; i += 1) {
        const w = words[order[i] as number] as number
        const p = at + FIXED_BYTES + CLIENT_BYTES * i
        bytes[p] = w & 0xff
        bytes[p + 1] = (w >>> 8) & 0xff
        bytes[p + 2] = (w >>> 16) & 0xff
        bytes[p + 3] = w >>> 24
      }
    },
    decode(bytes, at) {
      const b = (i: number): number => bytes[at + i] as number
      const all: Client[] = []
      for (let i = 0; i < clients; i += 1) all.push(clientOf(bytes, at + FIXED_BYTES + CLIENT_BYTES * i))
      return {
        rungs: [b(0), b(1), b(2)],
        came: b(3) & 7,
        converged: (b(3) & 8) !== 0,
        fence: b(4) & 7,
        record: b(4) >> 3,
        base: b(5) & 7,
        back: b(5) >> 3,
        proofs: b(6),
        looked: b(7),
        fenceLost: (b(8) & 1) !== 0,
        unaware: (b(8) & 2) !== 0,
        rightsGone: (b(8) & 4) !== 0,
        failedOver: (b(8) & 8) !== 0,
        strays: (b(8) >> 4) & 3,
        pending: (b(8) & 64) !== 0,
        halfway: b(23),
        truth: b(9),
        legacy: b(10),
        targets: [b(11), b(12)],
        held: b(13),
        owner: b(14),
        entry: b(15),
        config: b(16),
        replica: {
          truth: b(17),
          legacy: b(18),
          targets: [b(19), b(20)],
          owner: b(21),
          strays: b(22) >> 6,
          fence: b(22) & 7,
          record: (b(22) >> 3) & 7,
        },
        clients: all,
      }
    },
  }
}

// An age at or behind the fence: which one makes no difference.
function behind(age: Age, fence: Age, fenceStands: boolean): Age {
  return fenceStands && age < NEVER && age >= fence ? OLD : age
}

// A stray that is gone, or equal to legacy, is one no more.
function strays({ strays: marked, targets, legacy }: Pick<State, 'strays' | 'targets' | 'legacy'>): number {
  let left = 0
  for (let w = 0; w < 2; w += 1)
    if ((marked & (1 << w)) !== 0 && targets[w] !== NOTHING && targets[w] !== legacy) left |= 1 << w
  return left
}

function renamed(v: Value, names: number[]): Value {
  if (v === NOTHING) return NOTHING
  const version = versionOf(v)
  let name = names.indexOf(version)
  if (name < 0) name = names.push(version) - 1
  return value(workspaceOf(v), expiryOf(v), name)
}

// Behind the fence all epochs are alike, and so are all texts that no key holds any more.
function word(c: Client, fence: Age, shut: boolean, names: readonly number[]): number {
  const age = shut && c.age > fence ? OLD : c.age
  const rung = shut && c.age > fence ? 0 : c.rung
  const none = c.opAge === NEVER
  const late = shut && !none && c.opAge > fence && (c.half === HALF.no || c.half === HALF.compare)
  const opAge = late ? OLD : c.opAge
  const opRung = none || late ? 0 : c.opRung
  const seen = c.seen < 2 ? c.seen : names.indexOf(c.seen - 2) + 2
  const flags = (c.alive ? 1 : 0) | (c.orphan ? 2 : 0) | (c.missed ? 4 : 0) | (c.joining ? 8 : 0) | (c.half << 4)
  return (age | (rung << 3) | (opAge << 8) | (opRung << 11) | (flags << 16) | (seen << 24) | (c.halfOf << 30)) >>> 0
}

function clientOf(bytes: Uint8Array, at: number): Client {
  const [a, b, flags, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number]
  return {
    age: a & 7,
    rung: a >> 3,
    opAge: b & 7,
    opRung: b >> 3,
    alive: (flags & 1) !== 0,
    orphan: (flags & 2) !== 0,
    missed: (flags & 4) !== 0,
    joining: (flags & 8) !== 0,
    half: flags >> 4,
    seen: d & 63,
    halfOf: d >> 6,
  }
}
