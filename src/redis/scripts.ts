import type { ControlKeys } from '../protocol/control-keys.ts'
import type { CallOptions, Connection, RedisArg } from './connection.ts'
import { UnknownOutcome } from './errors.ts'
import type { ScriptName } from './scripts.generated.ts'

/** Answer of a client script: its status, then what the script's header says. Bulk texts are Buffers where asked for. */
export interface Answer {
  readonly status: string
  readonly rest: readonly unknown[]
}

/** What every job script begins with: see lib/job.lua. */
export interface JobCall {
  readonly epoch: number
  readonly workspaceId: string
  readonly workspaceField: string
  readonly type: 'hash' | 'string'
  readonly forbidden: string
  readonly order: 'L' | 'LT' | 'TL'
  /** Whether target names are told from job ids: see `Names` in src/client/routing.ts. */
  readonly names?: 'parted' | 'unparted' | 'shared'
  readonly keys: ControlKeys
  readonly legacyKey: string
  /** The legacy key where there is none. */
  readonly targetKey: string
  readonly operation?: { readonly id: string } | undefined
  /** How long an operation's answer is kept. */
  readonly keepMs: number
}

export interface ExpiryArg {
  readonly mode: 'none' | 'ttl' | 'at'
  readonly ms: number
}

/** A queue entry as lib/queue-entry.lua takes it. */
export interface EntryCall {
  readonly epoch: number
  readonly phase: number
  readonly workspaceField: string
  readonly forbidden: string
  readonly delimiter: string
  readonly order: 'L' | 'LT' | 'TL'
  readonly keys: ControlKeys
  readonly queue: string
  /** As bytes where they may be no UTF-8. */
  readonly entry: RedisArg
  readonly leaseEnd: string
  readonly form: 'pair' | 'id or pair' | 'job' | 'malformed'
  readonly workspaceId: string
  readonly jobId: string
  /** Keys of the pair or job id that the entry spells, and the legacy key of the whole entry; undefined: does not apply. */
  readonly legacyKey: string | undefined
  readonly targetKey: string | undefined
  readonly wholeKey: string | undefined
}

/** One element of an answer as text: elements are texts, numbers, or Buffers where those were asked for. */
export function text(element: unknown): string {
  return Buffer.isBuffer(element) ? element.toString('utf8') : String(element)
}

let counter = 0

/**
 * Runs a client script. Its first argument is a token that comes back first: a reply without it belongs to someone else,
 * and the connection is closed.
 */
async function run(
  c: Connection,
  name: ScriptName,
  keys: readonly string[],
  args: readonly RedisArg[],
  options: CallOptions,
): Promise<Answer> {
  counter = (counter + 1) % Number.MAX_SAFE_INTEGER
  const token = String(counter)
  const reply = await c.runScript(name, keys, [token, ...args], options)
  if (!Array.isArray(reply) || text(reply[0]) !== token) {
    c.distrust('a reply did not belong to its call')
    throw new UnknownOutcome('the reply did not belong to this call: the connection was closed')
  }
  return { status: text(reply[1]), rest: reply.slice(2) }
}

const jobKeys = (j: JobCall): string[] => [
  j.keys.fence,
  j.legacyKey,
  j.targetKey,
  j.operation === undefined ? j.keys.fence : j.keys.operation(j.operation.id),
]
const ORDER_BY_NAMES = { parted: undefined, unparted: 'L?', shared: 'L!' }
/** ARGV 7 of the job scripts: see lib/job.lua. */
export const orderArgument = (order: JobCall['order'], names: NonNullable<JobCall['names']>): string =>
  ORDER_BY_NAMES[names] ?? order
const jobArgs = (j: JobCall): RedisArg[] => {
  const order = orderArgument(j.order, j.names ?? 'parted')
  return [j.epoch, j.workspaceId, j.workspaceField, j.type, j.forbidden, order]
}
const queueKeys = (k: ControlKeys, queue: string | undefined): string[] =>
  queue === undefined ? [k.fence, k.fence, k.fence] : [queue, k.queued(queue), k.depth]

/** See job-create.lua. `value`: field, value, ... or one text. */
export function createJob(
  c: Connection,
  j: JobCall,
  p: {
    readonly toTarget: boolean
    readonly expiry: ExpiryArg
    readonly queue?: { readonly key: string; readonly entry: string } | undefined
    readonly value: readonly string[]
  },
  options: CallOptions,
): Promise<Answer> {
  return run(
    c,
    'job-create',
    [...jobKeys(j), ...queueKeys(j.keys, p.queue?.key)],
    [...jobArgs(j), p.toTarget ? '1' : '0', p.expiry.mode, p.expiry.ms, p.queue?.entry ?? '', j.keepMs, ...p.value],
    options,
  )
}

/** See job-get.lua. */
export function getJob(c: Connection, j: JobCall, options: CallOptions): Promise<Answer> {
  const { fence, backfilled, fallbackReads } = j.keys
  return run(c, 'job-get', [fence, j.legacyKey, j.targetKey, fence, backfilled, fallbackReads], jobArgs(j), options)
}

/** See job-update.lua. */
export function updateJob(
  c: Connection,
  j: JobCall,
  p: { readonly expect: readonly (readonly [string, string | null])[]; readonly set: readonly string[] },
  options: CallOptions,
): Promise<Answer> {
  const expect = p.expect.flatMap(([field, value]) => [field, value === null ? '0' : '1', value ?? ''])
  return run(c, 'job-update', jobKeys(j), [...jobArgs(j), j.keepMs, p.expect.length, ...expect, ...p.set], options)
}

/** See job-mutate.lua. */
export function mutateJob(
  c: Connection,
  j: JobCall,
  commands: readonly (readonly string[])[],
  options: CallOptions,
): Promise<Answer> {
  const args = commands.flatMap(([name = '', ...rest]) => [name, String(rest.length), ...rest])
  return run(c, 'job-mutate', jobKeys(j), [...jobArgs(j), j.keepMs, ...args], options)
}

/** See job-update-text.lua. */
export function updateText(
  c: Connection,
  j: JobCall,
  p: { readonly old: string; readonly text: string },
  options: CallOptions,
): Promise<Answer> {
  return run(c, 'job-update-text', jobKeys(j), [...jobArgs(j), j.keepMs, p.old, p.text], options)
}

/** See job-delete.lua. */
export function deleteJob(c: Connection, j: JobCall, options: CallOptions): Promise<Answer> {
  return run(c, 'job-delete', jobKeys(j), [...jobArgs(j), j.keepMs], options)
}

/** See job-expire.lua. */
export function expireJob(c: Connection, j: JobCall, expiry: ExpiryArg, options: CallOptions): Promise<Answer> {
  return run(c, 'job-expire', jobKeys(j), [...jobArgs(j), j.keepMs, expiry.mode, expiry.ms], options)
}

/** See job-list-page.lua. `pairs`: legacy and target key; twice the legacy key where the scan met that one. */
export function listPage(
  c: Connection,
  p: {
    readonly epoch: number
    readonly workspaceId: string
    readonly workspaceField: string
    readonly type: 'hash' | 'string'
    readonly order: 'L' | 'LT' | 'TL'
    readonly keys: ControlKeys
    readonly pairs: readonly (readonly [string, string])[]
  },
  options: CallOptions,
): Promise<Answer> {
  return run(
    c,
    'job-list-page',
    [p.keys.fence, ...p.pairs.flat()],
    [p.epoch, p.workspaceId, p.workspaceField, p.type, p.order],
    options,
  )
}

/** See queue-push.lua. */
export function pushJob(
  c: Connection,
  j: JobCall,
  queue: { readonly key: string; readonly entry: string },
  options: CallOptions,
): Promise<Answer> {
  return run(
    c,
    'queue-push',
    [...jobKeys(j), ...queueKeys(j.keys, queue.key)],
    [...jobArgs(j), j.keepMs, queue.entry],
    options,
  )
}

/** See queue-move.lua. */
export function moveEntry(
  c: Connection,
  p: { readonly keys: ControlKeys; readonly epoch: number; readonly queue: string; readonly leaseMs: number },
  options: CallOptions,
): Promise<Answer> {
  return run(
    c,
    'queue-move',
    [p.keys.fence, p.queue, p.keys.processing(p.queue), p.keys.leases(p.queue)],
    [p.epoch, p.leaseMs],
    options,
  )
}

function entryCall(e: EntryCall): { keys: string[]; args: RedisArg[] } {
  const k = e.keys
  return {
    keys: [
      k.fence,
      e.queue,
      k.processing(e.queue),
      k.leases(e.queue),
      k.queued(e.queue),
      k.depth,
      k.dead(e.queue),
      e.legacyKey ?? k.fence,
      e.targetKey ?? e.legacyKey ?? k.fence,
      e.wholeKey ?? k.fence,
    ],
    args: [
      e.epoch,
      e.workspaceField,
      e.forbidden,
      e.order,
      e.phase,
      e.entry,
      e.leaseEnd,
      e.form,
      e.workspaceId,
      e.jobId,
    ],
  }
}

/** See queue-resolve.lua. */
export function resolveEntry(c: Connection, e: EntryCall, options: CallOptions): Promise<Answer> {
  const { keys, args } = entryCall(e)
  return run(c, 'queue-resolve', keys, args, options)
}

/** See queue-return.lua. */
export function returnEntry(c: Connection, e: EntryCall, by: 'nack' | 'reap', options: CallOptions): Promise<Answer> {
  const { keys, args } = entryCall(e)
  return run(c, 'queue-return', keys, [...args, by, e.delimiter], options)
}

interface HeldEntry {
  readonly keys: ControlKeys
  readonly epoch: number
  readonly queue: string
  /** As bytes where they may be no UTF-8. */
  readonly entry: RedisArg
  readonly leaseEnd: string
}

/** See queue-ack.lua. */
export function ackEntry(c: Connection, p: HeldEntry, options: CallOptions): Promise<Answer> {
  const k = p.keys
  return run(
    c,
    'queue-ack',
    [k.fence, k.processing(p.queue), k.leases(p.queue), k.queued(p.queue), k.depth],
    [p.epoch, p.entry, p.leaseEnd],
    options,
  )
}

/** See queue-extend.lua. */
export function extendEntry(
  c: Connection,
  p: HeldEntry & { readonly leaseMs: number },
  options: CallOptions,
): Promise<Answer> {
  const keys = [p.keys.fence, p.keys.leases(p.queue)]
  return run(c, 'queue-extend', keys, [p.epoch, p.entry, p.leaseEnd, p.leaseMs], options)
}

/** See queue-expired.lua. */
export function expiredEntries(
  c: Connection,
  p: {
    readonly keys: ControlKeys
    readonly epoch: number
    readonly queue: string
    readonly leaseMs: number
    readonly limit: number
  },
  options: CallOptions,
): Promise<Answer> {
  const keys = [p.keys.fence, p.keys.processing(p.queue), p.keys.leases(p.queue)]
  return run(c, 'queue-expired', keys, [p.epoch, p.leaseMs, p.limit], options)
}

/** See member-renew.lua. */
export function renewMember(
  c: Connection,
  p: {
    readonly keys: ControlKeys
    readonly memberId: string
    readonly epoch: number
    readonly hash: string
    readonly leaseMs: number
    readonly podUid: string
    readonly podName: string
    readonly version: string
    readonly illegal: { readonly count: number; readonly example: string }
  },
  options: CallOptions,
): Promise<Answer> {
  const k = p.keys
  return run(
    c,
    'member-renew',
    [k.fence, k.members, k.lease(p.memberId), k.illegalIds],
    [p.memberId, p.epoch, p.hash, p.leaseMs, p.podUid, p.podName, p.version, p.illegal.count, p.illegal.example],
    options,
  )
}

/** See member-release.lua. */
export function releaseMember(
  c: Connection,
  p: {
    readonly keys: ControlKeys
    readonly memberId: string
    readonly illegal: { readonly count: number; readonly example: string }
  },
  options: CallOptions,
): Promise<Answer> {
  const keys = [p.keys.lease(p.memberId), p.keys.illegalIds]
  return run(c, 'member-release', keys, [p.memberId, p.illegal.count, p.illegal.example], options)
}
