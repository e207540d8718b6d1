/** One field's complaint in a Status, e.g. `{ reason: 'FieldValueInvalid', field: 'spec.keys', message: ... }`. */
export interface KubeErrorCause {
  readonly reason: string
  readonly field: string
  readonly message: string
}

export interface KubeErrorInit {
  readonly status: number
  readonly reason: string
  readonly message: string
  readonly retryAfterMs?: number | undefined
  readonly causes?: readonly KubeErrorCause[]
}

/**
 * A request that failed. `status` is the HTTP status, or 0 when no answer came: then `reason` is `ConnectionFailed` (refused,
 * cut, TLS), `RequestTimeout` or `BadAnswer` (not JSON). Otherwise `reason` is the Status reason (`Conflict`, `AlreadyExists`,
 * `Invalid`, ...). Messages name verb and path, are cut at 2000 characters and never hold credentials.
 */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  /** What the server asked us to wait before the next try, in ms. */
  readonly retryAfterMs: number | undefined
  readonly causes: readonly KubeErrorCause[]

  constructor(init: KubeErrorInit) {
    super(redact(init.message).slice(0, 2000))
    this.name = 'KubeError'
    this.status = init.status
    this.reason = init.reason
    this.retryAfterMs = init.retryAfterMs
    this.causes = (init.causes ?? []).map((cause) => ({ ...cause, message: redact(cause.message) }))
  }
}

/** The parts of metav1.Status that explain a failure. */
interface StatusBody {
  readonly reason?: unknown
  readonly message?: unknown
  readonly code?: unknown
  readonly details?: { readonly retryAfterSeconds?: unknown; readonly causes?: unknown }
}

/**
 * Builds the error of an answer. `request` is `GET /api/v1/...`; `body` the text or the parsed Status (a proxy's HTML is cut);
 * `retryAfter` the header: seconds or an HTTP date, judged against `now` (wall ms).
 */
export function errorFromAnswer(
  request: string,
  httpStatus: number,
  body: unknown,
  retryAfter?: string,
  now: number = Date.now(),
): KubeError {
  const parsed = typeof body === 'string' ? parseStatus(body) : (body as StatusBody | undefined)
  const status = httpStatus >= 400 ? httpStatus : typeof parsed?.code === 'number' ? parsed.code : 500
  const said = typeof parsed?.message === 'string' ? parsed.message : typeof body === 'string' ? body.slice(0, 200) : ''
  const reason = typeof parsed?.reason === 'string' && parsed.reason !== '' ? parsed.reason : reasonOf(status)
  const whose = status === 401 ? " (the API server refused this process's own credential)" : ''
  return new KubeError({
    status,
    reason,
    message: `${request}: ${status} ${reason}${whose}${said === '' ? '' : `: ${said}`}`,
    retryAfterMs: retryAfterMs(retryAfter, now) ?? secondsToMs(parsed?.details?.retryAfterSeconds),
    causes: causesOf(parsed?.details?.causes),
  })
}

const COMMON_REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
}

function reasonOf(status: number): string {
  return COMMON_REASONS[status] ?? `Http${status}`
}

function parseStatus(body: string): StatusBody | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  const seconds = Number(header)
  if (Number.isFinite(seconds)) return secondsToMs(seconds)
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

function secondsToMs(seconds: unknown): number | undefined {
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined
}

function causesOf(causes: unknown): KubeErrorCause[] {
  if (!Array.isArray(causes)) return []
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return causes.slice(0, 20).map((cause: Record<string, unknown>) => ({
    reason: text(cause.reason),
    field: text(cause.field),
    message: text(cause.message),
  }))
}

const CREDENTIALS: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer|basic)\s+[\w.~+/=-]+/gi, '$1 [redacted]'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[redacted]'],
  [/\/\/[^/\s:@]*:[^/\s@]+@/g, '//[redacted]@'],
  [/-----BEGIN [^-]+-----[\s\S]*?(-----END [^-]+-----|$)/g, '[redacted]'],
]

/** Takes bearer tokens, JWTs, URL passwords and PEM blocks out of a text. */
export function redact(text: string): string {
  return CREDENTIALS.reduce((cleaned, [pattern, mask]) => cleaned.replace(pattern, mask), text)
}

const isKube = (error: unknown, test: (error: KubeError) => boolean): boolean =>
  error instanceof KubeError && test(error)

export const isNotFound = (error: unknown): boolean => isKube(error, (e) => e.status === 404)

/** The object exists already: success for deterministic names. */
export const isAlreadyExists = (error: unknown): boolean => isKube(error, (e) => e.reason === 'AlreadyExists')

/** Somebody wrote in between, or owns a field we applied without force. Not AlreadyExists, which is 409 too. */
export const isConflict = (error: unknown): boolean =>
  isKube(error, (e) => e.status === 409 && e.reason !== 'AlreadyExists')

export const isInvalid = (error: unknown): boolean => isKube(error, (e) => e.status === 422)

export const isForbidden = (error: unknown): boolean => isKube(error, (e) => e.status === 403)

export const isUnauthorized = (error: unknown): boolean => isKube(error, (e) => e.status === 401)

/** The resourceVersion is too old for the server (`Expired` or `Gone`): list again. */
export const isGone = (error: unknown): boolean => isKube(error, (e) => e.status === 410)

export const isTooManyRequests = (error: unknown): boolean => isKube(error, (e) => e.status === 429)

/** No answer came: whether a write was done is unknown. */
export const isUnanswered = (error: unknown): boolean => isKube(error, (e) => e.status === 0)

/** The signal's reason if it aborted, else a KubeError `ConnectionFailed` that names the system's error code only. */
export function transportError(request: string, error: unknown, signal: AbortSignal): Error {
  if (signal.aborted) return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason))
  const { code, message } = error as NodeJS.ErrnoException
  const said = code === undefined || message.includes(code) ? message : `${code} ${message}`
  return new KubeError({ status: 0, reason: 'ConnectionFailed', message: `${request}: no answer: ${said}` })
}
