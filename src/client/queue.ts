import { isUtf8 } from 'node:buffer'
import { performance } from 'node:perf_hooks'
import { readQueueEntry } from '../protocol/queue-entry.ts'
import { legacyKey, targetKey } from '../protocol/templates.ts'
import * as scripts from '../redis/scripts.ts'
import { text, type EntryCall } from '../redis/scripts.ts'
import { jobCall, noteIds, notAList, type Context, type JobHead } from './context.ts'
import { checkQueue, millis } from './arguments.ts'
import { pause } from './engine.ts'
import { InvalidArgument, LeaseLost } from './errors.ts'
import { getJob } from './jobs.ts'
import { CALL, DEQUEUE, optionsOf, READ } from './option-names.ts'
import type { Routing } from './routing.ts'
import { stepsOf } from './steps.ts'
import type { Delivery, DequeueOptions, Encoding, Job, OperationOptions, Queue } from './types.ts'
import { decode } from './value.ts'

const LEASE_MS = 60_000
const POLL_MIN_MS = 20
const POLL_MAX_MS = 500
const REAP_PAGE = 100

interface Held {
  /** Bytes: a foreign producer's entry may be no text. */
  readonly entry: Buffer
  leaseEnd: string
}

/** One queue key: see Queue. Waiting is polling; nothing waits in flight. */
export class QueueConsumer<E extends Encoding> implements Queue<E> {
  readonly key: string
  readonly #context: Context
  readonly #encoding: E
  readonly #held = new WeakMap<Delivery<E>, Held>()
  #reapAt = 0

  constructor(context: Context, encoding: E, key: string) {
    this.key = checkQueue(key)
    this.#context = context
    this.#encoding = encoding
  }

  async dequeue(given?: DequeueOptions): Promise<Delivery<E> | undefined> {
    const options = optionsOf('dequeue', DEQUEUE, given)
    const { waitMs = 0, leaseMs = LEASE_MS, signal } = options
    checkLease(leaseMs)
    if (!(waitMs >= 0)) throw new InvalidArgument('waitMs must be a number of milliseconds that is not negative')
    const end = performance.now() + waitMs
    // However many entries of jobs that are gone come first.
    const steps = stepsOf(options, this.#context.deadlineMs, waitMs)
    let pollMs = POLL_MIN_MS
    for (;;) {
      if (performance.now() >= this.#reapAt) {
        this.#reapAt = performance.now() + Math.min(leaseMs / 2, 10_000)
        await this.#reap({ ...steps.next(), leaseMs })
      }
      const moved = await this.#move(leaseMs, steps.next())
      if (moved === undefined) {
        const left = end - performance.now()
        if (left <= 0) return undefined
        await pause(Math.min(left, pollMs * (0.5 + Math.random() / 2)), signal)
        pollMs = Math.min(POLL_MAX_MS, pollMs * 2)
        continue
      }
      const delivery = await this.#resolve(moved, leaseMs, steps.next())
      // What is taken must be looked at, too.
      if (delivery !== undefined || steps.isOver(2)) return delivery
    }
  }

  async ack(
    delivery: Delivery<E>,
    given?: OperationOptions & { readonly failed?: boolean | undefined },
  ): Promise<void> {
    const options = optionsOf('ack', { ...CALL, failed: true }, given)
    const held = this.#heldBy(delivery)
    const { answer } = await this.#run('ack', delivery.workspaceId, options, (routing, c, o) =>
      scripts.ackEntry(c, this.#heldCall(routing, held), o),
    )
    if (answer.status === 'LEASE_LOST') throw new LeaseLost(delivery.jobId)
    if (delivery.workspaceId !== undefined)
      this.#context.metrics.job(delivery.workspaceId, options.failed === true ? 'failed' : 'completed')
  }

  async nack(delivery: Delivery<E>, given?: OperationOptions): Promise<void> {
    const options = optionsOf('nack', CALL, given)
    const held = this.#heldBy(delivery)
    const { answer, routing } = await this.#run('nack', delivery.workspaceId, options, async (routing, c, o) =>
      scripts.returnEntry(c, this.#entryCall(routing, held), 'nack', o),
    )
    if (answer.status === 'LEASE_LOST') throw new LeaseLost(delivery.jobId)
    this.#notAList(answer)
    this.#countRemoved(routing, answer.status)
    if (answer.status === 'OK' && delivery.workspaceId !== undefined)
      this.#context.metrics.job(delivery.workspaceId, 'returned')
  }

  async reap(options?: OperationOptions & { readonly leaseMs?: number | undefined }): Promise<number> {
    return this.#reap(optionsOf('reap', { ...CALL, leaseMs: true }, options))
  }

  async #reap(options: OperationOptions & { readonly leaseMs?: number | undefined }): Promise<number> {
    const { leaseMs = LEASE_MS } = options
    checkLease(leaseMs)
    const steps = stepsOf(options, this.#context.deadlineMs)
    let returned = 0
    for (;;) {
      const { answer } = await this.#run('reap', undefined, steps.next(), (routing, c, o) =>
        scripts.expiredEntries(
          c,
          { keys: routing.keys, epoch: routing.epoch, queue: this.key, leaseMs, limit: REAP_PAGE },
          { ...o, buffers: true },
        ),
      )
      const list = answer.rest
      let handled = 0
      for (let i = 0; i < list.length && !steps.isOver(); i += 2) {
        const held: Held = { entry: list[i] as Buffer, leaseEnd: text(list[i + 1]) }
        const { answer: back, routing } = await this.#run('reap', undefined, steps.next(), async (routing, c, o) =>
          scripts.returnEntry(c, this.#entryCall(routing, held), 'reap', o),
        )
        this.#notAList(back)
        if (back.status === 'OK') returned += 1
        if (back.status !== 'LEASE_LOST') handled += 1
        this.#countRemoved(routing, back.status)
      }
      // A page of which nothing could be handled would come again.
      if (list.length < 2 * REAP_PAGE || handled === 0 || steps.isOver()) return returned
    }
  }

  async #move(leaseMs: number, options: OperationOptions): Promise<Held | undefined> {
    const { answer } = await this.#run('dequeue', undefined, options, (routing, c, o) =>
      scripts.moveEntry(
        c,
        { keys: routing.keys, epoch: routing.epoch, queue: this.key, leaseMs },
        { ...o, buffers: true },
      ),
    )
    this.#notAList(answer)
    if (answer.status === 'EMPTY') return undefined
    return { entry: answer.rest[0] as Buffer, leaseEnd: text(answer.rest[1]) }
  }

  async #resolve(held: Held, leaseMs: number, options: OperationOptions): Promise<Delivery<E> | undefined> {
    const { answer, routing } = await this.#run('dequeue', undefined, options, async (routing, c, o) =>
      scripts.resolveEntry(c, this.#entryCall(routing, held), o),
    )
    this.#countRemoved(routing, answer.status)
    if (answer.status !== 'OK') return undefined
    const [workspaceId, jobId] = [text(answer.rest[0]), text(answer.rest[1])]
    noteIds(this.#context, routing, workspaceId === '' ? jobId : workspaceId, jobId)
    return this.#delivery(held, workspaceId === '' ? undefined : workspaceId, jobId, leaseMs)
  }

  #delivery(held: Held, workspaceId: string | undefined, jobId: string, leaseMs: number): Delivery<E> {
    const delivery: Delivery<E> = {
      jobId,
      workspaceId,
      get leaseEnd() {
        return Number(held.leaseEnd)
      },
      read: async (given) => {
        const options = optionsOf('read', READ, given)
        const job = await (workspaceId === undefined
          ? getJob(this.#context, this.#encoding, '', jobId, options, unscopedCall)
          : getJob(this.#context, this.#encoding, workspaceId, jobId, options))
        return job && (decode(this.#context.codec, job) as Job<E>)
      },
      ack: (options) => this.ack(delivery, options),
      nack: (options) => this.nack(delivery, options),
      extend: async (ms = leaseMs, options) => this.#extend(held, delivery, ms, optionsOf('extend', CALL, options)),
    }
    this.#held.set(delivery, held)
    return delivery
  }

  async #extend(held: Held, delivery: Delivery<E>, leaseMs: number, options: OperationOptions): Promise<void> {
    checkLease(leaseMs)
    const { answer } = await this.#run('extend', delivery.workspaceId, options, (routing, c, o) =>
      scripts.extendEntry(c, { ...this.#heldCall(routing, held), leaseMs }, o),
    )
    if (answer.status === 'LEASE_LOST') throw new LeaseLost(delivery.jobId)
    held.leaseEnd = text(answer.rest[0])
  }

  #run(
    name: string,
    workspaceId: string | undefined,
    options: OperationOptions,
    script: (
      routing: Routing,
      c: Context['connection'],
      o: Parameters<typeof scripts.moveEntry>[2],
    ) => Promise<scripts.Answer>,
  ) {
    return this.#context.engine.run({ name, workspaceId, read: false, send: script }, options)
  }

  #heldBy(delivery: Delivery<E>): Held {
    const held = this.#held.get(delivery)
    if (held === undefined) throw new InvalidArgument('this delivery came from another queue object')
    return held
  }

  #heldCall(routing: Routing, held: Held) {
    const { entry, leaseEnd } = held
    return { keys: routing.keys, epoch: routing.epoch, queue: this.key, entry, leaseEnd }
  }

  #entryCall(routing: Routing, held: Held): EntryCall {
    const t = routing.templates
    const entry = isUtf8(held.entry) ? held.entry.toString('utf8') : undefined
    const read = entry === undefined ? ({ form: 'malformed' } as const) : readQueueEntry(t, entry)
    const pair = read.form === 'pair' ? read : undefined
    const jobId = read.form === 'malformed' ? '' : read.jobId
    // In phases 0-1 an entry with the delimiter in it may also be a job id of the old kind.
    const whole = read.form !== 'job' && routing.phaseIndex <= 1 && entry !== undefined && entry !== ''
    return {
      ...this.#heldCall(routing, held),
      phase: routing.phaseIndex,
      workspaceField: this.#context.workspaceField,
      forbidden: t.forbidden,
      delimiter: t.forbidden,
      order: pair === undefined ? (routing.phaseIndex <= 1 ? 'L' : 'LT') : routing.order(pair.workspaceId, jobId),
      // Before any epoch made target keys nobody writes pairs: the job whose id is the whole entry comes first.
      form: pair !== undefined && routing.phase === 'Legacy' && !routing.targets ? 'id or pair' : read.form,
      workspaceId: pair?.workspaceId ?? '',
      jobId,
      legacyKey: read.form === 'malformed' ? undefined : legacyKey(t, jobId),
      targetKey: pair === undefined ? undefined : targetKey(t, pair.workspaceId, jobId),
      wholeKey: whole ? legacyKey(t, entry) : undefined,
    }
  }

  #countRemoved(routing: Routing, status: string): void {
    if (status === 'GONE') this.#context.metrics.removed(routing.name, 'gone')
    if (status === 'MALFORMED') this.#context.metrics.removed(routing.name, 'malformed')
  }

  #notAList({ status, rest }: scripts.Answer): void {
    if (status === 'QUEUE') throw notAList(this.key, text(rest[0]))
  }
}

function checkLease(leaseMs: number): void {
  millis('leaseMs', leaseMs, LEASE_MS, 2 ** 52)
}

// Epochs 0 and 1: a value without a usable workspace is read by its job id, whoever asks.
function unscopedCall(context: Context, routing: Routing, _workspaceId: string, jobId: string): JobHead {
  const key = legacyKey(context.templates, jobId)
  const base = jobCall(context, routing, jobId, jobId)
  return { ...base, workspaceId: '', legacyKey: key, targetKey: key, order: 'L', names: 'parted' }
}
