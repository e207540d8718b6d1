import type { ControlKeys, LeaseRecord, MemberRecord, RecordFields } from '../protocol/control-keys.ts'
import { formatHostPort } from './address.ts'
import type { CallOptions, Connection } from './connection.ts'
import { NotPrimary, NotReady, Refused } from './errors.ts'

/** Everything that the operator reads from Redis, as one moment. */
export interface ControlSnapshot {
  /** Redis TIME, ms. */
  readonly now: number
  readonly runId: string
  /** master_replid */
  readonly lineage: string
  readonly redisVersion: string
  readonly connectedReplicas: number
  /** Absent until raised; also absent where the stored text is no number. */
  readonly fence: number | undefined
  /** The record's fields as stored; undefined where there is no record. Missing fields are ''. */
  readonly record: RecordFields | undefined
  readonly members: readonly {
    readonly id: string
    readonly record: MemberRecord
    /** Absent when it lapsed or was closed. */
    readonly lease?: LeaseRecord
  }[]
  /** Ids of member fields that are no member records and have no lease; with one they are members of no known pod. */
  readonly unreadableMembers: readonly string[]
  readonly backfilled: boolean
  readonly fallbackReads: number
  readonly illegalIds: {
    readonly count: number
    /** Since the last one, ms. */
    readonly ageMs?: number
    readonly example?: string
    readonly member?: string
  }
}

/**
 * Record, fence, members with their leases, backfill mark, fallback counter and illegal ids in one reply.
 * @throws Refused, NotReady, UnknownOutcome (safe to repeat)
 */
export async function readControl(c: Connection, keys: ControlKeys, options: CallOptions): Promise<ControlSnapshot> {
  const reply = (await c.runScript(
    'control-read',
    [keys.fence, keys.record, keys.members, keys.backfilled, keys.fallbackReads, keys.illegalIds],
    [keys.lease('')],
    options,
  )) as [string | null, string[], (string | null)[], number, string | null, string[], string, string, string]
  const [fence, recordFields, memberList, backfilled, fallbackReads, illegalFields, now, server, replication] = reply
  const record = pairs(recordFields)
  const illegal = pairs(illegalFields)
  const members: ControlSnapshot['members'][number][] = []
  const unreadableMembers: string[] = []
  for (let i = 0; i < memberList.length; i += 3) {
    const id = memberList[i] ?? ''
    const member = parse<MemberRecord>(memberList[i + 1])
    const lease = parse<LeaseRecord>(memberList[i + 2])
    const live = typeof lease?.epoch === 'number' ? { lease } : {}
    if (isMember(member)) members.push({ id, record: member, ...live })
    else if ('lease' in live) members.push({ id, record: { ...NOBODY, podName: id }, ...live })
    else unreadableMembers.push(id)
  }
  const lastAt = illegal.get('lastAt')
  const [example, member] = [illegal.get('example'), illegal.get('member')]
  return {
    now: Number(now),
    runId: infoField(server, 'run_id'),
    lineage: infoField(replication, 'master_replid'),
    redisVersion: infoField(server, 'redis_version'),
    connectedReplicas: Number(infoField(replication, 'connected_slaves')),
    fence: fence !== null && /^\d+$/.test(fence) ? Number(fence) : undefined,
    record: record.size === 0 ? undefined : recordOf(record),
    members,
    unreadableMembers,
    backfilled: backfilled === 1,
    fallbackReads: counted(fallbackReads),
    illegalIds: {
      count: counted(illegal.get('count')),
      ...(lastAt === undefined ? {} : { ageMs: Math.max(0, Number(now) - Number(lastAt)) || 0 }),
      ...(example === undefined ? {} : { example }),
      ...(member === undefined ? {} : { member }),
    },
  }
}

const NOBODY: MemberRecord = { podUid: '', podName: '', version: '', registeredAt: 0 }

function isMember(record: Partial<MemberRecord> | undefined): record is MemberRecord {
  const { podUid, podName, registeredAt } = record ?? {}
  return typeof podUid === 'string' && typeof podName === 'string' && typeof registeredAt === 'number'
}

/** A counter of ours. One that is no number holds what waits for it to be 0. */
function counted(text: string | null | undefined): number {
  return text === null || text === undefined ? 0 : (wholeNumber(text) ?? 1)
}

/** Undefined where the text is anything but the digits of a number that is exact. */
export function wholeNumber(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined
}

export type WriteRecordResult =
  | { readonly ok: true }
  /** The record stands at a higher epoch, or at a higher revision of it: nothing was written. */
  | { readonly ok: false; readonly reason: 'Newer'; readonly epoch: number; readonly revision: number }
  /** Equal epoch, another hash: nothing was written. */
  | { readonly ok: false; readonly reason: 'OtherHash' }
  /** Another cluster or resource holds the record: nothing was written. */
  | { readonly ok: false; readonly reason: 'OtherOwner'; readonly cluster: string; readonly owner: string }
  /** The key is no hash. */
  | { readonly ok: false; readonly reason: 'WrongType' }

/**
 * Compare-and-set: writes where the record is absent or of the same cluster and owner, and of a lower epoch, or of the same
 * epoch and hash and no higher revision. `takeOver`: the record of another owner, or of the same epoch and another hash, gives
 * way too; one of a higher epoch does not. Idempotent.
 * @throws Refused, NotReady, UnknownOutcome (safe to repeat)
 */
export async function writeRecord(
  c: Connection,
  keys: ControlKeys,
  record: RecordFields,
  options: CallOptions & { readonly takeOver?: boolean },
): Promise<WriteRecordResult> {
  const fields = Object.entries(record).flatMap(([field, value]) => [field, String(value)])
  const [status, ...rest] = (await c.runScript(
    'control-write-record',
    [keys.record],
    [
      record.epoch,
      record.revision,
      record.hash,
      record.cluster,
      record.owner,
      options.takeOver === true ? '1' : '0',
      ...fields,
    ],
    options,
  )) as string[]
  switch (status) {
    case 'OK':
      return { ok: true }
    case 'NEWER':
      return { ok: false, reason: 'Newer', epoch: Number(rest[0]), revision: Number(rest[1]) }
    case 'HASH':
      return { ok: false, reason: 'OtherHash' }
    case 'OWNER':
      return { ok: false, reason: 'OtherOwner', cluster: rest[0] ?? '', owner: rest[1] ?? '' }
    default:
      return { ok: false, reason: 'WrongType' }
  }
}

export interface FenceResult {
  /** Read back from the primary after the wait: at or above what was asked for, also where someone raised it further. */
  readonly fence: number
  readonly replicas: {
    readonly connected: number
    readonly acknowledged: number
    /** Those that hold it up, and how: empty where it is confirmed. */
    readonly behind: readonly string[]
  }
  /** master_replid of the primary that was waited for. */
  readonly lineage: string
  /**
   * `fence` stands and every connected replica has it. Only then may the next epoch be published. One in full sync counts, and
   * holds it up until it is done: until then it has what it had before, and may be promoted with that.
   */
  readonly confirmed: boolean
}

/**
 * Raises min_epoch to `epoch` (only ever max), waits for every connected replica (WAIT, at most half of the deadline), and
 * reads it back from the server, which must still be the primary, also in the eyes of its Sentinels. Idempotent.
 * @throws NotPrimary, SentinelFailed, Refused, NotReady, UnknownOutcome (safe to repeat)
 */
export async function raiseFence(
  c: Connection,
  keys: ControlKeys,
  epoch: number,
  options: CallOptions,
): Promise<FenceResult> {
  await c.ready(options)
  const { generation } = c
  await c.runScript('control-raise-fence', [keys.fence], [String(epoch)], options)
  const replication = async () => {
    const info = String(await c.call(['INFO', 'replication'], options))
    const [role, connected, offset] = ['role', 'connected_slaves', 'master_repl_offset'].map((of) =>
      infoField(info, of),
    )
    return { info, role: role ?? '', connected: Number(connected), offset: Number(offset) }
  }
  const { connected, offset } = await replication()
  const waitMs = Math.max(1, Math.floor(options.deadlineMs / 2))
  const acknowledged = connected === 0 ? 0 : Number(await c.call(['WAIT', connected, waitMs], options))
  const [after, text] = [await replication(), await c.call(['GET', keys.fence], options)]
  if (after.role !== 'master') {
    c.distrust('the primary became a replica')
    throw new NotPrimary('the Redis server', after.role)
  }
  const fence = typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : 0
  // Asked last: a primary that a failover left behind has no replica that could object.
  await c.confirmPrimary(options)
  // WAIT speaks of what its own connection wrote.
  if (c.generation !== generation) throw new NotReady('the connection was lost while the fence was raised')
  const all = acknowledged >= after.connected
  return {
    fence,
    replicas: { connected: after.connected, acknowledged, behind: all ? [] : replicasBehind(after.info, offset) },
    lineage: infoField(after.info, 'master_replid') ?? '',
    confirmed: fence >= epoch && all,
  }
}

/** Replicas that have not acknowledged `offset`, from INFO replication. */
export function replicasBehind(info: string, offset: number): readonly string[] {
  const lines = [...info.matchAll(/^slave\d+:ip=([^,]*),port=(\d+),state=(\w+),offset=(\d+)/gm)]
  return lines.flatMap(([, ip = '', port = '', state = '', has]) => {
    const at = formatHostPort({ host: ip, port: Number(port) })
    if (state !== 'online') return [`${at} (in full sync: ${state})`]
    return Number(has) < offset ? [`${at} (online, lags behind)`] : []
  })
}

/** Sets or takes away the mark of a completed backfill and begins the fallback counter anew. True where something changed. */
export async function markBackfilled(
  c: Connection,
  keys: ControlKeys,
  on: boolean,
  options: CallOptions,
): Promise<boolean> {
  const done = await c.runScript(
    'control-mark-backfilled',
    [keys.backfilled, keys.fallbackReads],
    [on ? '1' : '0'],
    options,
  )
  return done === 1
}

/** Removes member records of pods that are gone, with their leases. Returns how many there were. */
export async function pruneMembers(
  c: Connection,
  keys: ControlKeys,
  ids: readonly string[],
  options: CallOptions,
): Promise<number> {
  if (ids.length === 0) return 0
  return Number(
    await c.runScript('control-prune-members', [keys.members, ...ids.map((id) => keys.lease(id))], ids, options),
  )
}

/** Fields of a worker Job's hash (see WorkFields), empty where there is none. */
export async function readWork(
  c: Connection,
  keys: ControlKeys,
  jobName: string,
  options: CallOptions,
): Promise<Partial<Record<string, string>>> {
  const key = keys.work(jobName)
  try {
    return Object.fromEntries(pairs((await c.call(['HGETALL', key], options)) as string[]))
  } catch (error) {
    if (!(error instanceof Refused) || error.redisCode !== 'WRONGTYPE') throw error
    const type = String(await c.call(['TYPE', key], options))
    throw new Refused('WRONGTYPE', `${key} is a ${type}, and Keyshift keeps a hash there: delete it or rename it`)
  }
}

/**
 * Readies the hash of a Job that is about to be made, with the checkpoint of the Job `resumes`, if that ended without a
 * result. Idempotent for one run.
 * @throws Refused, NotReady, UnknownOutcome (safe to repeat)
 */
export async function startWork(
  c: Connection,
  keys: ControlKeys,
  work: { readonly jobName: string; readonly run: string; readonly resumes?: string | undefined },
  options: CallOptions,
): Promise<void> {
  const { jobName, run, resumes = jobName } = work
  await c.runScript('control-start-work', [keys.work(jobName), keys.work(resumes)], [run], options)
}

export async function deleteWork(
  c: Connection,
  keys: ControlKeys,
  jobName: string,
  options: CallOptions,
): Promise<void> {
  await c.call(['DEL', keys.work(jobName)], options)
}

/** A field of INFO, '' where it is missing. */
export function infoField(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}

function recordOf(fields: Map<string, string>): RecordFields {
  const field = (name: keyof RecordFields): string => fields.get(name) ?? ''
  return {
    cluster: field('cluster'),
    owner: field('owner'),
    phase: field('phase'),
    step: field('step'),
    epoch: field('epoch'),
    revision: field('revision'),
    hash: field('hash'),
    document: field('document'),
    account: field('account'),
  }
}

function pairs(list: readonly string[]): Map<string, string> {
  const map = new Map<string, string>()
  for (let i = 0; i + 1 < list.length; i += 2) map.set(list[i] ?? '', list[i + 1] ?? '')
  return map
}

function parse<T>(text: string | null | undefined): (Partial<T> & T) | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Partial<T> & T) : undefined
  } catch {
    return undefined
  }
}
