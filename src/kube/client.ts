import type { BackoffPolicy } from '../runtime/backoff.ts'
import { backoffDelay } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import { abortError, systemClock } from '../runtime/clock.ts'
import type { ClockSkew } from '../runtime/skew.ts'
import type { Connection, HttpAnswer, HttpRequest } from './connection.ts'
import { KubeError, errorFromAnswer, isTooManyRequests } from './errors.ts'
import { collectionPath, describeRequest, objectPath, withQuery } from './paths.ts'
import { apiVersionOf } from './resources.ts'
import type { KubeList, KubeObject, ObjectRef, ResourceType, WatchEvent } from './types.ts'
import { readText, watchLines } from './wire.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Limit of one attempt in ms, answer included; 15 000 unless told. */
  readonly timeoutMs?: number
  /** false: the first failure is final (callers with a backoff of their own). */
  readonly retry?: boolean
}

export interface Selection {
  /** Left out: all namespaces. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
}

export interface WatchQuery extends Selection {
  /** Of a list or an earlier event; '0' would ask for a streamed list, which not every server has. */
  readonly resourceVersion: string
  /** The server ends the watch after this; 25 unless told. A stream silent for 5 s more is cut and throws. */
  readonly timeoutSeconds?: number
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string
  /** true: take over fields other managers own; false: a conflict is thrown that names them. */
  readonly force: boolean
}

export interface PatchOptions extends CallOptions {
  readonly fieldManager?: string
}

export interface DeleteOptions extends CallOptions {
  /** Background unless told. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
  /** Delete only this very object, not a namesake created since; otherwise a conflict is thrown. */
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
}

/**
 * Plain JSON verbs over any resource type. Each rejects with KubeError, or with the signal's reason when aborted.
 * Retried inside: 429 (not done yet, whatever the verb) after its Retry-After, and reads whose connection failed; a few times only.
 */
export interface KubeClient {
  get<T extends KubeObject>(type: ResourceType, ref: ObjectRef, options?: CallOptions): Promise<T>
  /** All pages. Throws 410 when the list grew too old between pages. */
  list<T extends KubeObject>(type: ResourceType, selection?: Selection, options?: CallOptions): Promise<KubeList<T>>
  create<T extends KubeObject>(type: ResourceType, object: T, options?: PatchOptions): Promise<T>
  delete(type: ResourceType, ref: ObjectRef, options?: DeleteOptions): Promise<void>
  /** Server-side apply; apiVersion and kind are filled in. Returns the object as stored. */
  apply<T extends KubeObject>(type: ResourceType, object: T, options: ApplyOptions): Promise<T>
  /** Server-side apply of the status subresource. */
  applyStatus<T extends KubeObject>(type: ResourceType, object: T, options: ApplyOptions): Promise<T>
  /** JSON merge patch: null removes a field. `metadata.resourceVersion` in the patch makes it an optimistic lock. */
  mergePatch<T extends KubeObject>(
    type: ResourceType,
    ref: ObjectRef,
    patch: object,
    options?: PatchOptions,
  ): Promise<T>
  /** JSON merge patch of `status`, refused with a conflict unless the object still has this resourceVersion. */
  patchStatus<T extends KubeObject>(
    type: ResourceType,
    ref: ObjectRef,
    patch: object,
    resourceVersion: string,
    options?: PatchOptions,
  ): Promise<T>
  /** Ends when the server ends the watch; throws KubeError on ERROR lines, cuts and silence. Leaving the loop closes it. */
  watch<T extends KubeObject>(type: ResourceType, query: WatchQuery, signal: AbortSignal): AsyncIterable<WatchEvent<T>>
}

/** One finished attempt, for metrics. `status` is 0 when no answer came. */
export interface RequestObservation {
  readonly method: HttpRequest['method'] | 'WATCH'
  readonly resource: string
  readonly status: number
  readonly durationMs: number
}

export interface KubeClientOptions {
  readonly clock?: Clock
  readonly backoff?: BackoffPolicy
  readonly observe?: (request: RequestObservation) => void
  /** Learns from each answer how far the server's clock is off. */
  readonly skew?: Pick<ClockSkew, 'sending'>
}

const DEFAULT_TIMEOUT_MS = 15_000
const MAX_ATTEMPTS = 4
/** A longer Retry-After is the caller's to wait. */
const MAX_RETRY_AFTER_MS = 10_000
const PAGE_SIZE = '500'
const RETRY_BACKOFF: BackoffPolicy = { initialMs: 200, maxMs: 2000, factor: 2, jitter: 0.5 }
const JSON_BODY = 'application/json'
const MERGE_PATCH = 'application/merge-patch+json'
/** JSON is YAML, so an apply body is sent as JSON. */
const APPLY_PATCH = 'application/apply-patch+yaml'

export function createKubeClient(connection: Connection, settings: KubeClientOptions = {}): KubeClient {
  const clock = settings.clock ?? systemClock

  function stopwatch(method: RequestObservation['method'], type: ResourceType): (status: number) => void {
    const started = clock.monotonic()
    return (status) =>
      settings.observe?.({ method, resource: type.plural, status, durationMs: clock.monotonic() - started })
  }

  async function once<R>(request: HttpRequest, options: CallOptions): Promise<R> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const timeout = AbortSignal.timeout(timeoutMs)
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal])
    try {
      const heard = settings.skew?.sending()
      const answer = await connection.open(request, signal)
      heard?.(answer.date)
      return parseAnswer<R>(
        request,
        answer,
        await readText(describeRequest(request.method, request.path), answer, signal),
      )
    } catch (error) {
      if (options.signal?.aborted === true) throw abortError(options.signal)
      if (!timeout.aborted) throw error
      const message = `${describeRequest(request.method, request.path)}: no answer within ${timeoutMs} ms`
      throw new KubeError({ status: 0, reason: 'RequestTimeout', message })
    }
  }

  async function call<R>(type: ResourceType, request: HttpRequest, options: CallOptions = {}): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      const observe = stopwatch(request.method, type)
      try {
        const result = await once<R>(request, options)
        observe(200)
        return result
      } catch (error) {
        observe(error instanceof KubeError ? error.status : 0)
        const wait = attempt < MAX_ATTEMPTS && options.retry !== false ? retryDelay(request, error, attempt) : undefined
        if (wait === undefined) throw error
        await clock.sleep(wait, options.signal)
        if (options.signal?.aborted === true) throw abortError(options.signal)
      }
    }
  }

  function retryDelay(request: HttpRequest, error: unknown, attempt: number): number | undefined {
    const own = backoffDelay(settings.backoff ?? RETRY_BACKOFF, attempt)
    if (!(error instanceof KubeError)) return undefined
    if (isTooManyRequests(error)) {
      const asked = error.retryAfterMs ?? own
      return asked > MAX_RETRY_AFTER_MS ? undefined : Math.max(asked, own)
    }
    return request.method === 'GET' && error.reason === 'ConnectionFailed' ? own : undefined
  }

  function write<R>(
    type: ResourceType,
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    contentType: string,
    body: object,
    options?: CallOptions,
  ): Promise<R> {
    return call<R>(type, { method, path, contentType, body: JSON.stringify(body) }, options)
  }

  function apply<T extends KubeObject>(type: ResourceType, object: T, options: ApplyOptions, sub: string): Promise<T> {
    const path = withQuery(objectPath(type, refFrom(object), sub), {
      fieldManager: options.fieldManager,
      force: String(options.force),
    })
    return write<T>(type, 'PATCH', path, APPLY_PATCH, { ...typeMeta(type), ...object }, options)
  }

  function patch<T>(type: ResourceType, path: string, body: object, options?: PatchOptions): Promise<T> {
    return write<T>(type, 'PATCH', withQuery(path, { fieldManager: options?.fieldManager }), MERGE_PATCH, body, options)
  }

  return {
    get: (type, ref, options) => call(type, { method: 'GET', path: objectPath(type, ref) }, options),

    async list<T extends KubeObject>(type: ResourceType, selection: Selection = {}, options?: CallOptions) {
      const items: T[] = []
      let page: ListPage<T> | undefined
      do {
        const query = { ...selectors(selection), limit: PAGE_SIZE, continue: page?.metadata?.continue }
        const path = withQuery(collectionPath(type, selection.namespace), query)
        page = await call<ListPage<T>>(type, { method: 'GET', path }, options)
        // items of a list carry no apiVersion and kind; those of a watch do
        for (const item of page.items ?? []) items.push({ ...typeMeta(type), ...item })
      } while (page.metadata?.continue)
      return { resourceVersion: page.metadata?.resourceVersion ?? '', items }
    },

    create<T extends KubeObject>(type: ResourceType, object: T, options?: PatchOptions) {
      const path = withQuery(collectionPath(type, object.metadata.namespace), { fieldManager: options?.fieldManager })
      return write<T>(type, 'POST', path, JSON_BODY, { ...typeMeta(type), ...object }, options)
    },

    async delete(type, ref, options = {}) {
      const preconditions = { uid: options.uid, resourceVersion: options.resourceVersion }
      const body = { propagationPolicy: options.propagation ?? 'Background', preconditions }
      await write(type, 'DELETE', objectPath(type, ref), JSON_BODY, body, options)
    },

    apply: (type, object, options) => apply(type, object, options, ''),
    applyStatus: (type, object, options) => apply(type, object, options, 'status'),
    mergePatch: (type, ref, body, options) => patch(type, objectPath(type, ref), body, options),
    patchStatus: (type, ref, status, resourceVersion, options) =>
      patch(type, objectPath(type, ref, 'status'), { metadata: { resourceVersion }, status }, options),

    async *watch<T extends KubeObject>(type: ResourceType, query: WatchQuery, signal: AbortSignal) {
      const timeoutSeconds = query.timeoutSeconds ?? 25
      const path = withQuery(collectionPath(type, query.namespace), {
        ...selectors(query),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: query.resourceVersion,
        timeoutSeconds: String(timeoutSeconds),
      })
      yield* watchLines<T>(connection, path, signal, {
        openMs: DEFAULT_TIMEOUT_MS,
        silenceMs: (timeoutSeconds + 5) * 1000,
        onAnswer: stopwatch('WATCH', type),
      })
    },
  }
}

interface ListPage<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }
  readonly items?: readonly T[]
}

function selectors({ labelSelector, fieldSelector }: Selection) {
  return { labelSelector, fieldSelector }
}

function typeMeta(type: ResourceType) {
  return { apiVersion: apiVersionOf(type), kind: type.kind }
}

function refFrom(object: KubeObject): ObjectRef {
  return { namespace: object.metadata.namespace, name: object.metadata.name ?? '' }
}

function parseAnswer<R>(request: HttpRequest, answer: HttpAnswer, text: string): R {
  if (answer.status < 200 || answer.status > 299) {
    throw errorFromAnswer(describeRequest(request.method, request.path), answer.status, text, answer.retryAfter)
  }
  try {
    return JSON.parse(text) as R
  } catch {
    const message = `${describeRequest(request.method, request.path)}: ${answer.status} whose body is not JSON`
    throw new KubeError({ status: 0, reason: 'BadAnswer', message })
  }
}
