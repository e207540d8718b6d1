/**
 * The independent check: plain Redis commands and the traffic's own record, no code of the product. It runs when
 * nothing writes any more, and looks at every job there must be and at every key there is.
 */
import { KEY_PREFIX, legacyKey, targetKey } from './jobs.ts'
import { judge, type Value } from './judge.ts'
import { presence, type Entry, type Ledger } from './ledger.ts'
import { ReplyError, type RedisConnection, type Reply } from './resp.ts'
import { redisNow, type MalformedJob, type Report } from './seed.ts'
import { Violations } from './violations.ts'

export interface CheckedStore {
  readonly redis: RedisConnection
  readonly ledger: Ledger
  readonly malformed: readonly MalformedJob[]
}

export interface CheckResult {
  readonly violations: Violations
  /** Jobs compared on both schemas. */
  readonly compared: number
  /** Keys of either schema that were looked at. */
  readonly keys: number
  /** Malformed jobs that are byte for byte as seeded. */
  readonly malformedKept: number
}

const BATCH = 500

export async function check(store: CheckedStore, report: Report = () => {}): Promise<CheckResult> {
  const violations = new Violations()
  const from = await redisNow(store.redis)
  const compared = await compareJobs(store, from, violations, report)
  const keys = await accountForKeys(store, violations)
  const malformedKept = await countKept(store)
  return { violations, compared, keys, malformedKept }
}

/** Every job of the record: on both schemas, equal, as acknowledged, with the same expiry. */
async function compareJobs(store: CheckedStore, from: number, violations: Violations, report: Report): Promise<number> {
  const entries = [...store.ledger.all()]
  let compared = 0
  for (let start = 0; start < entries.length; start += BATCH) {
    const batch = entries.slice(start, start + BATCH)
    const keys = batch.flatMap((entry) => [legacyKey(entry.id), targetKey(entry.workspace, entry.id)])
    const states = await readKeys(store, keys)
    const to = await redisNow(store.redis)
    batch.forEach((entry, i) => {
      const [legacy, target] = [states[2 * i], states[2 * i + 1]]
      if (compareJob(entry, legacy, target, { from, to }, violations)) compared += 1
    })
    report(Math.min(start + BATCH, entries.length), entries.length)
  }
  return compared
}

interface KeyState {
  readonly value: Value
  /** Absolute, ms; -1 for none. */
  readonly expiresAt: number
}

function compareJob(
  entry: Entry,
  legacy: KeyState | undefined,
  target: KeyState | undefined,
  { from, to }: { readonly from: number; readonly to: number },
  violations: Violations,
): boolean {
  const expected = presence(entry, from, to)
  const what = `${entry.workspace}/${entry.id}`
  if (legacy === undefined && target === undefined) {
    if (expected === 'there') violations.add('lost', what, 'is on neither schema')
    return false
  }
  if (expected === 'gone') {
    violations.add(
      'resurrected',
      what,
      entry.state === 'deleted' ? 'was deleted and is there' : 'had expired and is there',
    )
    return false
  }
  if (legacy === undefined || target === undefined) {
    // Near its expiry a job may end between the two reads; whatever else is unknown of it, it is on both schemas or on neither.
    if (presence({ ...entry, unknown: undefined }, from, to) === 'there')
      violations.add('lost', what, `is missing on the ${legacy === undefined ? 'legacy' : 'target'} schema`)
    return false
  }
  for (const [schema, state] of [
    ['legacy', legacy],
    ['target', target],
  ] as const) {
    const verdict = judge(entry, state.value, entry.acked)
    if (verdict !== undefined) violations.add(verdict.fault, what, `the ${schema} key ${verdict.why}`)
    if (state.expiresAt !== (entry.expiresAt ?? -1) && state.expiresAt !== entry.otherExpiry)
      violations.add(
        'different',
        what,
        `the ${schema} key expires at ${state.expiresAt}, not ${entry.expiresAt ?? 'never'}`,
      )
    if (entry.queued && typeof state.value !== 'string' && state.value['status'] !== 'done')
      violations.add(
        'stale',
        what,
        `the ${schema} key has status ${state.value['status']}: the worker's write is not there`,
      )
  }
  if (canonical(legacy.value) !== canonical(target.value)) violations.add('different', what, 'the two keys differ')
  else if (legacy.expiresAt !== target.expiresAt)
    violations.add('different', what, 'the two keys expire at different times')
  return true
}

/** Every key there is must be a job of the record, under its own workspace, or a malformed one. */
async function accountForKeys(store: CheckedStore, violations: Violations): Promise<number> {
  const known = new Set(store.malformed.map(({ key }) => key.toString('latin1')))
  const names = await scan(store.redis)
  for (const name of names) {
    if (known.has(name.toString('latin1'))) continue
    const rest = name.toString().slice(KEY_PREFIX.length)
    const at = rest.indexOf(':')
    const id = at < 0 ? rest : rest.slice(at + 1)
    const entry = store.ledger.get(id)
    if (entry === undefined) violations.add('resurrected', name.toString(), 'is a key that nobody wrote')
    else if (at >= 0 && rest.slice(0, at) !== entry.workspace)
      violations.add('leaked', name.toString(), `is a job of workspace ${entry.workspace}`)
  }
  return names.length
}

async function countKept({ redis, malformed }: CheckedStore): Promise<number> {
  const dumps = await redis.pipeline(malformed.map(({ key }) => ['DUMP', key]))
  return malformed.filter(({ dump }, i) => Buffer.isBuffer(dumps[i]) && dump.equals(dumps[i])).length
}

/** All keys of both schemas, each once. */
async function scan(redis: RedisConnection): Promise<Buffer[]> {
  const seen = new Map<string, Buffer>()
  let cursor = '0'
  do {
    const reply = (await redis.command('SCAN', cursor, 'MATCH', `${KEY_PREFIX}*`, 'COUNT', 2000)) as [Buffer, Buffer[]]
    cursor = reply[0].toString()
    for (const name of reply[1]) seen.set(name.toString('latin1'), name)
  } while (cursor !== '0')
  return [...seen.values()]
}

async function readKeys({ redis, ledger }: CheckedStore, keys: readonly string[]): Promise<(KeyState | undefined)[]> {
  const read = ledger.store.encoding === 'hash' ? 'HGETALL' : 'GET'
  const replies = await redis.pipeline(
    keys.flatMap((key) => [
      [read, key],
      ['PEXPIRETIME', key],
    ]),
  )
  return keys.map((_, i) => {
    const expiresAt = replies[2 * i + 1]
    // -2: the key is not there, or ended between the two commands.
    if (typeof expiresAt !== 'number' || expiresAt === -2) return undefined
    return { value: valueOf(replies[2 * i]), expiresAt }
  })
}

function valueOf(reply: Reply | undefined): Value {
  if (Buffer.isBuffer(reply)) return reply.toString()
  if (reply instanceof ReplyError) return `(${reply.message})`
  const fields: Record<string, string> = {}
  const items = Array.isArray(reply) ? (reply as readonly Reply[]) : []
  for (let i = 0; i + 1 < items.length; i += 2) fields[String(items[i])] = String(items[i + 1])
  return fields
}

/** One text for one value; the order of a hash's fields means nothing. */
function canonical(value: Value): string {
  if (typeof value === 'string') return value
  return JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
