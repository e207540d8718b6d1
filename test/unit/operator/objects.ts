import { SpecSchema, type Spec, type SpecInput } from '../../../src/api/schema.ts'
import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import type { Job, Pod } from '../../../src/kube/types.ts'
import type { WorkSpec } from '../../../src/protocol/work.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'

export function spec(changes: Partial<SpecInput> = {}): Spec {
  return SpecSchema.parse({
    targetPhase: 'Legacy',
    keys: { legacy: LEGACY, target: TARGET },
    redis: { address: 'redis://redis:6379/0' },
    app: { workloads: [{ kind: 'Deployment', name: 'api' }] },
    slo: { disabled: true },
    ...changes,
  })
}

export function resource(
  changes: { spec?: Partial<SpecInput>; status?: Status; generation?: number } = {},
): JobKeyMigration {
  return {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: {
      name: 'jobs',
      namespace: 'app',
      uid: 'uid-1',
      generation: changes.generation ?? 1,
      resourceVersion: '10',
    },
    spec: spec(changes.spec),
    ...(changes.status === undefined ? {} : { status: changes.status }),
  }
}

export function work(changes: Partial<WorkSpec> = {}): WorkSpec {
  return {
    jobName: 'jobs-preflight-1',
    run: 'uid-1/',
    kind: 'preflight',
    legacy: LEGACY,
    target: TARGET,
    workspaceField: 'workspace_id',
    ignore: [],
    allowEmpty: false,
    onMalformed: 'Block',
    queues: [],
    redis: 'redis://redis:6379/0',
    maxKeysPerSecond: 1000,
    maxRedisLatencyMs: 5,
    assume: {},
    ...changes,
  }
}

export function pod(
  changes: { metadata?: Pod['metadata']; spec?: Partial<NonNullable<Pod['spec']>>; status?: Pod['status'] } = {},
): Pod {
  return {
    metadata: { name: 'api-1', namespace: 'app', uid: 'pod-1', ...changes.metadata },
    spec: { containers: [{ name: 'api', image: 'api:1' }], ...changes.spec },
    status: { phase: 'Running', ...changes.status },
  }
}

export function job(changes: Partial<Job> = {}): Job {
  return {
    metadata: {
      name: 'jobs-preflight-1',
      uid: 'job-1',
      labels: { 'keyshift.dev/work': 'preflight', 'keyshift.dev/attempt': '1' },
      ownerReferences: [
        { apiVersion: 'keyshift.dev/v1alpha1', kind: 'JobKeyMigration', name: 'jobs', uid: 'uid-1', controller: true },
      ],
    },
    ...changes,
  }
}
