import type { PlannedRules } from '../../src/protocol/planned.ts'
import type { Rung } from './ladder.ts'
import type { Rules, Scope } from './rules.ts'

const ONE: Scope = { clients: 2, workspaces: 1, selected: false }

/** Scopes in which the product's rules must hold. */
export const SCOPES: Readonly<Record<string, Scope>> = {
  'two clients, slow, killed and lapsing': { ...ONE, slow: true, restarts: true, lapses: true },
  'two clients, slow and killed, expiring jobs, a job in the first half of the buckets': {
    ...ONE,
    selected: true,
    slow: true,
    restarts: true,
    expiry: true,
  },
  'two workspaces that use the same job id': { ...ONE, workspaces: 2, slow: true, lapses: true },
  'three clients, slow': { ...ONE, clients: 3, slow: true },
  'three clients, killed and lapsing': { ...ONE, clients: 3, restarts: true, lapses: true },
  'a pod without the client until DualWrite, purge and repair': {
    ...ONE,
    slow: true,
    unaware: 'noticed',
    resumes: true,
  },
  'the same for a selected job that expires': {
    ...ONE,
    selected: true,
    slow: true,
    expiry: true,
    unaware: 'noticed',
  },
  'a pod without the client, repair, a failover': { ...ONE, clients: 1, unaware: 'noticed', failover: true },
  'a pod without the client while targets are read': {
    ...ONE,
    clients: 1,
    unaware: 'noticed',
    resumes: true,
    alarm: true,
  },
  'rights that come and go, the same routing under a new epoch': {
    ...ONE,
    slow: true,
    rights: true,
    redocuments: true,
  },
  'two workspaces, expiring jobs': { ...ONE, clients: 1, workspaces: 2, slow: true, expiry: true },
  'compare-and-set, slow and lapsing': { ...ONE, compares: true, slow: true, lapses: true },
  'compare-and-set of two workspaces': { ...ONE, workspaces: 2, compares: true },
  'joining pods': { ...ONE, slow: true, lapses: true, joins: true },
  'a queue, two workspaces, lapsing clients': { ...ONE, workspaces: 2, queue: true, lapses: true },
  'a queue, expiring jobs, killed clients': { ...ONE, queue: true, restarts: true, expiry: true },
  'Redis fails over to a replica that lags': { ...ONE, clients: 1, failover: true, slow: true, lapses: true },
  'Redis fails over under two workspaces': { ...ONE, clients: 1, workspaces: 2, failover: true },
  'Redis fails over under two clients': { ...ONE, failover: true },
  'somebody deletes the fence': { ...ONE, clients: 1, slow: true, lapses: true, fenceLoss: 'late' },
}

/** Scopes that are asked whether every state leads on. */
export const LIVENESS: Readonly<Record<string, Scope>> = {
  'two clients, slow and lapsing': { ...ONE, slow: true, lapses: true },
  'two workspaces, expiring jobs': { ...ONE, clients: 1, workspaces: 2, expiry: true, restarts: true },
  'failover, joining pods and a queue': { ...ONE, clients: 2, failover: true, joins: true, queue: true },
}

/** Larger ones, for a change to the protocol: `node test/model/main.ts wide`. */
export const WIDE_SCOPES: Readonly<Record<string, Scope>> = {
  'two clients, everything': { ...ONE, slow: true, restarts: true, lapses: true, expiry: true },
  'two clients, everything, selected': {
    ...ONE,
    selected: true,
    slow: true,
    restarts: true,
    lapses: true,
    expiry: true,
  },
  'two workspaces, killed clients': { ...ONE, workspaces: 2, slow: true, restarts: true, lapses: true },
  'two clients, two workspaces, a queue, lapsing': { ...ONE, workspaces: 2, queue: true, slow: true, lapses: true },
  'two workspaces, failover, compare-and-set': {
    ...ONE,
    clients: 1,
    workspaces: 2,
    failover: true,
    compares: true,
    lapses: true,
  },
  'three clients, slow and lapsing': { ...ONE, clients: 3, slow: true, lapses: true },
}

export interface NegativeCase {
  readonly off: readonly (keyof Rules)[]
  readonly scope: Scope
  /** What the counterexample violates, and how it ends. */
  readonly violates: RegExp
  readonly ends: RegExp
}

/** Taking a rule away must break something. */
export const NEGATIVES: Readonly<Record<string, NegativeCase>> = {
  'without the gate reads turn to the target while a pod without the client writes legacy': {
    off: ['gate'],
    scope: { ...ONE, clients: 1, unaware: 'noticed', availability: false },
    violates: /^I2/,
    ends: /client of epoch 4: /,
  },
  'without the gate a step shuts out a live member': {
    off: ['gate'],
    scope: ONE,
    violates: /^A/,
    ends: /raises the fence/,
  },
  'without the fence a lapsed client makes a job without a target after verify': {
    off: ['fence'],
    scope: { ...ONE, clients: 1, lapses: true },
    violates: /^I4/,
    ends: /client of an older epoch: create/,
  },
  'without the fence a walk back that waits for nobody leaves a client that reads target keys': {
    off: ['fence'],
    scope: ONE,
    violates: /^I2: a read missed a job that is there/,
    ends: /client of an older epoch: get/,
  },
  'with a fence that fails open an old client comes back when the fence is lost': {
    off: ['failClosed'],
    scope: { ...ONE, clients: 1, lapses: true, fenceLoss: 'late' },
    violates: /^I4/,
    ends: /older epoch: create/,
  },
  'without drain a step shuts out an operation of a live member': {
    off: ['drain'],
    scope: { ...ONE, slow: true },
    violates: /^A/,
    ends: /raises the fence/,
  },
  'without drain and fence a late script makes a job without a target after verify': {
    off: ['drain', 'fence'],
    scope: { ...ONE, slow: true, availability: false },
    violates: /^I4/,
    ends: /late script of an older epoch: create/,
  },
  'without gate and fence a live member makes a job without a target after verify': {
    off: ['gate', 'fence'],
    scope: { ...ONE, availability: false },
    violates: /^I4/,
    ends: /create in w1/,
  },
  'where the percentage decides what is maintained the keys part': {
    off: ['maintain'],
    scope: ONE,
    violates: /^I1/,
    ends: /update in w1/,
  },
  'where create does not ask a second create wins': {
    off: ['createIfAbsent'],
    scope: { ...ONE, workspaces: 2 },
    violates: /^I[23]/,
    ends: /create in w[12]/,
  },
  'where update makes what is not there a deleted job is back': {
    off: ['updateIfExists'],
    scope: ONE,
    violates: /^I2/,
    ends: /update in w1/,
  },
  'where a stray target counts as the job in phases 0-1 a create is refused': {
    off: ['legacyDecides'],
    scope: { ...ONE, unaware: 'noticed' },
    violates: /^I2/,
    ends: /create in w1 -> exists/,
  },
  'where create leaves a stray target the keys part': {
    off: ['strayOverwritten'],
    scope: { ...ONE, unaware: 'noticed' },
    violates: /^I1/,
    ends: /create in w1 -> OK/,
  },
  'where a write is two scripts a kill between them parts the keys': {
    off: ['oneWrite'],
    scope: { ...ONE, slow: true, restarts: true },
    violates: /^I1/,
    ends: /is killed/,
  },
  'where each key gets its own expiry they end apart': {
    off: ['absoluteExpiry'],
    scope: { ...ONE, expiry: true },
    violates: /^I1/,
    ends: /expire in w1/,
  },
  'where backfill reads the workspace first the job may be another one by then': {
    off: ['workspaceInside'],
    scope: { ...ONE, workspaces: 2 },
    violates: /^I3/,
    ends: /backfill writes the target key/,
  },
  'where it does not hold the workspace against the name of the target it copies to that of another': {
    off: ['workspaceChecked'],
    scope: { ...ONE, workspaces: 2 },
    violates: /^I3/,
    ends: /backfill writes the target key/,
  },
  'where expire does not ask a job that is gone is there': {
    off: ['expireIfExists'],
    scope: { ...ONE, expiry: true },
    violates: /^I2: expire was done/,
    ends: /expire in w1 -> OK/,
  },
  'where work of before creates were at 100 % counts BackfillVerify is done without it': {
    off: ['boundToBase'],
    scope: { ...ONE, clients: 1 },
    violates: /^I4: BackfillVerify reports done/,
    ends: /takes in|publishes BackfillVerify/,
  },
  'where backfill carries the value it writes an old one': {
    off: ['copyInside'],
    scope: ONE,
    violates: /^I1/,
    ends: /backfill writes the target key/,
  },
  'where evidence outlives creates below 100 % BackfillVerify reports done too early': {
    off: ['baseEpoch'],
    scope: ONE,
    violates: /^I4/,
    ends: /publishes BackfillVerify/,
  },
  'where reads turn to the target before it was verified they meet what a pod without the client left': {
    off: ['verifyFirst'],
    scope: { ...ONE, unaware: 'noticed' },
    violates: /^I[12]/,
    ends: /client of epoch 4/,
  },
  'where the driver sends again a deleted job is back': {
    off: ['noResend'],
    scope: { ...ONE, slow: true },
    violates: /^I5/,
    ends: /sends that (create|delete).* once more/,
  },
  'where a read with fallback is two scripts what the backfill copies between them counts as a fallback read': {
    off: ['oneRead'],
    scope: { ...ONE, clients: 1, slow: true },
    violates: /^A: a fallback read/,
    ends: /second script of a read/,
  },
  'where a compare-and-set does not compare an update is lost': {
    off: ['compares'],
    scope: { ...ONE, compares: true },
    violates: /^I2/,
    ends: /compare-and-set in w1/,
  },
  'where a pod without the client voids nothing reads turn to targets that it has aged': {
    off: ['voidUnaware'],
    scope: { ...ONE, clients: 1, unaware: 'noticed' },
    violates: /^I2/,
    ends: /client of epoch 4: /,
  },
  'where a verify goes on from before a pod without the client reads turn to what that pod has aged': {
    off: ['voidCheckpoint'],
    scope: { ...ONE, clients: 1, unaware: 'noticed', resumes: true },
    violates: /^I2/,
    ends: /client of epoch 4: /,
  },
  'where a pod that is gone holds no step reads turn to targets that it has aged': {
    off: ['holdPending'],
    scope: { ...ONE, clients: 1, unaware: 'noticed' },
    violates: /^I2/,
    ends: /client of epoch 4: /,
  },
  'where it holds no step BackfillVerify is done over what it changed': {
    off: ['holdPending'],
    scope: { ...ONE, clients: 1, unaware: 'noticed', alarm: true },
    violates: /^I4/,
    ends: /pod without the client: /,
  },
  'where a failover voids nothing BackfillVerify is done over copies that were lost': {
    off: ['voidLineage'],
    scope: { ...ONE, clients: 1, failover: true },
    violates: /^I4/,
    ends: /fails over|publishes|takes in/,
  },
  'where no replica has acknowledged the fence a failover lets an old client in': {
    off: ['ackedFence'],
    scope: { ...ONE, clients: 1, lapses: true, failover: true, availability: false },
    violates: /^I4/,
    ends: /client of an older epoch: create/,
  },
  'where replicas are asked before the proofs a failover brings a job without target key to reads without fallback': {
    off: ['ackedForStep'],
    scope: { ...ONE, clients: 1, failover: true },
    violates: /^I2: a read missed a job that is there/,
    ends: /client of epoch \d+: get/,
  },
  'where replicas are asked before the repair a failover brings back what it put right': {
    off: ['ackedForStep'],
    scope: { ...ONE, clients: 1, unaware: 'noticed', failover: true },
    violates: /^I2/,
    ends: /client of epoch 4: /,
  },
  'without owner keys two workspaces make the same job id, of which legacy holds one': {
    off: ['owner'],
    scope: { ...ONE, clients: 1, workspaces: 2 },
    violates: /^I3/,
    ends: /create in w[12] -> OK/,
  },
  'where cleanup sets no owner key the next workspace takes the job id': {
    off: ['ownerAtDelete'],
    scope: { ...ONE, clients: 1, workspaces: 2 },
    violates: /^I3/,
    ends: /create in w[12] -> OK/,
  },
  'where reverse backfill leaves the owner key it outlives its job': {
    off: ['ownerAtReverse'],
    scope: { ...ONE, clients: 1, workspaces: 2 },
    violates: /^I2: create was refused/,
    ends: /create in w[12]/,
  },
  'where the walk back does not wait for reverse backfill a job is without legacy key': {
    off: ['reverseFirst'],
    scope: { ...ONE, clients: 1 },
    violates: /^I5/,
    ends: /publishes BackfillVerify/,
  },
  'where it waits in BackfillVerify its creates do not know the owner key': {
    off: ['heldInNoFallback'],
    scope: { ...ONE, clients: 1, workspaces: 2 },
    violates: /^I3/,
    ends: /create in w[12] -> OK/,
  },
  'where reverse backfill begins before the fence a job is made without legacy key after it': {
    off: ['reverseBehindFence'],
    scope: { ...ONE, lapses: true },
    violates: /^I5/,
    ends: /create in w1/,
  },
  'where queue entries of the old form are left when legacy keys go their jobs are lost': {
    off: ['noOldEntries'],
    scope: { ...ONE, clients: 1, queue: true },
    violates: /^I2: a queue entry/,
    ends: /dequeues/,
  },
  'where rights are found missing half way a refused write stays': {
    off: ['checksFirst'],
    scope: { ...ONE, rights: true },
    violates: /^I5/,
    ends: /NOPERM/,
  },
}

/** What I1-I5 do not lean on by itself in any state of the table; the model says so instead of guessing. */
export const REDUNDANT: Readonly<Record<string, { readonly off: readonly (keyof Rules)[]; readonly scope: Scope }>> = {
  'reads with fallback in two scripts keep I1-I5: keys change sides only over epochs that the fence parts': {
    off: ['oneRead'],
    scope: { ...ONE, selected: true, slow: true, expiry: true, availability: false },
  },
  'no gate and no drain where every pod has the client: the fence alone keeps I1-I5': {
    off: ['gate', 'drain'],
    scope: { ...ONE, slow: true, lapses: true, availability: false },
  },
}

export interface RowCase {
  readonly phase: Rung['phase']
  readonly change: Partial<PlannedRules>
  readonly scope: Scope
  /** A counterexample that begins so, or: BackfillVerify is never done. */
  readonly violates: RegExp | 'never done'
}

/** Another routing table is another proof. */
export const ROWS: Readonly<Record<string, RowCase>> = {
  'ReadRouting without fallback': {
    phase: 'ReadRouting',
    change: { fallback: false },
    scope: ONE,
    violates: /^I2: a read missed a job that is there/,
  },
  'BackfillVerify without fallback before the backfill': {
    phase: 'BackfillVerify',
    change: { fallback: false },
    scope: ONE,
    violates: /^I2: a read missed a job that is there/,
  },
  'DualWrite without legacy keys': { phase: 'DualWrite', change: { createLegacy: false }, scope: ONE, violates: /^I5/ },
  'ReadRouting without legacy keys': {
    phase: 'ReadRouting',
    change: { createLegacy: false },
    scope: ONE,
    violates: /^I5/,
  },
  'DualWrite where either key is the job': {
    phase: 'DualWrite',
    change: { existence: 'either' },
    scope: { ...ONE, unaware: 'noticed' },
    violates: /^I2/,
  },
  'DualWrite that reads the target before anything was verified': {
    phase: 'DualWrite',
    change: { existence: 'either', readTarget: 100 },
    scope: ONE,
    violates: /^I2/,
  },
  'NoFallback without legacy keys': {
    phase: 'NoFallback',
    change: { createLegacy: false },
    scope: { ...ONE, clients: 1 },
    violates: /^I5/,
  },
  'NoFallback that reads legacy keys first': {
    phase: 'NoFallback',
    change: { readTarget: 0 },
    scope: ONE,
    violates: /^I2: a read missed a job that is there/,
  },
  'NoLegacyCreates where legacy keys alone are the job': {
    phase: 'NoLegacyCreates',
    change: { existence: 'legacy' },
    scope: ONE,
    violates: /^I2: create was done/,
  },
  'NoLegacyCreates without target keys': {
    phase: 'NoLegacyCreates',
    change: { createTarget: 0 },
    scope: ONE,
    violates: /^I5/,
  },
  'NoLegacyCreates that asks owner keys and sets none': {
    phase: 'NoLegacyCreates',
    change: { owner: 'checked' },
    scope: { ...ONE, clients: 1, workspaces: 2 },
    violates: /^I3/,
  },
  'ReadRouting without target keys': {
    phase: 'ReadRouting',
    change: { createTarget: 0 },
    scope: ONE,
    violates: 'never done',
  },
  'BackfillVerify without target keys': {
    phase: 'BackfillVerify',
    change: { createTarget: 0 },
    scope: ONE,
    violates: 'never done',
  },
}

/** What the rules of the product do not rule out: see "Known limits" in docs/protocol-model.md. */
export const LIMITS: Readonly<
  Record<string, { readonly scope: Scope; readonly violates: RegExp; readonly ends: RegExp }>
> = {
  'a pod without the client that comes and goes while no operator looks voids no evidence': {
    scope: { ...ONE, clients: 1, unaware: 'unnoticed' },
    violates: /^I[12]/,
    ends: /client of epoch 4/,
  },
  'with the fence deleted a process of epoch 1 makes a job without a target after verify': {
    scope: { ...ONE, clients: 1, lapses: true, fenceLoss: 'early' },
    violates: /^I4/,
    ends: /older epoch: create/,
  },
}
