/** The rules of the protocol that carry its invariants. The product has them all; the negative suite takes them away one by one. */
export const ALL_RULES = {
  /** A forward step waits for every live member, and for pods without the client to be gone. */
  gate: true,
  /** Scripts of an epoch below the fence do nothing. */
  fence: true,
  /** Without a fence in Redis no epoch from 2 on is accepted. */
  failClosed: true,
  /** A member reports an epoch only when nothing begun under an older one is in flight. */
  drain: true,
  /** Update, delete and expire apply to each key that exists. */
  maintain: true,
  createIfAbsent: true,
  updateIfExists: true,
  expireIfExists: true,
  /** In phases 0-1 legacy alone decides whether a job exists. */
  legacyDecides: true,
  /** Create overwrites a target that is there without a legacy key. */
  strayOverwritten: true,
  /** A read with fallback is one script. */
  oneRead: true,
  /** Both keys are written by one script. */
  oneWrite: true,
  /** Both keys get the same absolute expiry. */
  absoluteExpiry: true,
  /** The script of the backfill reads the workspace that names the target. */
  workspaceInside: true,
  /** It is held against the name of the target: one that another script has built may be another workspace's by then. */
  workspaceChecked: true,
  /** The backfill copies inside Redis. */
  copyInside: true,
  /** Evidence is void once creates fall below 100 %. */
  baseEpoch: true,
  /** Work that began before creates were at 100 % proves nothing once they are there again. */
  boundToBase: true,
  /** Verify at DualWrite 100 % comes before reads from the target. */
  verifyFirst: true,
  /** A script that was cut off is never sent again. */
  noResend: true,
  /** Everything a script needs is checked before its first write. */
  checksFirst: true,
  /** A compare-and-set writes only where the job is still what its caller read. */
  compares: true,
  /** A pod without the client voids the evidence. */
  voidUnaware: true,
  /** It takes the checkpoints of before with it, also where nothing is proven yet and no worker is at work. */
  voidCheckpoint: true,
  /** One that is gone before it could be judged holds forward steps, and the end of BackfillVerify, until it is. */
  holdPending: true,
  /** Another lineage of Redis voids the evidence. */
  voidLineage: true,
  /** The fence counts as raised once every replica has acknowledged it. */
  ackedFence: true,
  /** It is read back and acknowledged for each step anew, also where it stands there already. */
  ackedForStep: true,
  /** Where creates make no legacy key, the owner key says which workspace holds the job id. */
  owner: true,
  /** Deleting a legacy key sets the owner key of its job, in the same script. */
  ownerAtDelete: true,
  /** Reverse backfill takes the owner key away with the legacy key that it makes, or finds. */
  ownerAtReverse: true,
  /** Without legacy keys of all jobs the walk back waits for reverse backfill and verify. */
  reverseFirst: true,
  /** It waits in NoFallback, not in BackfillVerify. */
  heldInNoFallback: true,
  /** Reverse backfill begins once the fence has shut out those that make no legacy keys. */
  reverseBehindFence: true,
  /** No queue entry names a job by its id alone when NoLegacyCreates begins. */
  noOldEntries: true,
} as const

export type Rules = { readonly [rule in keyof typeof ALL_RULES]: boolean }

export function without(...rules: (keyof Rules)[]): Rules {
  return { ...ALL_RULES, ...Object.fromEntries(rules.map((rule) => [rule, false])) }
}

/** What takes part in an exploration. */
export interface Scope {
  readonly clients: number
  readonly workspaces: 1 | 2
  /** Whether the ramps at 50 % select the job. */
  readonly selected: boolean
  readonly expiry?: boolean
  /** Operations begin under one routing and reach Redis later. */
  readonly slow?: boolean
  readonly restarts?: boolean
  readonly lapses?: boolean
  /** A pod without the client writes legacy keys while nobody reads targets; purge may run in Legacy, repair after it. */
  readonly unaware?: 'noticed' | 'unnoticed'
  /** It also comes while targets are read, where I1, I2 and I5 are lost by design: I4 alone is asked for. */
  readonly alarm?: true
  /** A worker may be lost between looking at the job and its end, and the next one goes on from there. */
  readonly resumes?: true
  /** Somebody deletes the fence. 'early': a process that runs epoch 0 or 1 may still be there. */
  readonly fenceLoss?: 'late' | 'early'
  /** The rights of the Redis user on target keys come and go. */
  readonly rights?: boolean
  /** false: do not ask A, whether a step shuts out a live member or a read is counted that fell back for nothing. */
  readonly availability?: false
  /** The same routing may be published under a new epoch. */
  readonly redocuments?: boolean
  /** Compare-and-set of what was read by another script. */
  readonly compares?: boolean
  /** Pods are replaced: one whose process has not registered yet is joining. */
  readonly joins?: boolean
  /** A queue, with one entry in either form. */
  readonly queue?: boolean
  /** A replica that lags takes over: writes are lost. */
  readonly failover?: boolean
}
