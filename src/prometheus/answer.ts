/** Labels of a series; the metric's name is left out where the query left it out. */
export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels: Labels
  /** Time of the sample as the server gave it, ms since 1970. */
  readonly time: number
  /** NaN and infinities included. */
  readonly value: number
}

export interface Series {
  readonly labels: Labels
  readonly points: readonly { readonly time: number; readonly value: number }[]
}

/**
 * Why there is no answer. `Unreachable`: no answer came. `Refused`: 401 or 403. `Unavailable`: 429, 5xx or another status, try later.
 * `BadQuery`: 400 or 422, or a result that no check can be made of. `NotPrometheus`: something else answers at this address.
 * `TooLarge`: the answer is bigger than the client reads, or asks more of the server than it gives; less may go through. `ClockSkew`: its clock
 * is another, so that the answer is about another time than was meant.
 */
export type Failure =
  'Unreachable' | 'Refused' | 'Unavailable' | 'BadQuery' | 'NotPrometheus' | 'TooLarge' | 'ClockSkew'

export interface Failed {
  readonly kind: 'failed'
  readonly failure: Failure
  /** One line: what happened and what to do. */
  readonly message: string
}

/** `warnings` say that the answer may be incomplete (a store was away); `infos` are remarks on the query. */
interface Notes {
  readonly warnings: readonly string[]
  readonly infos: readonly string[]
}

export type InstantAnswer =
  | (Notes & { readonly kind: 'vector'; readonly samples: readonly Sample[] })
  | (Notes & { readonly kind: 'scalar'; readonly sample: Sample })
  | Failed

export type RangeAnswer = (Notes & { readonly kind: 'matrix'; readonly series: readonly Series[] }) | Failed

export function failed(failure: Failure, message: string): Failed {
  return { kind: 'failed', failure, message: message.replace(/\s+/g, ' ').slice(0, 400) }
}

/** Reads the body of `/api/v1/query`, status 200. */
export function parseInstant(text: string): InstantAnswer {
  const data = readData(text)
  if (data.kind === 'failed') return data
  const { resultType, result, warnings, infos } = data
  if (resultType === 'scalar') {
    const point = readPoint(result)
    if (point === undefined) return malformed('a scalar without time and value')
    return { kind: 'scalar', sample: { labels: {}, ...point }, warnings, infos }
  }
  if (resultType === 'vector') {
    const samples = readSeries(result, (item) => {
      const point = readPoint(item['value'])
      return point && { labels: readLabels(item['metric']), ...point }
    })
    return samples.kind === 'failed' ? samples : { kind: 'vector', samples: samples.items, warnings, infos }
  }
  return wrongType(resultType)
}

/** Reads the body of `/api/v1/query_range`, status 200. */
export function parseRange(text: string): RangeAnswer {
  const data = readData(text)
  if (data.kind === 'failed') return data
  const { resultType, result, warnings, infos } = data
  if (resultType !== 'matrix') return wrongType(resultType)
  const series = readSeries(result, (item) => {
    const raw = item['values']
    const points = Array.isArray(raw) ? raw.map(readPoint).filter((point) => point !== undefined) : []
    return Array.isArray(raw) && points.length === raw.length
      ? { labels: readLabels(item['metric']), points }
      : undefined
  })
  return series.kind === 'failed' ? series : { kind: 'matrix', series: series.items, warnings, infos }
}

/** The server's own words in an error body, or undefined where it is none of Prometheus's. */
export function readError(text: string): string | undefined {
  const body = readJson(text)
  if (body?.['status'] !== 'error') return undefined
  const [type, error] = [body['errorType'], body['error']]
  return [type, error].filter((part) => typeof part === 'string' && part !== '').join(': ')
}

interface Data extends Notes {
  readonly kind: 'data'
  readonly resultType: string
  readonly result: unknown
}

function readData(text: string): Data | Failed {
  const body = readJson(text)
  if (body === undefined) return notPrometheus(text)
  if (body['status'] === 'error') return failed('BadQuery', readError(text) ?? 'an error without words')
  const data = body['data']
  if (body['status'] !== 'success' || !isMap(data) || typeof data['resultType'] !== 'string') return notPrometheus(text)
  const { resultType, result } = data
  return { kind: 'data', resultType, result, warnings: readTexts(body['warnings']), infos: readTexts(body['infos']) }
}

/** What a body that is not Prometheus's looks like, with its first words, so that a login page is recognised. */
export function notPrometheus(text: string): Failed {
  const what = /^\s*</.test(text)
    ? 'HTML'
    : text.trim() === ''
      ? 'an empty body'
      : 'something that is no Prometheus JSON'
  const words = readableWords(text)
  return failed(
    'NotPrometheus',
    `the address answers with ${what}${words === '' ? '' : ` ("${words}")`}: check slo.prometheus.address, it is the base URL without /api`,
  )
}

/** The first words of a body for a message, tags taken out. */
export function readableWords(text: string): string {
  const plain = text.slice(0, 2000).replace(/<[^>]*>/g, ' ')
  return plain.replace(/\s+/g, ' ').trim().slice(0, 80)
}

function wrongType(resultType: string): Failed {
  const hint = resultType === 'matrix' ? ': take the range selector off or put a function such as rate() around it' : ''
  return failed('BadQuery', `the query gives a ${resultType}, a check needs a scalar or a vector${hint}`)
}

function malformed(what: string): Failed {
  return failed('NotPrometheus', `the answer holds ${what}`)
}

function readSeries<T>(
  result: unknown,
  read: (item: Record<string, unknown>) => T | undefined,
): { readonly kind: 'items'; readonly items: readonly T[] } | Failed {
  if (!Array.isArray(result)) return malformed('no list of series')
  const items: T[] = []
  for (const raw of result) {
    if (!isMap(raw)) return malformed('a series that is no object')
    if (raw['histogram'] !== undefined || raw['histograms'] !== undefined)
      return failed(
        'BadQuery',
        'the query gives native histograms: put histogram_quantile() or a like function around it',
      )
    const item = read(raw)
    if (item === undefined) return malformed('a series without time and value')
    items.push(item)
  }
  return { kind: 'items', items }
}

function readPoint(raw: unknown): { time: number; value: number } | undefined {
  if (!Array.isArray(raw) || typeof raw[0] !== 'number' || typeof raw[1] !== 'string') return undefined
  return { time: Math.round(raw[0] * 1000), value: readNumber(raw[1]) }
}

function readNumber(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Infinity
  if (text === '-Inf') return -Infinity
  return text === '' ? NaN : Number(text)
}

function readLabels(raw: unknown): Labels {
  if (!isMap(raw)) return {}
  return Object.fromEntries(
    Object.entries(raw).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function readTexts(raw: unknown): readonly string[] {
  if (!Array.isArray(raw)) return []
  return raw.slice(0, 10).map((item) => (typeof item === 'string' ? item : JSON.stringify(item)).slice(0, 300))
}

function readJson(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isMap(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
