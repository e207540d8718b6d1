import type { Known } from '../../decision/types.ts'
import { CONNECTION_NAME } from '../../protocol/control-keys.ts'
import { legacyKey, targetKey, type KeyTemplates } from '../../protocol/templates.ts'
import { Refused } from '../../redis/errors.ts'
import { introducesItself, parseClientList, saysKeyshift, writes, type RedisClientLine } from './redis-clients.ts'

export interface WritersInput extends Partial<SeenBefore> {
  /** Sends one command. @throws KeyshiftError */
  readonly call: (args: readonly [string, ...string[]]) => Promise<unknown>
  readonly templates: KeyTemplates
  /** Ids of members; `live` of those with a lease. */
  readonly members: readonly { readonly id: string; readonly live: boolean; readonly pod?: string | undefined }[]
  readonly observers: readonly string[]
}

export interface SeenBefore {
  /** Connections that were there for a moment lately. */
  readonly recent: readonly RedisClientLine[]
  /** Gets the whole list. */
  readonly onList: (lines: readonly RedisClientLine[]) => void
}

export interface WritersSeen {
  /** `user@host "name"`, each once, at most 20. Unknown where connections cannot be listed, or where a proxy stands between. */
  readonly writers: Known<readonly string[]>
  /** Who else works on this Redis and writes no jobs, and how that is known; at most 20. */
  readonly observers: readonly string[]
}

/** A user that may run one of these on a job's key may change it. */
const WRITES: readonly (readonly [string, ...string[]])[] = [
  ['SET', 'KEY', 'x'],
  ['HSET', 'KEY', 'f', 'x'],
  ['HSETNX', 'KEY', 'f', 'x'],
  ['HINCRBY', 'KEY', 'f', '1'],
  ['HDEL', 'KEY', 'f'],
  ['SETEX', 'KEY', '1', 'x'],
  ['GETSET', 'KEY', 'x'],
  ['APPEND', 'KEY', 'x'],
  ['SETRANGE', 'KEY', '0', 'x'],
  ['COPY', 'KEY', 'KEY'],
  ['PERSIST', 'KEY'],
  ['DEL', 'KEY'],
  ['UNLINK', 'KEY'],
  ['EXPIRE', 'KEY', '1'],
  ['PEXPIREAT', 'KEY', '1'],
  ['RENAME', 'KEY', 'KEY'],
  ['RESTORE', 'KEY', '0', 'x'],
]

/** A connection as young as this is judged by what it does: probes and people come and go, s. */
const YOUNG_S = 2

/**
 * Connections whose user may write the templates and that are no member's, worker's, operator's, replica's or observer's. One that is
 * gone, or has just come, counts where it was seen to write.
 */
export async function foreignWriters(input: WritersInput): Promise<WritersSeen> {
  try {
    const [list, ownId] = [String(await input.call(['CLIENT', 'LIST'])), Number(await input.call(['CLIENT', 'ID']))]
    const clients = parseClientList(list)
    input.onList?.(clients)
    const proxy = proxySign(clients, ownId, input.members)
    // What works on another db, such as the clients of another migration, is listed from when it selects this one.
    const db = clients.find(({ id }) => id === ownId)?.db
    const seen = clients.filter((client) => !introducesItself(client) || client.age >= YOUNG_S)
    const others = [...seen, ...(input.recent ?? [])].filter((client) => client.db === db && !isOwn(client, input))
    const mayWrite = new Map<string, boolean>()
    for (const { user } of others) if (!mayWrite.has(user)) mayWrite.set(user, await userMayWrite(input, user))
    const judged = others.map((client) => ({
      client,
      why: observes(client, input, mayWrite.get(client.user) === true),
    }))
    const observers = judged.flatMap(({ client, why }) => (why === undefined ? [] : `${describe(client)}: ${why}`))
    const foreign = judged
      .filter(({ client, why }) => why === undefined && (client.age >= YOUNG_S || isStranger(client)))
      .map(({ client }) => describe(client))
    return {
      writers:
        proxy === undefined
          ? { known: true, value: few(foreign) }
          : { known: false, reason: 'WritersUnknown', message: proxy },
      observers: few(observers),
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const message = `connections to Redis cannot be listed (${error.message}): grant CLIENT|LIST, CLIENT|ID and ACL|DRYRUN`
    return { writers: { known: false, reason: 'WritersUnknown', message }, observers: [] }
  }
}

/** It writes already, and is no client that registers its member in this moment. */
function isStranger(client: RedisClientLine): boolean {
  return writes(client) && !saysKeyshift(client)
}

function few(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort().slice(0, 20)
}

function proxySign(
  clients: readonly RedisClientLine[],
  ownId: number,
  members: WritersInput['members'],
): string | undefined {
  if (!clients.some(({ id }) => id === ownId))
    return 'CLIENT LIST lacks the connection of the operator: is a proxy between?'
  const names = new Set(clients.map(({ name }) => name))
  const hidden = members.find(({ id, live }) => live && !names.has(CONNECTION_NAME.client(id)))
  return (
    hidden &&
    `the client of pod ${hidden.pod ?? hidden.id} has a lease and no connection of its name: is a proxy between?`
  )
}

function isOwn({ name }: RedisClientLine, { members }: WritersInput): boolean {
  if (name === CONNECTION_NAME.operator || name.startsWith(CONNECTION_NAME.worker(''))) return true
  return members.some(({ id }) => name === CONNECTION_NAME.client(id))
}

/** As Sentinels call their connections to the servers that they watch; theirs is often the default user, which may do all. */
const SENTINEL = /^sentinel-[0-9a-f]{8}-(cmd|pubsub)$/

/** Why a connection is taken not to write jobs. */
function observes({ flags, name, user }: RedisClientLine, input: WritersInput, mayWrite: boolean): string | undefined {
  // None of the first three sends commands of its own.
  if (flags.includes('O')) return 'MONITOR'
  if (flags.includes('S')) return 'a replica'
  if (flags.includes('M')) return 'the primary'
  if (input.observers.includes(user) || (name !== '' && input.observers.includes(name))) return 'in redis.observers'
  if (SENTINEL.test(name)) return 'a Sentinel'
  return mayWrite ? undefined : 'its user may not write jobs'
}

async function userMayWrite({ call, templates }: WritersInput, user: string): Promise<boolean> {
  for (const key of [legacyKey(templates, 'x'), targetKey(templates, 'x', 'x')]) {
    for (const command of WRITES) {
      const args = command.map((part) => (part === 'KEY' ? key : part))
      // DRYRUN answers OK, or says in words what the user lacks; an error means that the server cannot tell.
      if (String(await orNotFound(call(['ACL', 'DRYRUN', user, ...args]))) === 'OK') return true
    }
  }
  return false
}

/** A user just deleted and a command renamed away cannot write. */
async function orNotFound(answer: Promise<unknown>): Promise<unknown> {
  return answer.catch((error: unknown) => {
    if (error instanceof Refused && /not found/i.test(error.message)) return error.message
    throw error
  })
}

function describe({ address, name, user, library }: RedisClientLine): string {
  const host = address.replace(/:\d+$/, '')
  const labels = [name === '' ? '' : ` name "${name}"`, library === '' ? '' : ` library ${library}`]
  return `user ${user} from ${host}${labels.join('')}`.slice(0, 256)
}
