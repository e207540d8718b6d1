import type { Reason } from '../../api/reasons.ts'
import { configMapName, keysOf, type JobKeyMigration } from '../../api/resource.ts'
import type { Status } from '../../api/status.ts'
import type { Action } from '../../decision/types.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../../kube/errors.ts'
import { JOBS, CONFIG_MAPS } from '../../kube/resources.ts'
import type { ConfigMap, KubeObject } from '../../kube/types.ts'
import { resolveRedis } from '../address.ts'
import { formatRedisAddress } from '../../redis/address.ts'
import { controlKeys } from '../../protocol/control-keys.ts'
import type { Connection } from '../../redis/connection.ts'
import { deleteWork, markBackfilled, pruneMembers, raiseFence, startWork, writeRecord } from '../../redis/control.ts'
import type { NamespaceCaches } from '../namespace-cache.ts'
import type { RedisPool } from '../redis-pool.ts'
import { redisTrouble } from '../redis-trouble.ts'
import { FIELD_MANAGER, MIGRATIONS } from '../resources.ts'
import { configMapWith } from './config-map.ts'
import { buildJob } from './job.ts'
import { recordOf } from './record.ts'

export interface ExecutorDeps {
  readonly client: KubeClient
  readonly pool: Pick<RedisPool, 'connectionFor'>
  readonly caches: Pick<NamespaceCaches, 'applied'>
  /** Image of the worker Jobs: the operator's own. */
  readonly image: string
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
}

/** What an action works on. */
export interface ActionContext {
  /** As the API server last returned it. */
  readonly resource: JobKeyMigration
  /** The status written in this pass. */
  readonly status: Status
  readonly cluster: string
  readonly signal: AbortSignal
}

/** `ok: false`: the world is not as the decision saw it, or out of reach; the pass ends and the next one decides anew. */
export type ActionResult =
  { readonly ok: true } | { readonly ok: false; readonly reason: Refusal; readonly message: string }

/** Why; `Conflict`, `LeaseLost` and `FailedOver` are no fault of anybody's, and the next pass answers them. */
export type Refusal = Reason | 'Conflict' | 'LeaseLost' | 'FailedOver'

const DONE: ActionResult = { ok: true }
const CALL = { deadlineMs: 10_000 }

/** Carries out one action. Each is idempotent. Throws only what is a fault of the program. */
export async function execute(deps: ExecutorDeps, context: ActionContext, action: Action): Promise<ActionResult> {
  try {
    return await carryOut(deps, context, action)
  } catch (error) {
    if (isConflict(error)) return refuse('Conflict', (error as Error).message)
    if (error instanceof KubeError) return refuse('ActionRefused', error.message)
    const { reason, message } = redisTrouble(error, context.resource.spec.redis)
    return refuse(reason, message)
  }
}

async function carryOut(deps: ExecutorDeps, context: ActionContext, action: Action): Promise<ActionResult> {
  const { client } = deps
  const { resource, signal } = context
  const { name, namespace } = resource.metadata
  switch (action.type) {
    case 'WriteRecord': {
      const record = recordOf(context.status, action.document, context.cluster, `${namespace}/${name}`)
      const options = { ...CALL, takeOver: action.takeOver === true }
      const result = await writeRecord(await redisOf(deps, resource), keysFor(resource), record, options)
      return result.ok ? DONE : refuse('RecordRefused', describeRefusal(result, keysFor(resource).record))
    }
    case 'ApplyConfigMap': {
      const configMap = configMapWith(configMapName(resource), namespace, action.document)
      const options = { fieldManager: FIELD_MANAGER, force: true, signal }
      deps.caches.applied(await client.apply<ConfigMap>(CONFIG_MAPS, configMap, options))
      return DONE
    }
    case 'RaiseFence':
      return confirmFence(deps, context, action)
    case 'CreateJob': {
      const { attempt, suspend } = action
      const redis = formatRedisAddress(resolveRedis(resource.spec.redis, namespace))
      const work = { ...action.work, redis }
      const job = buildJob({ resource, work, attempt, suspend, image: deps.image, pullPolicy: deps.pullPolicy })
      const started = { jobName: work.jobName, run: work.run, resumes: action.resumes }
      await startWork(await redisOf(deps, resource), keysFor(resource), started, CALL)
      await client.create(JOBS, job, { fieldManager: FIELD_MANAGER, signal }).catch(unless(isAlreadyExists))
      return DONE
    }
    case 'SuspendJob': {
      const patch = { spec: { suspend: action.suspend } }
      const ref = { namespace, name: action.name }
      await client.mergePatch(JOBS, ref, patch, { fieldManager: FIELD_MANAGER, signal }).catch(unless(isNotFound))
      return DONE
    }
    case 'DeleteJob':
      await client.delete(JOBS, { namespace, name: action.name }, { signal }).catch(unless(isNotFound))
      if (!action.keepsWork) await deleteWork(await redisOf(deps, resource), keysFor(resource), action.name, CALL)
      return DONE
    case 'MarkBackfilled':
      await markBackfilled(await redisOf(deps, resource), keysFor(resource), action.on, CALL)
      return DONE
    case 'PruneMembers':
      await pruneMembers(await redisOf(deps, resource), keysFor(resource), action.ids, CALL)
      return DONE
  }
}

/** The fence counts as raised only once read back and known to every replica: then the status says so. */
async function confirmFence(
  deps: ExecutorDeps,
  context: ActionContext,
  { epoch, lineage }: Extract<Action, { type: 'RaiseFence' }>,
): Promise<ActionResult> {
  const { resource, signal } = context
  const raised = await raiseFence(await redisOf(deps, resource), keysFor(resource), epoch, CALL)
  const { fence, replicas } = raised
  if (lineage !== undefined && lineage !== raised.lineage)
    return refuse('FailedOver', 'Redis has failed over, or was started anew, since it was looked at')
  if (!raised.confirmed) {
    const { acknowledged, connected, behind } = replicas
    const without = behind.length === 0 ? '' : `; not yet: ${behind.join(', ')}`
    return refuse(
      'FenceNotConfirmed',
      `fence ${epoch} was asked for and ${fence} read back; ${acknowledged} of ${connected} replicas have it${without}`,
    )
  }
  if ((resource.status?.fence ?? 0) >= epoch) return DONE
  const { resourceVersion } = resource.metadata
  await deps.client.patchStatus<KubeObject>(MIGRATIONS, resource.metadata, { fence: epoch }, resourceVersion, {
    fieldManager: FIELD_MANAGER,
    signal,
  })
  return DONE
}

function redisOf(deps: ExecutorDeps, { metadata, spec }: JobKeyMigration): Promise<Connection> {
  return deps.pool.connectionFor(`${metadata.namespace}/${metadata.name}`, metadata.namespace, spec.redis)
}

function keysFor(resource: JobKeyMigration) {
  return controlKeys(keysOf(resource.spec).templates.controlPrefix)
}

function unless(expected: (error: unknown) => boolean): (error: unknown) => void {
  return (error) => {
    if (!expected(error)) throw error
  }
}

function refuse(reason: Refusal, message: string): ActionResult {
  return { ok: false, reason, message }
}

function describeRefusal(result: Extract<Awaited<ReturnType<typeof writeRecord>>, { ok: false }>, key: string): string {
  switch (result.reason) {
    case 'Newer':
      return `the record in Redis stands at epoch ${result.epoch}, revision ${result.revision} already`
    case 'OtherHash':
      return 'the record in Redis has the same epoch and another routing document'
    case 'OtherOwner':
      return `the record in Redis belongs to ${result.owner} of cluster ${result.cluster}`
    case 'WrongType':
      return `${key}, the key of the record in Redis, holds something else`
  }
}
