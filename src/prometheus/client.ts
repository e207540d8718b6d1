import {
  failed,
  notPrometheus,
  parseInstant,
  parseRange,
  readableWords,
  readError,
  type Failed,
  type InstantAnswer,
  type RangeAnswer,
} from './answer.ts'
import { Bearer, type BearerToken, type Credential } from './bearer.ts'
import { MAX_SKEW_MS, skewMs, skewText } from '../runtime/skew.ts'
import { describe } from './describe.ts'

export type { BearerToken } from './bearer.ts'
export type { Failed, Failure, InstantAnswer, Labels, RangeAnswer, Sample, Series } from './answer.ts'

export interface PrometheusOptions {
  /** Base URL, with a path prefix if there is one, for example `https://thanos.example/prom`. */
  readonly address: string
  readonly token?: BearerToken | undefined
  /** Limit of one query, answer included, ms. Default 10 000. */
  readonly timeoutMs?: number
  /** Longest answer read, bytes. Default 16 MiB. */
  readonly maxBytes?: number
  readonly fetch?: typeof fetch
  /** Monotonic ms, for Retry-After. */
  readonly monotonic?: () => number
  /** Wall clock that the times of queries are told by, ms. */
  readonly now?: () => number
}

export interface RangeQuery {
  readonly query: string
  /** ms since 1970; points lie at start, start + step, ... up to end. */
  readonly start: number
  readonly end: number
  readonly stepMs: number
}

/** Asks a Prometheus, or what speaks its HTTP API. Nothing throws: what goes wrong is an answer of kind `failed`. */
export interface PrometheusClient {
  /** `time`: ms since 1970. */
  query(query: string, time: number, signal?: AbortSignal): Promise<InstantAnswer>
  range(range: RangeQuery, signal?: AbortSignal): Promise<RangeAnswer>
}

/** Most points that Prometheus gives for one series of a range query. */
export const MAX_POINTS = 11_000
const MAX_RETRY_AFTER_MS = 5 * 60_000

interface Answer {
  readonly kind: 'answer'
  /** How far the clock is ahead of the server's, ms. */
  readonly skew: number
  readonly response: Response
  readonly text: string
}

export function createPrometheusClient(options: PrometheusOptions): PrometheusClient {
  const { address, token, timeoutMs = 10_000, maxBytes = 16 * 1024 * 1024 } = options
  const request = options.fetch ?? fetch
  const monotonic = options.monotonic ?? (() => performance.now())
  const now = options.now ?? Date.now
  const base = address.replace(/\/+$/, '')
  const bearer = token === undefined ? undefined : new Bearer(token, monotonic)
  let notBefore = -Infinity

  async function ask(path: string, form: Record<string, string>, signal?: AbortSignal): Promise<string | Failed> {
    const wait = notBefore - monotonic()
    if (wait > 0)
      return failed(
        'Unavailable',
        `Prometheus asked to be left alone for ${Math.ceil(wait / 1000)} s more (Retry-After)`,
      )
    const first = await bearer?.get()
    const answer = await send(path, form, first, signal)
    if (!isRefusal(answer) || bearer === undefined || first?.kind !== 'token') return judgeAnswer(answer)
    // It may have been rotated since it was read: no window shall be lost to that.
    const second = await bearer.getAfterRefusal(first.value)
    if (second.kind === 'token' && second.value === first.value) return judgeAnswer(answer)
    return judgeAnswer(await send(path, form, second, signal))
  }

  async function send(
    path: string,
    form: Record<string, string>,
    credential: Credential | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Answer | Failed> {
    if (credential?.kind === 'failed') return credential
    const timeout = AbortSignal.timeout(timeoutMs)
    const sentAt = now()
    try {
      const response = await request(`${base}/api/v1/${path}`, {
        method: 'POST',
        // Thanos answers from the stores it has unless told that a part is not enough.
        body: new URLSearchParams({ ...form, partial_response: 'false', timeout: `${Math.ceil(timeoutMs / 1000)}s` }),
        headers: {
          accept: 'application/json',
          ...(credential === undefined ? {} : { authorization: `Bearer ${credential.value}` }),
        },
        // A login page behind a redirect is no Prometheus, and a token must not follow it.
        redirect: 'manual',
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      })
      const text = await readBounded(response, maxBytes)
      if (text === undefined)
        return failed('TooLarge', `the answer is longer than ${maxBytes} bytes: aggregate more in the query`)
      return { kind: 'answer', response, text, skew: skewMs(response.headers.get('date'), sentAt, now()) ?? 0 }
    } catch (error) {
      const what = timeout.aborted ? `no whole answer within ${timeoutMs} ms` : describe(error)
      return failed('Unreachable', `${base} cannot be reached: ${what}; check slo.prometheus.address and that it runs`)
    }
  }

  function judgeAnswer(answer: Answer | Failed): string | Failed {
    if (answer.kind === 'failed') return answer
    const { response, text, skew } = answer
    // Its data of an hour ago, or none, would be taken for those of the step that soaks.
    if (response.ok && Math.abs(skew) > MAX_SKEW_MS) return failed('ClockSkew', skewText(skew, 'Prometheus'))
    if (response.ok) return text
    const { status } = response
    const said = readError(text)
    if (status === 400 || status === 422) {
      if (said === undefined) return notPrometheus(text)
      // Limits on samples, series or chunks: a shorter range may stay below them.
      const failure = status === 422 && /\b(too many|limit|exceed|more than)/i.test(said) ? 'TooLarge' : 'BadQuery'
      return failed(failure, `Prometheus refuses the query: ${said}`)
    }
    if (isRefusal(answer)) return failed('Refused', `Prometheus answers ${status}: ${whoseFault(status, token)}`)
    if (status >= 300 && status < 400) {
      const to = response.headers.get('location') ?? 'another address'
      return failed(
        'NotPrometheus',
        `the address answers ${status} and points to ${to}: give the address of Prometheus itself in slo.prometheus.address`,
      )
    }
    if (status === 404) return notPrometheus(`404: ${text}`)
    const wait = retryAfterMs(response.headers)
    if (wait !== undefined) notBefore = monotonic() + wait
    const words = said ?? (readableWords(text) || 'nothing else')
    return failed('Unavailable', `Prometheus answers ${status}: ${words}; it is asked again by itself`)
  }

  return {
    async query(query, time, signal) {
      const text = await ask('query', { query, time: seconds(time) }, signal)
      return typeof text === 'string' ? parseInstant(text) : text
    },
    async range({ query, start, end, stepMs }, signal) {
      const form = { query, start: seconds(start), end: seconds(end), step: seconds(stepMs) }
      const text = await ask('query_range', form, signal)
      return typeof text === 'string' ? parseRange(text) : text
    },
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3)
}

/** Text of the body, undefined when it is longer than `max` bytes; the rest of it is not read. */
async function readBounded(response: Response, max: number): Promise<string | undefined> {
  const decoder = new TextDecoder()
  let [text, size] = ['', 0]
  // Leaving the loop cancels the body.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > max) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** In seconds or as a date, against the server's own clock; bounded: a server may not silence the checks for a night. */
function retryAfterMs(headers: Headers): number | undefined {
  const header = headers.get('retry-after') ?? ''
  const wait = /^[0-9]+$/.test(header)
    ? Number(header) * 1000
    : Date.parse(header) - Date.parse(headers.get('date') ?? '')
  return wait > 0 ? Math.min(wait, MAX_RETRY_AFTER_MS) : undefined
}

function isRefusal(answer: Answer | Failed): boolean {
  return answer.kind === 'answer' && (answer.response.status === 401 || answer.response.status === 403)
}

function whoseFault(status: number, token: BearerToken | undefined): string {
  if (token === undefined) return 'it asks for a token: set slo.prometheus.bearerTokenSecretRef'
  return status === 401
    ? `it refuses the bearer token of ${token.source}: put a valid one there, it is read again by itself`
    : `the bearer token of ${token.source} has no right to query: give its owner that right`
}
