import { durationMs, keysOf, type JobKeyMigration } from '../api/resource.ts'
import { SpecSchema, type CheckSpec, type Spec } from '../api/schema.ts'
import type { Status } from '../api/status.ts'
import type { Action, Decide, Decision, EventNote, Observations, RefusedAction } from '../decision/types.ts'
import { verdict, type Verdict } from '../decision/verdict.ts'
import type { KubeClient } from '../kube/client.ts'
import { isConflict, isNotFound } from '../kube/errors.ts'
import type { EventRecorder } from '../kube/events.ts'
import { mergePatchBetween, sameJson } from '../kube/merge-patch.ts'
import type { KubeObject } from '../kube/types.ts'
import { parseKey } from '../kube/types.ts'
import type { Logger } from '../platform/logger.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ReconcileResult } from '../runtime/controller.ts'
import { MAX_SKEW_MS, skewText, type ClockSkew } from '../runtime/skew.ts'
import { resolvePrometheus, resolveRedis } from './address.ts'
import { outdatedMessage, type CrdReader } from './crd.ts'
import type { ActionContext, ActionResult, Refusal } from './execute/execute.ts'
import type { OperatorMetrics } from './metrics.ts'
import { FIELD_MANAGER, MIGRATIONS } from './resources.ts'
import { brokenVerdict, heldStatus } from './stalled.ts'

export interface ReconcilerDeps {
  readonly client: KubeClient
  readonly clock: Clock
  /** Against the API server. */
  readonly skew: Pick<ClockSkew, 'ms'>
  readonly decide: Decide
  readonly gather: (resource: JobKeyMigration, live: boolean, signal: AbortSignal) => Promise<Observations>
  readonly execute: (context: ActionContext, action: Action) => Promise<ActionResult>
  /** Lets go of all that is kept for a resource. */
  readonly forget: (key: string) => void
  readonly crd: Pick<CrdReader, 'read'>
  readonly events: Pick<EventRecorder, 'record'>
  readonly metrics: Pick<OperatorMetrics, 'show'>
  readonly log: Logger
  /** False once the lease may be another's: nothing is written any more. */
  readonly leads: () => boolean
}

/** A decision may ask to wait for weeks; what it waits for may change unseen. */
const LONGEST_REQUEUE_MS = 5 * 60_000
const CRD_REQUEUE_MS = 60_000
/** A refused action is tried again after this at first, and after twice as long each time, ms. */
const REFUSED_REQUEUE_MS = 2000
const MOST_REFUSED_REQUEUE_MS = 30_000

/** One pass over one resource: gather, decide, write the status, act. Level-triggered; in steady state it writes nothing. */
export class Reconciler {
  readonly #deps: ReconcilerDeps
  /** Resources whose status came back with fields stripped, until when (monotonic ms) they are left alone. */
  readonly #stripped = new Map<string, number>()
  /** What was refused in the last pass, and how often in a row. */
  readonly #refused = new Map<string, RefusedAction & { readonly times: number }>()

  /** When (monotonic ms) the passes over a resource began to throw, all of them since. */
  readonly #brokenSince = new Map<string, number>()

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const read = await this.#read(key, signal)
    if (read === undefined || read.metadata.deletionTimestamp !== undefined) {
      // Deleting freezes: routing, data and record stay as they are.
      this.#deps.forget(key)
      this.#stripped.delete(key)
      this.#refused.delete(key)
      this.#brokenSince.delete(key)
      this.#deps.metrics.show(key, undefined)
      return undefined
    }
    if ((this.#stripped.get(key) ?? 0) > this.#deps.clock.monotonic()) return { requeueAfterMs: CRD_REQUEUE_MS }
    try {
      const obstacle = await this.#obstacle(read, signal)
      const result = await (obstacle === undefined
        ? this.#pass(key, parsed(read), signal)
        : this.#stall(read, obstacle, signal))
      this.#brokenSince.delete(key)
      return result
    } catch (error) {
      if (!signal.aborted) await this.#showBroken(key, read, error, signal)
      throw error
    }
  }

  /** Status says why nothing goes on; where it cannot be written, an Event does. */
  async #showBroken(key: string, resource: JobKeyMigration, error: unknown, signal: AbortSignal): Promise<void> {
    const now = this.#deps.clock.monotonic()
    const since = this.#brokenSince.get(key) ?? now
    this.#brokenSince.set(key, since)
    const held = brokenVerdict(error, now - since)
    if (held === undefined) return
    await this.#stall(resource, held, signal).catch((unwritten: unknown) => {
      this.#deps.log.warn('status not written', { resource: key, error: unwritten })
      if (since === now) this.#note(resource, { type: 'Warning', reason: held.reason, message: held.message })
    })
  }

  async #read(key: string, signal: AbortSignal): Promise<JobKeyMigration | undefined> {
    try {
      return (await this.#deps.client.get<KubeObject>(MIGRATIONS, parseKey(key), { signal })) as JobKeyMigration
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  /** Why nothing may be done with the resource as it is. */
  async #obstacle(resource: JobKeyMigration, signal: AbortSignal): Promise<Verdict | undefined> {
    const { ms } = this.#deps.skew
    if (Math.abs(ms) > MAX_SKEW_MS) return verdict('stalled', 'ClockSkew', skewText(ms, 'the API server'))
    const outdated = await this.#crdObstacle(signal, false)
    if (outdated !== undefined) return outdated
    const spec = SpecSchema.safeParse(resource.spec)
    if (!spec.success) {
      const issues = spec.error.issues.map(({ path, message }) => `spec.${path.map(String).join('.')}: ${message}`)
      return verdict('stalled', 'InvalidSpec', issues.slice(0, 5).join('; '))
    }
    const fault = specFault(spec.data, resource.metadata.namespace)
    return fault === undefined ? undefined : verdict('stalled', 'InvalidSpec', fault)
  }

  async #crdObstacle(signal: AbortSignal, fresh: boolean): Promise<Verdict | undefined> {
    const crd = await this.#deps.crd.read(signal, fresh)
    return crd.state === 'outdated' ? outdatedVerdict(crd.missing) : undefined
  }

  async #pass(key: string, resource: JobKeyMigration, signal: AbortSignal): Promise<ReconcileResult> {
    const { gather, metrics } = this.#deps
    const refusedBefore = this.#refused.get(key)
    let observations = await gather(resource, false, signal)
    let decision = this.#decide(resource, observations, refusedBefore)
    if (decision.wantsLive) {
      // A limit of the spec that the API server drops since the last look would be taken for its default.
      const outdated = await this.#crdObstacle(signal, true)
      if (outdated !== undefined) return this.#stall(resource, outdated, signal)
      observations = await gather(resource, true, signal)
      decision = this.#decide(resource, observations, refusedBefore)
    }
    const { guard, actions } = decision
    const act = (on: JobKeyMigration, some: readonly Action[]): Promise<Refused | undefined> =>
      this.#act({ resource: on, status: decision.status, cluster: observations.cluster, signal }, some)
    const held = guard === undefined ? undefined : await act(resource, [guard])
    if (held !== undefined) return this.#refuse(key, held, decision)
    const written = await this.#write(resource, decision.status, signal)
    if (written === 'conflict') return { requeueAfterMs: 1 }
    if (written === 'stripped') {
      this.#stripped.set(key, this.#deps.clock.monotonic() + LONGEST_REQUEUE_MS)
      return { requeueAfterMs: CRD_REQUEUE_MS }
    }
    for (const note of decision.events) this.#note(written, note)
    metrics.show(key, { status: decision.status, observations })
    const refused = await act(written, actions)
    if (refused !== undefined) return this.#refuse(key, refused, decision)
    // What stood in status has gone through: the next pass takes it out.
    if (this.#refused.delete(key)) return { requeueAfterMs: 1 }
    return { requeueAfterMs: Math.max(1, Math.min(decision.requeueAfterMs, LONGEST_REQUEUE_MS)) }
  }

  #refuse(key: string, refused: Refused, { requeueAfterMs }: Decision): ReconcileResult {
    this.#deps.log.warn('action not done', { resource: key, ...refused })
    return { requeueAfterMs: Math.min(this.#noteRefused(key, refused), requeueAfterMs) }
  }

  /** Keeps in mind what is to stand in status. Returns when to try again, ms. */
  #noteRefused(key: string, { action, reason, message }: Refused): number {
    if (reason === 'Conflict' || reason === 'LeaseLost' || reason === 'FailedOver') return REFUSED_REQUEUE_MS
    const before = this.#refused.get(key)
    const times = before?.action === action ? before.times + 1 : 1
    this.#refused.set(key, { action, reason, message, times })
    return Math.min(MOST_REFUSED_REQUEUE_MS, REFUSED_REQUEUE_MS * 2 ** (times - 1))
  }

  #decide(resource: JobKeyMigration, seen: Observations, refused: RefusedAction | undefined): Decision {
    const observations = refused === undefined ? seen : { ...seen, refused }
    return this.#deps.decide(resource, observations, this.#deps.clock.now())
  }

  async #act(context: ActionContext, actions: readonly Action[]): Promise<Refused | undefined> {
    const { resource, status } = context
    for (const action of actions) {
      if (!this.#deps.leads())
        return { action: action.type, reason: 'LeaseLost', message: 'the lease is not ours any more' }
      const result = await this.#deps.execute(context, action)
      if (!result.ok) return { action: action.type, reason: result.reason, message: result.message }
      const resourceName = `${resource.metadata.namespace}/${resource.metadata.name}`
      this.#deps.log.info('action done', { resource: resourceName, action: action.type, epoch: status.epoch })
    }
    return undefined
  }

  /** The resource as stored with the status; the same object where nothing differs. */
  async #write(
    resource: JobKeyMigration,
    status: Status,
    signal: AbortSignal,
  ): Promise<JobKeyMigration | 'conflict' | 'stripped'> {
    const wanted = JSON.parse(JSON.stringify(status)) as Status
    const patch = mergePatchBetween(resource.status ?? {}, wanted)
    if (patch === undefined) return resource
    if (!this.#deps.leads()) return 'conflict'
    const { resourceVersion } = resource.metadata
    const options = { fieldManager: FIELD_MANAGER, signal }
    const { client } = this.#deps
    try {
      const stored = (await client.patchStatus<KubeObject>(
        MIGRATIONS,
        resource.metadata,
        patch,
        resourceVersion,
        options,
      )) as JobKeyMigration
      // A field that the API server dropped is one that the operator would forget, an epoch perhaps.
      if (sameJson(stored.status ?? {}, wanted)) return parsed(stored)
      const lost = Object.keys(wanted).filter((field) => {
        const name = field as keyof Status
        return !sameJson(stored.status?.[name], wanted[name])
      })
      await this.#stall(stored, outdatedVerdict(lost.map((field) => `status.${field}`)), signal)
      return 'stripped'
    } catch (error) {
      if (isConflict(error)) return 'conflict'
      throw error
    }
  }

  async #stall(resource: JobKeyMigration, held: Verdict, signal: AbortSignal): Promise<ReconcileResult> {
    const { reason, message } = held
    const later = { requeueAfterMs: CRD_REQUEUE_MS }
    const { client, clock, metrics, log } = this.#deps
    const { namespace, name, resourceVersion } = resource.metadata
    const status = heldStatus(resource, held, clock.now())
    metrics.show(`${namespace}/${name}`, { status })
    const patch = mergePatchBetween(resource.status ?? {}, status)
    if (patch === undefined || !this.#deps.leads()) return later
    try {
      await client.patchStatus(MIGRATIONS, resource.metadata, patch, resourceVersion, {
        fieldManager: FIELD_MANAGER,
        signal,
      })
    } catch (error) {
      if (!isConflict(error)) throw error
      return later
    }
    log.warn('stalled', { resource: `${namespace}/${name}`, reason, reasonMessage: message })
    this.#note(resource, { type: 'Warning', reason, message })
    return later
  }

  #note(resource: JobKeyMigration, { type, reason, message }: EventNote): void {
    const { namespace, name } = resource.metadata
    this.#deps.events.record(resource, type, reason, message)
    this.#deps.log.info('event', { resource: `${namespace}/${name}`, eventType: type, reason, note: message })
  }
}

function outdatedVerdict(missing: readonly string[]): Verdict {
  return verdict('stalled', 'CRDOutdated', outdatedMessage(missing))
}

type Refused = Omit<RefusedAction, 'reason'> & { readonly reason: Refusal }

/** The resource with the defaults of its spec filled in; the spec has been proven before. */
function parsed(resource: JobKeyMigration): JobKeyMigration {
  return { ...resource, spec: SpecSchema.parse(resource.spec) }
}

/** What of a spec cannot be used although the schema lets it pass, in one line that says what to write. */
function specFault(spec: Spec, namespace: string): string | undefined {
  const parts: readonly (readonly [field: string, read: () => unknown])[] = [
    ['spec.keys', () => keysOf(spec)],
    ['spec.redis', () => resolveRedis(spec.redis, namespace)],
    [
      'spec.slo.prometheus.address',
      () => spec.slo.prometheus && resolvePrometheus(spec.slo.prometheus.address, namespace),
    ],
    ['spec.worker.maxRedisLatency', () => mustBeLonger(durationMs(spec.worker.maxRedisLatency))],
    ['spec.slo.checks', () => (spec.slo.checks ?? []).forEach(mustBePassable)],
  ]
  for (const [field, read] of parts) {
    try {
      read()
    } catch (error) {
      return `${field}: ${(error as Error).message}`
    }
  }
  return undefined
}

function mustBeLonger(ms: number): void {
  if (ms <= 0) throw new Error('no batch can be done in no time: write the longest that others may wait, such as 5ms')
}

function mustBePassable({ name, min, max }: CheckSpec): void {
  if (min !== undefined && max !== undefined && min > max)
    throw new Error(`no value passes ${name}, whose min is above its max: swap them`)
}
