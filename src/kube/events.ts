import { createHash } from 'node:crypto'
import type { Clock } from '../runtime/clock.ts'
import type { KubeClient } from './client.ts'
import { isNotFound } from './errors.ts'
import { EVENTS } from './resources.ts'
import { TokenBucket } from './token-bucket.ts'
import type { KubeEvent, KubeObject, ObjectReference } from './types.ts'

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'mergePatch'>
  readonly clock: Clock
  /** What `kubectl describe` shows under From. */
  readonly component: string
  /** The pod's name. */
  readonly instance: string
  /** An event that could not be written; the reconcile goes on without it. */
  readonly onError?: (error: unknown, reason: string) => void
  /** An event left out because its object had too many. */
  readonly onDropped?: (regarding: ObjectReference, reason: string) => void
  /** Events an object may have at once; 25 unless told. */
  readonly burst?: number
  /** Then one more each so many ms; 300 000 unless told. */
  readonly refillMs?: number
}

export interface EventRecorder {
  /** Queues an event and returns at once; never throws. The note is cut at 1024 bytes. */
  record(regarding: KubeObject | ObjectReference, type: 'Normal' | 'Warning', reason: string, note: string): void
  /** Resolves when what is queued is written or given up, at the latest after `limitMs`. */
  flush(limitMs: number): Promise<void>
}

/** The API server keeps events for an hour; a repeat within it is counted on the first one. */
const SERIES_MS = 50 * 60_000
const MAX_NOTE = 1024
/** Series and buckets remembered; the oldest go first. */
const MAX_REMEMBERED = 1000
const MAX_QUEUED = 200

interface Series {
  readonly name: string
  readonly firstAt: number
  count: number
}

/** Core v1 Events: repeats of one object, type, reason and note raise the count of the first; a token bucket caps each object. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, clock, component, instance, onError, onDropped, burst = 25, refillMs = 300_000 } = options
  const series = new Map<string, Series>()
  const buckets = new Map<string, TokenBucket>()
  let queue = Promise.resolve()
  let queued = 0

  async function write(
    regarding: ObjectReference,
    type: KubeEvent['type'],
    reason: string,
    message: string,
    at: number,
  ) {
    const id = digest([regarding.uid, regarding.namespace, regarding.kind, regarding.name, type, reason, message])
    const known = series.get(id)
    const namespace = regarding.namespace ?? 'default'
    if (known !== undefined && at - known.firstAt < SERIES_MS && (await bump(namespace, known, at))) return
    // named by content and start: a create repeated after a lost answer meets its own event
    const name = `${regarding.name.slice(0, 200)}.${digest([id, String(at)])}`
    const time = seconds(at)
    await client.create<KubeEvent>(EVENTS, {
      metadata: { name, namespace },
      involvedObject: regarding,
      type,
      reason,
      message,
      count: 1,
      firstTimestamp: time,
      lastTimestamp: time,
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
    })
    remember(series, id, { name, firstAt: at, count: 1 })
  }

  /** False when the first event is gone from the server. */
  async function bump(namespace: string, known: Series, at: number): Promise<boolean> {
    try {
      const patch = { count: known.count + 1, lastTimestamp: seconds(at) }
      await client.mergePatch(EVENTS, { namespace, name: known.name }, patch)
      known.count += 1
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  function allowed(regarding: ObjectReference): boolean {
    const id = regarding.uid ?? `${regarding.kind}/${regarding.namespace ?? ''}/${regarding.name}`
    const bucket = buckets.get(id) ?? new TokenBucket(burst, refillMs, clock.monotonic())
    remember(buckets, id, bucket)
    return bucket.take(clock.monotonic()) && queued < MAX_QUEUED
  }

  return {
    record(target, type, reason, note) {
      const regarding = referenceTo(target)
      if (!allowed(regarding)) return onDropped?.(regarding, reason)
      const at = clock.now()
      queued++
      queue = queue
        .then(() => write(regarding, type, reason, cut(note), at))
        .catch((error: unknown) => onError?.(error, reason))
        .finally(() => queued--)
    },
    async flush(limitMs) {
      const written = new AbortController()
      await Promise.race([queue, clock.sleep(limitMs, written.signal)])
      written.abort()
    },
  }
}

/** The reference to an object, as events carry it. */
export function referenceTo(target: KubeObject | ObjectReference): ObjectReference {
  if (!('metadata' in target)) return target
  const { name = '', namespace, uid, resourceVersion } = target.metadata
  return { apiVersion: target.apiVersion ?? '', kind: target.kind ?? '', name, namespace, uid, resourceVersion }
}

function cut(note: string): string {
  const bytes = Buffer.from(note)
  if (bytes.length <= MAX_NOTE) return note
  // what is left of a character cut in half decodes to U+FFFD
  return `${bytes
    .subarray(0, MAX_NOTE - 3)
    .toString()
    .replace(/\uFFFD+$/, '')}...`
}

/** Sets the entry as the youngest and lets the oldest go. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value as string)
}

function digest(parts: readonly (string | undefined)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/** metav1.Time knows whole seconds only. */
function seconds(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
