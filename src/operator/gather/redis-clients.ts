import { CONNECTION_NAME } from '../../protocol/control-keys.ts'

/** One line of CLIENT LIST. */
export interface RedisClientLine {
  readonly id: number
  readonly address: string
  readonly name: string
  readonly user: string
  /** N normal, M primary, S replica, O MONITOR, ... */
  readonly flags: string
  readonly library: string
  /** The db that its next command goes to. */
  readonly db: string
  /** Its last command, in small letters; `null` before the first. */
  readonly command: string
  /** Since it connected, s. */
  readonly age: number
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
        id: Number(field('id')),
        address: field('addr'),
        name: field('name'),
        user: field('user') === '' ? 'default' : field('user'),
        flags: field('flags'),
        library: field('lib-name'),
        db: field('db'),
        command: field('cmd').toLowerCase(),
        age: Number(field('age')),
      }
    })
}

function splitAt(part: string): [string, string] {
  const at = part.indexOf('=')
  return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)]
}

/** By its name it is a client's, a worker's or the operator's. */
export function saysKeyshift({ name }: RedisClientLine): boolean {
  const { client, worker, operator } = CONNECTION_NAME
  return name === operator || name.startsWith(client('')) || name.startsWith(worker(''))
}

/** Until it has said more, user, name and db of a connection may not be the ones that it will work with. */
export function introducesItself({ command }: RedisClientLine): boolean {
  return /^(null|hello|auth|select|reset|quit|client(\|.*)?|)$/.test(command)
}

const WRITE_COMMANDS = new Set(
  `set setex psetex setnx mset msetnx getset getdel getex append setrange setbit bitfield incr incrby incrbyfloat decr decrby
  hset hmset hsetnx hdel hincrby hincrbyfloat hexpire hpexpire hpersist lpush rpush lpushx rpushx lpop rpop lmpop blmpop blpop brpop
  lmove blmove rpoplpush brpoplpush ltrim lrem lset linsert del unlink expire pexpire expireat pexpireat persist rename renamenx
  copy move restore migrate eval evalsha fcall multi exec flushdb flushall swapdb`.split(/\s+/),
)

/** Its last command changes keys, or may. */
export function writes({ command }: RedisClientLine): boolean {
  return WRITE_COMMANDS.has(command)
}
