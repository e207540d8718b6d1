import { StringDecoder } from 'node:string_decoder'
import type { Connection, HttpAnswer } from './connection.ts'
import { KubeError, errorFromAnswer, transportError } from './errors.ts'
import { describeRequest } from './paths.ts'
import type { KubeObject, WatchEvent } from './types.ts'

/** The whole body. Rejects with KubeError `ConnectionFailed` when it is cut; `request` names it there. */
export async function readText(request: string, answer: HttpAnswer, signal: AbortSignal): Promise<string> {
  const decoder = new StringDecoder('utf8')
  let text = ''
  for await (const chunk of chunksOf(request, answer, signal)) text += decoder.write(chunk)
  return text + decoder.end()
}

export interface WatchLimits {
  /** Limit for the answer's head, ms. */
  readonly openMs: number
  /** A stream that says nothing for so long is taken for dead, ms. */
  readonly silenceMs: number
  /** Told the HTTP status once, 0 when no answer came. */
  readonly onAnswer: (status: number) => void
}

/** The events of a watch: one stream, closed when the reader leaves. Throws KubeError on ERROR lines, cuts and silence. */
export async function* watchLines<T extends KubeObject>(
  connection: Connection,
  path: string,
  outer: AbortSignal,
  limits: WatchLimits,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const request = describeRequest('WATCH', path)
  const silence = new AbortController()
  const signal = AbortSignal.any([silence.signal, outer])
  let timer: NodeJS.Timeout | undefined
  const expectBytesWithin = (ms: number) => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(failure(request, 'RequestTimeout', `silent for ${ms} ms`)), ms)
  }
  let answer: HttpAnswer | undefined
  try {
    expectBytesWithin(limits.openMs)
    answer = await connection.open({ method: 'GET', path }, signal).catch((error: unknown) => {
      limits.onAnswer(0)
      throw error
    })
    limits.onAnswer(answer.status)
    if (answer.status !== 200) {
      throw errorFromAnswer(request, answer.status, await readText(request, answer, signal), answer.retryAfter)
    }
    expectBytesWithin(limits.silenceMs)
    for await (const line of linesOf(request, answer, signal, () => expectBytesWithin(limits.silenceMs))) {
      yield parseLine<T>(request, line)
    }
  } finally {
    clearTimeout(timer)
    answer?.stream.destroy()
  }
}

async function* linesOf(request: string, answer: HttpAnswer, signal: AbortSignal, onBytes: () => void) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of chunksOf(request, answer, signal)) {
    onBytes()
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield line
  }
  if (rest.trim() !== '') throw failure(request, 'ConnectionFailed', 'cut inside a line')
}

/** The body's chunks; only the stream's own failures are translated, never what the reader throws. */
async function* chunksOf(request: string, answer: HttpAnswer, signal: AbortSignal) {
  const chunks = answer.stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (;;) {
    const next = await chunks.next().catch((error: unknown) => {
      throw transportError(request, error, signal)
    })
    if (next.done === true) return
    yield next.value
  }
}

function parseLine<T extends KubeObject>(request: string, line: string): WatchEvent<T> {
  let event: { type?: unknown; object?: unknown }
  try {
    event = JSON.parse(line) as typeof event
  } catch {
    throw failure(request, 'BadAnswer', 'a line that is not JSON')
  }
  if (event.type === 'ERROR') throw errorFromAnswer(request, 0, event.object)
  return event as WatchEvent<T>
}

function failure(request: string, reason: string, what: string): KubeError {
  return new KubeError({ status: 0, reason, message: `${request}: ${what}` })
}
