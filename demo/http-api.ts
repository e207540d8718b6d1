import { Agent, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly body: unknown
}

/** No answer came. `sent` false: the request surely did nothing. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly sent: boolean
  constructor(message: string, sent: boolean) {
    super(message)
    this.sent = sent
  }
}

export interface Api {
  /** @throws NoAnswer */
  send(method: string, path: string, body?: unknown): Promise<Answer>
  close(): void
}

/** Longer than the sample app takes to give up. */
const LIMIT_MS = 30_000
const NOT_SENT = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'])

/**
 * JSON over HTTP to the sample app, connections kept. `bases` are asked in turn, so that several pods (or one Service)
 * serve one job: what one wrote, another must read.
 */
export function httpApi(bases: () => readonly string[]): Api {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  let turn = 0
  return {
    send(method, path, body) {
      const all = bases()
      const base = all[turn++ % all.length]
      if (base === undefined) return Promise.reject(new NoAnswer('no address of the sample app', false))
      return exchange(agent, new URL(path, base), method, body)
    },
    close: () => agent.destroy(),
  }
}

function exchange(agent: Agent, url: URL, method: string, body: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const call = request(url, { method, agent, headers, timeout: LIMIT_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', (error) => reject(new NoAnswer(error.message, true)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parseBody(Buffer.concat(chunks)) }))
    })
    call.on('timeout', () => call.destroy(new Error(`no answer within ${LIMIT_MS / 1000} s`)))
    call.on('error', (error: NodeJS.ErrnoException) =>
      reject(new NoAnswer(error.message, !NOT_SENT.has(error.code ?? ''))),
    )
    call.end(text)
  })
}

function parseBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return bytes.toString()
  }
}
