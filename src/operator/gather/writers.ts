import type { Known } from '../../decision/types.ts'
import { CONNECTION_NAME } from '../../protocol/control-keys.ts'
import { legacyKey, targetKey, type KeyTemplates } from '../../protocol/templates.ts'
import { Refused } from '../../redis/errors.ts'

/** One line of CLIENT LIST. */
export interface RedisClientLine {
  readonly id: string
  readonly address: string
  readonly name: string
  readonly user: string
  /** N normal, M primary, S replica, O MONITOR, ... */
  readonly flags: string
  readonly library: string
  /** The db that its next command goes to. */
  readonly db: string
}

export function parseClientList(text: string): readonly RedisClientLine[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const fields = new Map(
        line
          .trim()
          .split(' ')
          .map((part) => splitAt(part)),
      )
      const field = (name: string): string => fields.get(name) ?? ''
      return {
        id: field('id'),
        address: field('addr'),
        name: field('name'),
        user: field('user') === '' ? 'default' : field('user'),
        flags: field('flags'),
        library: field('lib-name'),
        db: field('db'),
      }
    })
}

function splitAt(part: string): [string, string] {
  const at = part.indexOf('=')
  return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)]
}

export interface WritersInput {
  /** Sends one command. @throws KeyshiftError */
  readonly call: (args: readonly [string, ...string[]]) => Promise<unknown>
  readonly templates: KeyTemplates
  /** Ids of members; `live` of those with a lease. */
  readonly members: readonly { readonly id: string; readonly live: boolean }[]
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

/**
 * Connections whose user may write the templates and that are no member's, worker's, operator's, replica's, Sentinel's or observer's: `user@host
 * "name"`, each once. Unknown where they cannot be listed, or where a proxy stands between: then live members have no connection.
 */
export async function foreignWriters(input: WritersInput): Promise<Known<readonly string[]>> {
  try {
    const [list, ownId] = [String(await input.call(['CLIENT', 'LIST'])), String(await input.call(['CLIENT', 'ID']))]
    const clients = parseClientList(list)
    const proxy = proxySign(clients, ownId, input.members)
    if (proxy !== undefined) return { known: false, reason: 'WritersUnknown', message: proxy }
    // What works on another db, such as the clients of another migration, is listed from when it selects this one.
    const db = clients.find(({ id }) => id === ownId)?.db
    const foreign = clients.filter((client) => client.db === db && !isKnown(client, input))
    const writing = new Map<string, boolean>()
    for (const user of new Set(foreign.map((client) => client.user))) writing.set(user, await mayWrite(input, user))
    const found = foreign.filter(({ user }) => writing.get(user) === true).map(describeClient)
    return { known: true, value: [...new Set(found)].sort().slice(0, 20) }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const message = `connections to Redis cannot be listed (${error.message}): grant CLIENT|LIST, CLIENT|ID and ACL|DRYRUN`
    return { known: false, reason: 'WritersUnknown', message }
  }
}

function proxySign(
  clients: readonly RedisClientLine[],
  ownId: string,
  members: WritersInput['members'],
): string | undefined {
  if (!clients.some(({ id }) => id === ownId))
    return 'CLIENT LIST lacks the connection of the operator: is a proxy between?'
  const names = new Set(clients.map(({ name }) => name))
  const hidden = members.find(({ id, live }) => live && !names.has(CONNECTION_NAME.client(id)))
  return hidden && `member ${hidden.id} has a lease and no connection of its name: is a proxy between?`
}

/** As Sentinels call their connections to the servers that they watch; theirs is often the default user, which may do all. */
const SENTINEL = /^sentinel-[0-9a-f]{8}-(cmd|pubsub)$/

function isKnown(client: RedisClientLine, { members, observers }: WritersInput): boolean {
  // A replica, a primary and a connection under MONITOR send no commands of their own.
  if (/[SMO]/.test(client.flags)) return true
  if (client.name === CONNECTION_NAME.operator || client.name.startsWith(CONNECTION_NAME.worker(''))) return true
  if (SENTINEL.test(client.name)) return true
  if (members.some(({ id }) => client.name === CONNECTION_NAME.client(id))) return true
  return observers.includes(client.user) || (client.name !== '' && observers.includes(client.name))
}

async function mayWrite({ call, templates }: WritersInput, user: string): Promise<boolean> {
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

function describeClient({ address, name, user, library }: RedisClientLine): string {
  const host = address.replace(/:\d+$/, '')
  const labels = [name === '' ? '' : ` name "${name}"`, library === '' ? '' : ` library ${library}`]
  return `user ${user} from ${host}${labels.join('')}`.slice(0, 256)
}
