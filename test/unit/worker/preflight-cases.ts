import type { WorkSpec } from '../../../src/protocol/work.ts'
import { assessKeyspace, assessServer, type Keyspace, type Verdict } from '../../../src/worker/preflight/assess.ts'
import type { ServerFacts } from '../../../src/worker/preflight/facts.ts'
import type { Rights } from '../../../src/worker/rights.ts'
import type { Info } from '../../../src/worker/server-facts.ts'

export const spec: WorkSpec = {
  jobName: 'p',
  run: 'r',
  kind: 'preflight',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  ignore: [],
  allowEmpty: false,
  onMalformed: 'Block',
  queues: [],
  redis: 'redis://h:1/0',
  maxKeysPerSecond: 1,
  maxRedisLatencyMs: 1,
  assume: {},
}
export const info = (more: Record<string, string | undefined> = {}): Info =>
  new Map(
    Object.entries({
      redis_version: '7.0.15',
      cluster_enabled: '0',
      role: 'master',
      maxmemory: '1000000',
      used_memory: '500000',
      maxmemory_policy: 'noeviction',
      aof_enabled: '1',
      ...more,
    }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
export const facts = (i: Info | undefined, more: Partial<ServerFacts> = {}): ServerFacts => ({
  info: i,
  save: '',
  queueTypes: new Map(),
  ...more,
})
export const allRights: Rights = { known: true, user: 'worker', missing: [], advised: [] }
export const keys = (result: Partial<Keyspace['result']> = {}, more: Partial<Keyspace> = {}): Keyspace => ({
  result: { legacy: 100, target: 0, malformed: 0, foreign: 0, malformedKeys: [], foreignKeys: [], ...result },
  oversize: 0,
  oversizeKeys: [],
  sampled: 10,
  sampledBytes: 10_000,
  ...more,
})

const samples = [{ key: 'k', why: 'y' }]
const lacking: Rights = { known: true, user: 'worker', missing: ['+copy'], advised: ['+client|list'] }
const queues = { queues: ['q', 'unasked'] }
const worst = info({
  redis_version: '6.2.0',
  cluster_enabled: '1',
  role: 'slave',
  maxmemory_policy: 'allkeys-lru',
  min_slaves_good_slaves: '1',
  aof_enabled: '0',
})
const many = { malformed: 1, malformedKeys: samples, foreign: 1, foreignKeys: samples, target: 1 }

/** Situations that give each finding there is, as preflight gives them. */
export const EVERY_FINDING: { readonly blockers: readonly Verdict[]; readonly warnings: readonly Verdict[] } = [
  assessServer({ ...spec, ...queues }, facts(worst, { queueTypes: new Map([['q', 'hash']]) }), lacking),
  assessServer(spec, facts(undefined), { known: false, why: 'ACL is refused' }),
  assessServer(spec, facts(info({ maxmemory_policy: undefined, aof_enabled: '0' }), { save: undefined }), allRights),
  assessKeyspace(spec, info({ maxmemory: '1' }), keys(many, { oversize: 1, oversizeKeys: samples })),
  assessKeyspace(spec, info({ maxmemory: '0' }), keys({ legacy: 0 })),
].reduce((all, { blockers, warnings }) => ({
  blockers: [...all.blockers, ...blockers],
  warnings: [...all.warnings, ...warnings],
}))
