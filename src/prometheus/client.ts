import {
  failed,
  notPrometheus,
  parseInstant,
  parseRange,
  readError,
  type Failed,
  type InstantAnswer,
  type RangeAnswer,
} from './answer.ts'

export type { Failed, Failure, InstantAnswer, Labels, RangeAnswer, Sample, Series } from './answer.ts'

export interface PrometheusOptions {
  /** Base URL, with a path prefix if there is one, for example `https://thanos.example/prom`. */
  readonly address: string
  /** Asked for each request; `refused: true` when the last token got a 401 or 403. Rejects where it cannot be read. */
  readonly token?: ((refused: boolean) => Promise<string | undefined>) | undefined
  /** Limit of one query, answer included, ms. Default 10 000. */
  readonly timeoutMs?: number
  /** Longest answer read, bytes. Default 16 MiB. */
  readonly maxBytes?: number
  readonly fetch?: typeof fetch
  /** Monotonic ms, for Retry-After. */
  readonly monotonic?: () => number
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

export function createPrometheusClient(options: PrometheusOptions): PrometheusClient {
  const { address, token, timeoutMs = 10_000, maxBytes = 16 * 1024 * 1024 } = options
  const request = options.fetch ?? fetch
  const monotonic = options.monotonic ?? (() => performance.now())
  const base = address.replace(/\/+$/, '')
  let notBefore = -Infinity
  let refused = false

  async function ask(path: string, form: Record<string, string>, signal?: AbortSignal): Promise<string | Failed> {
    const wait = notBefore - monotonic()
    if (wait > 0)
      return failed('Unavailable', `Prometheus asked to wait ${Math.ceil(wait / 1000)} s more (Retry-After)`)
    const authorization = await bearer()
    if (typeof authorization !== 'object') return failed('Refused', authorization)
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      const response = await request(`${base}/api/v1/${path}`, {
        method: 'POST',
        // Thanos answers from the stores it has unless told that a part is not enough.
        body: new URLSearchParams({ ...form, partial_response: 'false', timeout: `${Math.ceil(timeoutMs / 1000)}s` }),
        headers: { accept: 'application/json', ...authorization },
        // A login page behind a redirect is no Prometheus, and a token must not follow it.
        redirect: 'manual',
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      })
      const text = await readBounded(response, maxBytes)
      if (text === undefined) return failed('TooLarge', `the answer is longer than ${maxBytes} bytes: aggregate more`)
      refused = response.status === 401 || response.status === 403
      return response.ok ? text : judgeStatus(response, text)
    } catch (error) {
      const what = timeout.aborted ? `no answer within ${timeoutMs} ms` : describe(error)
      return failed('Unreachable', `${base}: ${what}`)
    }
  }

  /** The header, or why there is none. */
  async function bearer(): Promise<Record<string, string> | string> {
    if (token === undefined) return {}
    try {
      const value = (await token(refused))?.trim()
      return value === undefined || value === '' ? {} : { authorization: `Bearer ${value}` }
    } catch (error) {
      return `the bearer token cannot be read: ${describe(error)}`
    }
  }

  function judgeStatus(response: Response, text: string): Failed {
    const { status } = response
    const said = readError(text)
    if (status === 400 || status === 422) {
      return said === undefined ? notPrometheus(text) : failed('BadQuery', `Prometheus refuses the query: ${said}`)
    }
    if (status === 401 || status === 403) {
      const whose =
        token === undefined ? 'it asks for a token: set slo.prometheus.bearerTokenSecretRef' : 'check the token'
      return failed('Refused', `Prometheus answers ${status}: ${whose}`)
    }
    if (status >= 300 && status < 400) {
      const to = response.headers.get('location') ?? 'another address'
      return failed(
        'NotPrometheus',
        `the address answers ${status} and points to ${to}: give the address of Prometheus`,
      )
    }
    if (status === 404) return notPrometheus(`404: ${text}`)
    const wait = retryAfterMs(response.headers.get('retry-after'))
    if (wait !== undefined) notBefore = monotonic() + wait
    return failed('Unavailable', `Prometheus answers ${status}: ${said ?? text.slice(0, 100)}`)
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

function retryAfterMs(header: string | null): number | undefined {
  const wait = header === null ? NaN : Number(header) * 1000
  return Number.isFinite(wait) && wait > 0 ? Math.min(wait, MAX_RETRY_AFTER_MS) : undefined
}

/** fetch hides the reason in the cause. */
function describe(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } }
  if (cause === undefined) return message ?? String(error)
  return [cause.code, cause.message].filter(Boolean).join(' ')
}
