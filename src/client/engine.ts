import { performance } from 'node:perf_hooks'
import type { CallOptions, Connection } from '../redis/connection.ts'
import { KeyshiftError, NotReady, Refused, StaleEpoch, UnknownOutcome } from '../redis/errors.ts'
import { spareMs } from '../redis/line.ts'
import { text, type Answer } from '../redis/scripts.ts'
import { InvalidId } from './errors.ts'
import type { Inflight } from './inflight.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Readiness } from './readiness.ts'
import type { Routing } from './routing.ts'
import { checkDeadline } from './steps.ts'
import { traceOf, type Past, type Trace } from './trace.ts'
import type { ClientOptions, OperationOptions } from './types.ts'

/** Refusals that pass when the connection finds the primary again, or the server is less busy. */
export const PASSING: ReadonlySet<string> = new Set(['READONLY', 'LOADING', 'MASTERDOWN', 'BUSY', 'NOAUTH'])
const MAX_PAUSE_MS = 500

export interface Operation {
  readonly name: string
  /** For the metrics; undefined where it is not known. */
  readonly workspaceId: string | undefined
  /** Reads may be repeated after `UnknownOutcome`, end at once on abort, and end no other call with their deadline. */
  readonly read: boolean
  /** A write whose answer Redis keeps under an operation id: a repeat gets that answer, so it is repeated as reads are. */
  readonly remembered?: boolean
  /** Sends the one script of this operation, as `routing` has it. */
  readonly send: (routing: Routing, connection: Connection, options: CallOptions) => Promise<Answer>
}

/**
 * Runs operations: each try is one script under one routing. What was surely not done is tried again until the deadline:
 * no connection, a stale epoch (after reading the routing file again), a server that refuses for the moment. What may have
 * been done is tried again where that is safe: reads, and writes with an operation id.
 */
export class Engine {
  readonly #connection: Connection
  readonly #readiness: Readiness
  readonly #inflight: Inflight
  readonly #metrics: Metrics
  readonly #readRouting: () => Promise<void>
  readonly #deadlineMs: number
  readonly #trace: Trace

  constructor(parts: {
    readonly connection: Connection
    readonly readiness: Readiness
    readonly inflight: Inflight
    readonly metrics: Metrics
    /** Reads the routing directory again. */
    readonly readRouting: () => Promise<void>
    readonly deadlineMs: number
    readonly trace?: ClientOptions['trace']
    readonly log: Log
  }) {
    this.#connection = parts.connection
    this.#readiness = parts.readiness
    this.#inflight = parts.inflight
    this.#metrics = parts.metrics
    this.#readRouting = parts.readRouting
    this.#deadlineMs = parts.deadlineMs
    this.#trace = traceOf(parts.trace, parts.log)
  }

  get metrics(): Metrics {
    return this.#metrics
  }

  /** The answer with the routing it was made under. Statuses of the fence and of rights never come back: they throw. */
  async run(op: Operation, options: OperationOptions = {}): Promise<{ answer: Answer; routing: Routing }> {
    const started = performance.now()
    const { deadlineMs = this.#deadlineMs, signal } = options
    checkDeadline(deadlineMs)
    const past: Past = { tries: 0, epoch: this.#readiness.current?.epoch ?? 0 }
    const ended = this.#trace(op)
    try {
      const done = await this.#untilDeadline(op, started + deadlineMs, deadlineMs, signal, past)
      ended(past, done.answer.status)
      return done
    } catch (error) {
      ended(past, undefined, error)
      if (error instanceof InvalidId) this.#metrics.invalidId(this.#readiness.current?.name ?? '', op.name)
      if (isFailure(error) && op.workspaceId !== undefined) this.#metrics.job(op.workspaceId, 'failed')
      throw error
    } finally {
      if (op.workspaceId !== undefined) this.#metrics.latency(op.workspaceId, (performance.now() - started) / 1000)
    }
  }

  async #untilDeadline(op: Operation, end: number, deadlineMs: number, signal: AbortSignal | undefined, past: Past) {
    try {
      const done = await this.#tries(op, end, deadlineMs, signal, past)
      // What stands in the way of this try may not have stood in that of the one before, which may still come.
      if (past.unknown !== undefined && done.answer.status !== 'OK') throw past.unknown
      return done
    } catch (error) {
      // However a later try of a write ended, the one before may have been done.
      throw past.unknown ?? error
    }
  }

  async #tries(op: Operation, end: number, deadlineMs: number, signal: AbortSignal | undefined, past: Past) {
    let pauseMs = 20
    const spare = op.read ? 0 : spareMs(deadlineMs)
    for (;;) {
      aborted(signal)
      const routing = await this.#readiness.routing(end, signal)
      const left = end - performance.now()
      if (left <= spare) throw new NotReady(`nothing was sent within ${deadlineMs} ms`)
      // Followed while this waited its turn: a member that has told of the newer epoch begins nothing under the older one.
      if (this.#readiness.current !== routing || this.#readiness.blocked !== undefined) continue
      past.tries += 1
      past.epoch = routing.epoch
      let error: KeyshiftError
      try {
        const answer = await this.#attempt(op, routing, { deadlineMs: left, spareMs: spare, read: op.read }, signal)
        if (answer.status === 'NOPERM')
          throw new Refused('NOPERM', `the Redis user of this client lacks the right to run ${text(answer.rest[0])}`)
        if (answer.status !== 'STALE_EPOCH' && answer.status !== 'NO_FENCE') return { answer, routing }
        this.#metrics.staleEpoch(routing.name)
        error =
          answer.status === 'STALE_EPOCH'
            ? new StaleEpoch(routing.epoch, Number(answer.rest[0]))
            : new NotReady(
                `Redis holds no fence for epoch ${routing.epoch}: it lost it, and the operator will set it again`,
              )
        await this.#readRouting()
        // The newer document was there: no reason to wait.
        if (this.#readiness.current !== routing) continue
      } catch (thrown) {
        if (!(thrown instanceof KeyshiftError) || !repeatable(thrown, op)) throw thrown
        error = thrown
        if (thrown instanceof UnknownOutcome && !op.read) past.unknown = thrown
      }
      if (performance.now() + pauseMs + spare >= end) throw error
      await pause(pauseMs * (0.5 + Math.random() / 2), signal)
      pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)
    }
  }

  // In flight until its script has settled, also where the caller has turned away.
  #attempt(op: Operation, routing: Routing, options: CallOptions, signal: AbortSignal | undefined): Promise<Answer> {
    const done = this.#inflight.begin(routing.epoch)
    this.#metrics.operation(routing.name, op.name)
    const sent = (async () => op.send(routing, this.#connection, options))().finally(done)
    return op.read && signal !== undefined ? orAborted(sent, signal) : sent
  }
}

function repeatable(error: KeyshiftError, op: Operation): boolean {
  if (error instanceof NotReady) return true
  if (error instanceof Refused) return isPassing(error)
  return error instanceof UnknownOutcome && (op.read || op.remembered === true)
}

/** Redis refuses for the moment, before it does anything: it is asked again. */
export const isPassing = (error: unknown): boolean => error instanceof Refused && PASSING.has(error.redisCode)

// What went wrong on our side of the call, as against what the caller asked for.
function isFailure(error: unknown): boolean {
  return (
    error instanceof NotReady ||
    error instanceof Refused ||
    error instanceof StaleEpoch ||
    error instanceof UnknownOutcome
  )
}

function aborted(signal: AbortSignal | undefined): void {
  signal?.throwIfAborted()
}

/** Waits `ms`, or rejects with the signal's reason. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort, { once: true })
  })
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: (() => void) | undefined
  const stopped = new Promise<never>((_, reject) => {
    abort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
  })
  work.catch(() => undefined)
  try {
    return await Promise.race([work, stopped])
  } finally {
    if (abort !== undefined) signal.removeEventListener('abort', abort)
  }
}
