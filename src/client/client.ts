import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { CONNECTION_NAME } from '../protocol/control-keys.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { parseTemplates, type KeyTemplates } from '../protocol/templates.ts'
import { Connection } from '../redis/connection.ts'
import { Adoption } from './adoption.ts'
import { asArgument, millis } from './arguments.ts'
import { connectionOptions } from './connection-options.ts'
import type { Context } from './context.ts'
import { Engine } from './engine.ts'
import { InvalidArgument } from './errors.ts'
import { Inflight } from './inflight.ts'
import { makeJobStore } from './jobs.ts'
import { safeLog, type Log } from './log.ts'
import { Membership } from './membership.ts'
import { makeMetrics } from './metrics.ts'
import { checkClientOptions, optionsOf } from './option-names.ts'
import { QueueConsumer } from './queue.ts'
import { Readiness } from './readiness.ts'
import { RoutingSource } from './routing-source.ts'
import { Routing } from './routing.ts'
import { checkDeadline } from './steps.ts'
import type { ClientOptions, ClientState, Encoding, KeyshiftClient, Stored } from './types.ts'

const READY_MS = 10_000
/** What is in flight may take up to 3 s of the 5 s. */
const CLOSE_MS = 5000
const DRAIN_MS = 3000
const DEPTH_MS = 5000

/**
 * A job store and queue that follows the routing of a migration. It connects and registers at once; operations wait for
 * that within their deadlines. Without a routing file and without a fence in Redis it works on the legacy keys alone.
 * @throws InvalidArgument for options that cannot be used
 */
export function createKeyshiftClient<E extends Encoding, V = Stored<E>>(
  options: ClientOptions<E, V>,
): KeyshiftClient<E, V> {
  return new Client(options as ClientOptions<E>) as unknown as KeyshiftClient<E, V>
}

class Client<E extends Encoding> {
  readonly #encoding: E
  readonly #templates: KeyTemplates
  readonly #connection: Connection
  readonly #readiness = new Readiness()
  readonly #inflight = new Inflight()
  readonly #membership: Membership
  readonly #source: RoutingSource | undefined
  readonly #adoption: Adoption
  readonly #context: Context
  readonly #memberId = randomUUID()
  readonly #log: Log
  /** Each side tells when its own changes; none may wipe out that of the other. */
  readonly #problems: { file?: string | undefined; adoption?: string | undefined } = {}
  #refused: string | undefined
  #closing: Promise<void> | undefined

  constructor(options: ClientOptions<E>) {
    checkClientOptions(options)
    if (options.encoding !== 'hash' && options.encoding !== 'json')
      throw new InvalidArgument('encoding must be hash or json')
    if (options.encoding === 'hash' && options.codec !== undefined)
      throw new InvalidArgument('a codec is for json: the fields of a hash are texts')
    this.#encoding = options.encoding
    this.#templates = asArgument(() => parseTemplates(options.legacy, options.target))
    const deadlineMs = millis('deadlineMs', options.deadlineMs, 5000)
    const operationTtlMs = millis('operationTtlMs', options.operationTtlMs, 600_000, 2 ** 52)
    const pollMs = millis('pollMs', options.pollMs, 1000)
    this.#log = safeLog(options.log)
    const field = options.workspaceField ?? this.#templates.workspacePlaceholder
    if (typeof field !== 'string' || field === '' || !field.isWellFormed())
      throw new InvalidArgument('workspaceField must be the name of the field that holds the workspace')
    const podUid = options.podUid ?? process.env['POD_UID'] ?? ''
    this.#connection = new Connection({
      ...asArgument(() => connectionOptions(options.redis)),
      name: CONNECTION_NAME.client(this.#memberId),
    })
    this.#readiness.follow(new Routing(this.#templates))
    const metrics = makeMetrics(options.metrics, () => this.#depth())
    metrics.routing('', 0)
    if (options.metrics === undefined)
      this.#log('warn', 'no metrics registry was given: the checks of a migration will find no metrics', {})
    if (options.routingDir !== undefined && podUid === '')
      this.#log('warn', 'POD_UID is not set: the operator cannot match this process to its pod', {})
    if (options.routingDir !== undefined && !existsSync(options.routingDir))
      this.#log('warn', 'routingDir is no directory: is the routing ConfigMap mounted there?', {
        dir: options.routingDir,
      })
    this.#adoption = new Adoption({
      connection: this.#connection,
      follow: (doc) => this.#follow(doc),
      onProblem: (problem) => this.#reportProblem('adoption', problem),
    })
    this.#source =
      options.routingDir === undefined
        ? undefined
        : new RoutingSource({
            dir: options.routingDir,
            pollMs,
            refuse: (doc) => this.#refuse(doc, options, field),
            onDocument: (doc) => this.#adoption.offer(doc),
            onProblem: (problem) => this.#reportProblem('file', problem),
          })
    const engine = new Engine({
      connection: this.#connection,
      readiness: this.#readiness,
      inflight: this.#inflight,
      metrics,
      readRouting: async () => this.#source?.readNow(),
      deadlineMs,
      trace: options.trace,
      log: this.#log,
    })
    this.#membership = new Membership({
      connection: this.#connection,
      inflight: this.#inflight,
      memberId: this.#memberId,
      podUid,
      podName: options.podName ?? process.env['POD_NAME'] ?? '',
      routing: () => this.#routing,
      onRenewed: (fence) => this.#renewed(fence),
      onFailed: (error) => {
        this.#log('warn', 'the lease was not renewed', { error: String(error) })
        if (this.#readiness.blocked?.reason === 'CONNECTING')
          this.#readiness.block('CONNECTING', `not registered in Redis yet: ${(error as Error).message}`)
      },
    })
    this.#context = {
      connection: this.#connection,
      engine,
      metrics,
      templates: this.#templates,
      encoding: this.#encoding,
      codec: options.codec,
      workspaceField: field,
      operationTtlMs,
      deadlineMs,
      illegalId: (id) => this.#membership.illegalId(id),
      tellIllegalId: (id) => this.#membership.tellIllegalId(id),
    }
    void this.#start()
  }

  async ready(options?: { readonly deadlineMs?: number | undefined }): Promise<void> {
    const { deadlineMs = READY_MS } = optionsOf('ready', { deadlineMs: true }, options)
    checkDeadline(deadlineMs)
    const end = performance.now() + deadlineMs
    await this.#readiness.routing(end)
    await this.#connection.ready({ deadlineMs: end - performance.now() })
  }

  state(): ClientState {
    const { blocked } = this.#readiness
    const { state, lastError } = this.#connection
    const connected = state === 'ready' && lastError === undefined
    const lost = lastError?.message ?? 'connecting to Redis'
    const reason = blocked?.reason ?? (connected ? undefined : 'CONNECTING')
    return {
      ready: reason === undefined,
      reason,
      message: reason === 'CONNECTING' && !connected ? lost : this.#blockedMessage(),
      unmanaged: this.#routing.epoch === 0,
      epoch: this.#routing.epoch,
      phase: this.#routing.phase,
      routingProblem: this.#problem,
      memberId: this.#memberId,
    }
  }

  #blockedMessage(): string {
    const { reason, message } = this.#readiness.blocked ?? { reason: undefined, message: '' }
    return reason === 'NO_ROUTING' && this.#problem !== undefined ? `${message}; ${this.#problem}` : message
  }

  forWorkspace(workspaceId: string) {
    this.#context.metrics.workspace(workspaceId)
    return makeJobStore(this.#context, this.#encoding, workspaceId)
  }

  queue(key: string) {
    return new QueueConsumer(this.#context, this.#encoding, key)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get #problem(): string | undefined {
    return this.#problems.file ?? this.#problems.adoption
  }

  get #routing(): Routing {
    return this.#readiness.current ?? new Routing(this.#templates)
  }

  async #start(): Promise<void> {
    // The file first: what is registered is what will be run.
    await this.#source?.start()
    if (this.#closing !== undefined) return
    this.#connection.onReady(() => this.#membership.renew())
    this.#membership.renew()
  }

  async #close(): Promise<void> {
    this.#readiness.block('CLOSED', 'the client was closed')
    this.#source?.close()
    this.#adoption.close()
    const end = performance.now() + CLOSE_MS
    await this.#inflight.idle(DRAIN_MS)
    await this.#membership.close(end - performance.now())
    await this.#connection.close()
  }

  #follow(doc: RoutingDocument): void {
    const first = this.#routing.epoch === 0
    this.#readiness.follow(new Routing(this.#templates, doc))
    this.#context.metrics.routing(doc.name, doc.epoch)
    this.#log('info', 'follows a routing document', { epoch: doc.epoch, phase: doc.phase, step: doc.step })
    // A process that waited for its first document goes on once it is registered with it.
    if (first && this.#readiness.blocked?.reason !== undefined) {
      this.#readiness.block('CONNECTING', 'not registered in Redis yet')
    }
    this.#membership.renew()
  }

  #renewed(fence: number | undefined): void {
    if (this.#routing.epoch > 0) this.#readiness.unblock()
    else if (this.#refused !== undefined) this.#readiness.block('TEMPLATES', this.#refused)
    else if (fence === undefined) this.#readiness.unblock()
    else
      this.#readiness.block(
        'NO_ROUTING',
        `Redis holds a fence (${fence}) but there is no routing document: is the ConfigMap mounted as routingDir?`,
      )
  }

  #refuse(doc: RoutingDocument, options: ClientOptions, field: string): string | undefined {
    const differs = [
      ['legacy', doc.legacy, options.legacy],
      ['target', doc.target, options.target],
      ['workspaceField', doc.workspaceField, field],
    ].find(([, published, own]) => published !== own)
    this.#refused =
      differs === undefined
        ? undefined
        : `the routing document has ${differs[0]} "${differs[1]}", this client was made with "${differs[2]}"`
    return this.#refused
  }

  #reportProblem(of: 'file' | 'adoption', problem: string | undefined): void {
    this.#problems[of] = problem
    this.#context.metrics.routingProblem(this.#routing.name, this.#problem !== undefined)
    if (problem !== undefined) this.#log('error', problem, { epoch: this.#routing.epoch })
  }

  async #depth(): Promise<ReadonlyMap<string, number>> {
    const depth = new Map<string, number>()
    if (this.#connection.state !== 'ready') return depth
    try {
      const key = this.#routing.keys.depth
      const list = (await this.#connection.call(['HGETALL', key], { deadlineMs: DEPTH_MS, read: true })) as string[]
      for (let i = 0; i + 1 < list.length; i += 2) depth.set(list[i] ?? '', Number(list[i + 1]))
    } catch {
      // A scrape is no reason for anything to fail: the gauge shows what it has.
    }
    return depth
  }
}
