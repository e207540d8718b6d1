import { connect, type Socket } from 'node:net'

/** An error answer; given as a value, because in a pipeline the other answers count too. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError'
}
export type Reply = Buffer | number | null | ReplyError | readonly Reply[]
export type Command = readonly (string | Buffer | number)[]

export interface RedisAddress {
  readonly host: string
  readonly port: number
  readonly db: number
}

interface Batch {
  readonly replies: Reply[]
  readonly expected: number
  readonly done: (replies: Reply[]) => void
  readonly lost: (error: Error) => void
}

const ANSWER_LIMIT_MS = 60_000

/**
 * Plain Redis protocol over one socket: what goes in one call is written at once and answered in order. No retry, no
 * reconnect: the demo's seed and check want to see every fault of the connection.
 */
export class RedisConnection {
  readonly #socket: Socket
  readonly #waiting: Batch[] = []
  #rest: Buffer = Buffer.alloc(0)
  #broken: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('Redis closed the connection')))
    socket.setTimeout(ANSWER_LIMIT_MS, () => {
      if (this.#waiting.length > 0) socket.destroy(new Error(`Redis did not answer within ${ANSWER_LIMIT_MS / 1000} s`))
    })
  }

  static async open(address: RedisAddress): Promise<RedisConnection> {
    const socket = connect({ host: address.host, port: address.port })
    socket.setNoDelay(true)
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(new Error('no connection to Redis within 10 s')), 10_000)
      socket.once('connect', () => (clearTimeout(timer), resolve()))
      socket.once('error', (error) => (clearTimeout(timer), reject(error)))
    })
    const connection = new RedisConnection(socket)
    if (address.db !== 0) await connection.command('SELECT', address.db)
    return connection
  }

  /** One command. @throws ReplyError */
  async command(...command: Command): Promise<Exclude<Reply, ReplyError>> {
    const [reply] = await this.pipeline([command])
    if (reply instanceof ReplyError) throw new ReplyError(`${String(command[0])}: ${reply.message}`)
    return reply ?? null
  }

  /** Many commands in one write. Error answers are values. */
  pipeline(commands: readonly Command[]): Promise<Reply[]> {
    if (commands.length === 0) return Promise.resolve([])
    return new Promise((done, lost) => {
      if (this.#broken !== undefined) return lost(this.#broken)
      this.#waiting.push({ replies: [], expected: commands.length, done, lost })
      this.#socket.write(encode(commands))
    })
  }

  close(): void {
    this.#broken ??= new Error('the connection was closed')
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    this.#broken ??= error
    for (const batch of this.#waiting.splice(0)) batch.lost(this.#broken)
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const parsed = parseReply(bytes, at)
      if (parsed === undefined) break
      at = parsed.end
      const batch = this.#waiting[0]
      if (batch === undefined) return void this.#socket.destroy(new Error('Redis sent an answer that nobody asked for'))
      batch.replies.push(parsed.value)
      if (batch.replies.length === batch.expected) {
        this.#waiting.shift()
        batch.done(batch.replies)
      }
    }
    this.#rest = bytes.subarray(at)
  }
}

function encode(commands: readonly Command[]): Buffer {
  const parts: Buffer[] = []
  let text = ''
  for (const command of commands) {
    text += `*${command.length}\r\n`
    for (const arg of command) {
      if (typeof arg === 'object') {
        parts.push(Buffer.from(`${text}$${arg.length}\r\n`), arg)
        text = '\r\n'
      } else {
        const word = String(arg)
        text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`
      }
    }
  }
  parts.push(Buffer.from(text))
  return parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts)
}

const [CR, ERROR, STATUS, INTEGER, BULK, ARRAY] = [13, 45, 43, 58, 36, 42]

/** The answer that begins at `at`, or undefined while it is incomplete. */
function parseReply(bytes: Buffer, at: number): { value: Reply; end: number } | undefined {
  const line = bytes.indexOf(CR, at)
  if (line < 0 || line + 1 >= bytes.length) return undefined
  const kind = bytes[at]
  const head = bytes.subarray(at + 1, line)
  const end = line + 2
  switch (kind) {
    case STATUS:
      return { value: Buffer.from(head), end }
    case ERROR:
      return { value: new ReplyError(head.toString()), end }
    case INTEGER:
      return { value: Number(head.toString('latin1')), end }
    case BULK: {
      const size = Number(head.toString('latin1'))
      if (size < 0) return { value: null, end }
      if (end + size + 2 > bytes.length) return undefined
      return { value: Buffer.from(bytes.subarray(end, end + size)), end: end + size + 2 }
    }
    case ARRAY: {
      const size = Number(head.toString('latin1'))
      if (size < 0) return { value: null, end }
      const items: Reply[] = []
      let next = end
      for (let i = 0; i < size; i++) {
        const item = parseReply(bytes, next)
        if (item === undefined) return undefined
        items.push(item.value)
        next = item.end
      }
      return { value: items, end: next }
    }
    default:
      return {
        value: new ReplyError(`not a Redis answer: ${bytes.subarray(at, line).toString('latin1').slice(0, 60)}`),
        end,
      }
  }
}
