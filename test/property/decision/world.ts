import { keptOf } from '../../../src/api/kept.ts'
import type { JobKeyMigration } from '../../../src/api/resource.ts'
import { durationMs } from '../../../src/api/resource.ts'
import type { Spec } from '../../../src/api/schema.ts'
import { StatusSchema, type Status } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { checksOf } from '../../../src/decision/presets.ts'
import type { Action, Decision, Observations, Outcome, SoakWindow } from '../../../src/decision/types.ts'
import { parseDocument, type RoutingDocument } from '../../../src/protocol/document.ts'
import { phaseIndex } from '../../../src/protocol/phases.ts'
import type { WorkResult } from '../../../src/protocol/work.ts'
import {
  BACKFILL_OK,
  CLUSTER,
  PREFLIGHT_OK,
  resourceOf,
  repairResult,
  verifyResult,
} from '../../unit/decision/builders.ts'

/** A client process: what it runs, how slowly it follows, whether it breathes. */
export interface SimClient {
  readonly name: string
  running: RoutingDocument | undefined
  /** ms between a document in the ConfigMap and its use. */
  lagMs: number
  seenAt: number
  /** False: no lease. */
  alive: boolean
}

export interface SimJob {
  readonly action: Extract<Action, { type: 'CreateJob' }>
  readonly createdAt: number
  suspended: boolean
  epoch: number
  lineage: string
}

export interface Transition {
  readonly from: RoutingDocument | undefined
  readonly to: RoutingDocument
  readonly clients: readonly (RoutingDocument | undefined)[]
  readonly fence: number
  readonly abort: boolean
}

/** A small world around `decide`: one Redis, one ConfigMap, clients that follow it, workers that end, checks that speak. */
export class World {
  now = Date.UTC(2026, 0, 1)
  status: Status | undefined
  annotations: Record<string, string> = {}
  generation = 1
  spec: Spec
  fence = 0
  record: NonNullable<Extract<Observations['redis'], { known: true }>['value']['record']> | undefined
  configMap: string | undefined
  backfilled = false
  fallbackReads = 0
  lineage = 'replid-1'
  redisUp = true
  checks: Outcome = 'Pass'
  workMs = 4000
  workFails = false
  unaware = false
  clients: SimClient[] = []
  jobs: SimJob[] = []
  failedJobs = new Set<string>()
  transitions: Transition[] = []
  /** Status and record as they were before each publication. */
  past: { readonly status: Status | undefined; readonly record: World['record'] }[] = []
  decisions: Decision[] = []
  /** Status after each pass. */
  copies: Status[] = []

  constructor(spec: Spec, clients = 2) {
    this.spec = spec
    for (let i = 0; i < clients; i += 1)
      this.clients.push({ name: `c${i}`, running: undefined, lagMs: 1000, seenAt: 0, alive: true })
  }

  edit(spec: Spec): void {
    this.spec = spec
    this.generation += 1
  }

  get resource(): JobKeyMigration {
    const { status, generation, annotations } = this
    return resourceOf(this.spec, status, { generation, annotations })
  }

  get document(): RoutingDocument | undefined {
    return this.configMap === undefined ? undefined : parseDocument(this.configMap)
  }

  /** One pass of the operator, then `ms` of the world's life. */
  tick(ms = 2000): Decision {
    let decision = decide(this.resource, this.observe(false), this.now)
    if (decision.wantsLive) decision = decide(this.resource, this.observe(true), this.now)
    StatusSchema.parse(decision.status)
    if (decision.guard !== undefined) this.act(decision.guard)
    if (decision.status.epoch !== this.status?.epoch) this.past.push({ status: this.status, record: this.record })
    this.status = decision.status
    this.copies.push(decision.status)
    this.decisions.push(decision)
    for (const action of decision.actions) this.act(action)
    this.live(ms)
    return decision
  }

  run(ticks: number, until: (world: World) => boolean = () => false, ms = 2000): number {
    for (let i = 0; i < ticks; i += 1) {
      this.tick(ms)
      if (until(this)) return i + 1
    }
    return ticks
  }

  private live(ms: number): void {
    this.now += ms
    const doc = this.document
    for (const client of this.clients) {
      if (doc === undefined || (client.running !== undefined && client.running.epoch >= doc.epoch)) continue
      if (client.seenAt < doc.epoch) client.seenAt = doc.epoch
      client.lagMs -= ms
      if (client.lagMs <= 0) client.running = doc
    }
  }

  /** Sets how long each client takes to follow the next document. */
  lag(msOf: (client: SimClient, i: number) => number): void {
    this.clients.forEach((client, i) => {
      client.lagMs = msOf(client, i)
    })
  }

  /** Redis fails over: the replica may lack the last record and fence. */
  failOver(loses: { record?: World['record']; fence?: number } = {}): void {
    this.lineage = `replid-${this.now}`
    if ('record' in loses) this.record = loses.record
    if (loses.fence !== undefined) this.fence = Math.min(this.fence, loses.fence)
  }

  /** A backup brings back the status of some publications ago, or none. */
  restoreStatus(back: number): void {
    if (this.past.length > 0) this.status = this.past.at(-back)?.status
  }

  /** Somebody writes back the status of some passes ago. */
  setBackStatus(passes: number): void {
    if (this.copies.length > 0) this.status = this.copies.at(-passes)
  }

  /** All is well from now on, and a person has answered. */
  heal(): void {
    this.checks = 'Pass'
    this.redisUp = true
    this.workFails = false
    this.unaware = false
    this.lag(() => 500)
    for (const client of this.clients) client.alive = true
    this.annotations = { 'keyshift.dev/retry': `healed ${this.now}` }
  }

  /** A person reads the message and does what it says, where it says something. */
  answer(): void {
    const message = this.status?.awaits ?? ''
    const offered = /adopt-epoch: "([0-9]+)"/.exec(message)?.[1]
    if (offered !== undefined) this.annotations = { ...this.annotations, 'keyshift.dev/adopt-epoch': offered }
    if (message.includes('keyshift.dev/retry'))
      this.annotations = { ...this.annotations, 'keyshift.dev/retry': `answered ${this.now}` }
  }

  observe(live: boolean): Observations {
    const pods = [
      ...this.clients.map(({ name }) => ({
        name,
        uid: `uid-${name}`,
        workload: 'Deployment/api',
        template: 't1',
        image: 'api:2',
        phase: 'Running' as const,
        deleting: false,
        startedAt: Date.UTC(2025, 11, 31),
      })),
      ...(this.unaware
        ? [
            {
              name: 'stranger',
              uid: 'uid-stranger',
              workload: 'Deployment/api',
              template: 't0',
              image: 'api:1',
              phase: 'Running' as const,
              deleting: false,
              startedAt: Date.UTC(2025, 11, 31),
            },
          ]
        : []),
    ]
    const configMap = { exists: this.configMap !== undefined, immutable: false }
    return {
      cluster: CLUSTER,
      redis: this.redisUp
        ? {
            known: true,
            value: {
              now: this.now,
              runId: 'run-1',
              lineage: this.lineage,
              ...(this.fence === 0 ? {} : { fence: this.fence }),
              ...(this.record === undefined ? {} : { record: this.record }),
              members: this.clients.map((client) => ({
                id: client.name,
                record: { podUid: `uid-${client.name}`, podName: client.name, version: '1', registeredAt: 0 },
                ...(client.alive
                  ? { lease: { epoch: client.running?.epoch ?? 0, hash: client.running?.hash ?? '' } }
                  : {}),
              })),
              backfilled: this.backfilled,
              fallbackReads: this.fallbackReads,
              illegalIds: { count: 0 },
              writers: { known: true, value: [] },
              rightsMissing: [],
            },
          }
        : { known: false, reason: 'RedisUnreachable', message: 'connection refused' },
      configMap: {
        known: true,
        value: this.configMap === undefined ? configMap : { ...configMap, document: this.configMap },
      },
      pods: { known: true, value: pods },
      live,
      missingWorkloads: { known: true, value: [] },
      jobs: {
        known: true,
        value: this.jobs.map((job) => ({
          name: job.action.work.jobName,
          kind: job.action.work.kind,
          attempt: job.action.attempt,
          state: this.isOver(job) ? (this.failedJobs.has(job.action.work.jobName) ? 'Failed' : 'Succeeded') : 'Active',
          suspended: job.suspended,
        })),
      },
      work: this.jobs
        .filter((job) => !this.failedJobs.has(job.action.work.jobName))
        .map((job) => ({
          jobName: job.action.work.jobName,
          run: job.action.work.run,
          kind: job.action.work.kind,
          state: this.isOver(job) ? ('done' as const) : ('running' as const),
          done: 5,
          total: 10,
          rate: 1,
          pass: 1,
          lineage: job.lineage === this.lineage ? job.lineage : '',
          epoch: job.epoch,
          ...(this.isOver(job) ? { result: this.resultOf(job) } : {}),
        })),
      windows: this.windows(),
      rivals: [],
      latest: checksOf(this.spec, 'ai-jobs').map(({ name }) => this.measured(name)),
    }
  }

  private isOver(job: SimJob): boolean {
    return !job.suspended && this.now >= job.createdAt + this.workMs
  }

  private resultOf({ action }: SimJob): WorkResult {
    const { kind, direction } = action.work
    if (kind === 'preflight') return PREFLIGHT_OK
    if (kind === 'backfill') return BACKFILL_OK
    if (kind === 'purge') return { kind: 'purge', deleted: 1 }
    if (kind === 'repair') return repairResult({ direction: direction ?? 'Both' })
    return verifyResult({ direction: direction ?? 'Both' })
  }

  private measured(check: string) {
    return { check, outcome: this.checks, worst: [], message: '', query: 'q' }
  }

  /** Whole windows since what is counted; the present outcome holds for all of them. */
  private windows(): SoakWindow[] {
    const from = Date.parse(this.status?.soakCountedThrough ?? '')
    const checks = checksOf(this.spec, 'ai-jobs')
    if (Number.isNaN(from) || checks.length === 0) return []
    const soak = this.status?.soakLengthMs ?? Infinity
    const length = Math.max(1000, Math.min(soak, ...checks.map(({ interval }) => durationMs(interval))))
    const count = Math.min(500, Math.floor((this.now - from) / length))
    return Array.from({ length: Math.max(0, count) }, (_, i) => ({
      start: from + i * length,
      end: from + (i + 1) * length,
      measurements: checks.map(({ name }) => this.measured(name)),
    }))
  }

  act(action: Action): void {
    switch (action.type) {
      case 'WriteRecord': {
        const status = this.status ?? {}
        const [epoch, revision] = [action.epoch, status.revision ?? 0]
        const { record } = this
        if (record !== undefined && (record.epoch > epoch || (record.epoch === epoch && record.revision > revision)))
          throw new Error('record must not fall')
        const { hash } = parseDocument(action.document)
        const owner = 'prod/ai-jobs'
        this.record = {
          cluster: CLUSTER,
          owner,
          epoch,
          revision,
          hash,
          document: action.document,
          kept: keptOf(status),
        }
        return
      }
      case 'ApplyConfigMap': {
        const to = parseDocument(action.document)
        const from = this.document
        if (from?.epoch !== to.epoch) {
          this.transitions.push({
            from,
            to,
            clients: this.clients.map(({ running }) => running),
            fence: this.fence,
            abort: this.status?.isAbort === true,
          })
        }
        this.configMap = action.document
        return
      }
      case 'RaiseFence':
        this.fence = Math.max(this.fence, action.epoch)
        this.status = { ...this.status, fence: action.epoch }
        return
      case 'CreateJob':
        if (this.jobs.some((job) => job.action.work.jobName === action.work.jobName)) return
        this.jobs.push({
          action,
          createdAt: this.now,
          suspended: action.suspend,
          epoch: this.record?.epoch ?? 0,
          lineage: this.lineage,
        })
        if (this.workFails) this.failedJobs.add(action.work.jobName)
        return
      case 'SuspendJob':
        for (const job of this.jobs) if (job.action.work.jobName === action.name) job.suspended = action.suspend
        return
      case 'DeleteJob':
        this.jobs = this.jobs.filter((job) => job.action.work.jobName !== action.name)
        return
      case 'MarkBackfilled':
        this.backfilled = action.on
        this.fallbackReads = 0
        return
      case 'PruneMembers':
        return
    }
  }
}

/** Distinct routings, by what they do. */
export function routingOf(doc: RoutingDocument | undefined): string {
  return doc === undefined ? 'Legacy 0 0' : `${doc.phase} ${doc.createTarget} ${doc.readTarget}`
}

/** Two routing states are adjacent within a row at any distance, and where one row's end meets the next one's. */
export function areAdjacent(a: RoutingDocument | undefined, b: RoutingDocument | undefined): boolean {
  const [first, second] = [a, b].sort((x, y) => phaseIndex(x?.phase ?? 'Legacy') - phaseIndex(y?.phase ?? 'Legacy'))
  const distance = phaseIndex(second?.phase ?? 'Legacy') - phaseIndex(first?.phase ?? 'Legacy')
  if (distance === 0) return true
  // ReadRouting creates on both schemas always: from DualWrite it may be entered at 100 % alone.
  return distance === 1 && (second?.phase !== 'ReadRouting' || first?.createTarget === 100)
}
