import { isOfLaterVersion, parseKept } from '../../api/kept.ts'
import { keysOf, type JobKeyMigration } from '../../api/resource.ts'
import type { RecordObservation, RedisObservation, WorkObservation } from '../../decision/types.ts'
import { controlKeys, type RecordFields } from '../../protocol/control-keys.ts'
import { WORK_KINDS } from '../../protocol/work.ts'
import type { Connection } from '../../redis/connection.ts'
import { readControl, readWork, wholeNumber, type ControlSnapshot } from '../../redis/control.ts'
import { KeyshiftError } from '../../redis/errors.ts'
import type { RightsInput } from '../../redis/rights.ts'
import type { Ask } from '../../redis/rights-check.ts'
import { redisTrouble, type RedisTrouble } from '../redis-trouble.ts'
import { missingOfApp, missingOfOwn } from './rights.ts'
import { parseWorkResult } from './work-result.ts'
import { foreignWriters, type SeenBefore } from './writers.ts'

/** Limit of each call, waiting for the connection included, ms. */
const CALL = { deadlineMs: 5000 }

/** What is known of whoever else is connected: it costs more to ask, and changes slowly. */
export type Others = Pick<RedisObservation, 'writers' | 'observers' | 'rightsMissing'>

/** Asks with what is remembered of connections, or gives what was seen last. */
export type LookAtOthers = (ask: (memory?: SeenBefore) => Promise<Others>) => Promise<Others>

/** Record, fence, members and who else is connected. @throws KeyshiftError */
export async function observeRedis(
  connection: Connection,
  resource: JobKeyMigration,
  look: LookAtOthers = (ask) => ask(),
): Promise<RedisObservation> {
  const { templates } = keysOf(resource.spec)
  const snapshot = await readControl(connection, controlKeys(templates.controlPrefix), CALL)
  const { now, runId, lineage, fence, record, members, backfilled, fallbackReads, illegalIds } = snapshot
  return {
    now,
    runId,
    lineage,
    ...(fence === undefined ? {} : { fence }),
    ...(record === undefined ? {} : { record: parseRecord(record) }),
    members,
    backfilled,
    fallbackReads,
    illegalIds,
    ...(await look((memory) => lookAtOthers(connection, resource, snapshot, memory))),
  }
}

async function lookAtOthers(
  connection: Connection,
  resource: JobKeyMigration,
  { members }: ControlSnapshot,
  memory?: SeenBefore,
): Promise<Others> {
  const call: Ask = (args) => connection.call(args, CALL)
  const input = rightsInput(resource)
  const seen = await foreignWriters({
    ...memory,
    call,
    templates: input.templates,
    members: members.map(({ id, lease, record }) => ({ id, live: lease !== undefined, pod: record?.podName })),
    observers: resource.spec.redis.observers,
  })
  const own = await missingOfOwn(call, input)
  const apps = await missingOfApp(call, members, input)
  return { ...seen, rightsMissing: own === undefined ? apps : [own, ...apps] }
}

/** Why Redis could not be read; a missing right with all the others that are missing, as far as that can be told. */
export async function explainTrouble(
  error: unknown,
  connection: Connection | undefined,
  resource: JobKeyMigration,
): Promise<RedisTrouble> {
  const trouble = redisTrouble(error, resource.spec.redis)
  if (trouble.reason !== 'RedisRightsMissing' || connection === undefined) return trouble
  try {
    const grant = await missingOfOwn((args) => connection.call(args, CALL), rightsInput(resource))
    return grant === undefined ? trouble : { ...trouble, message: `the Redis user of Keyshift lacks rights: ${grant}` }
  } catch (again) {
    if (again instanceof KeyshiftError) return trouble
    throw again
  }
}

function rightsInput({ spec }: JobKeyMigration): RightsInput {
  return { ...keysOf(spec), queues: spec.keys.queues.map(({ key }) => key) }
}

/** Progress and results of the worker Jobs of these names, where there are any. @throws KeyshiftError */
export async function observeWork(
  connection: Connection,
  resource: JobKeyMigration,
  names: readonly string[],
): Promise<readonly WorkObservation[]> {
  const keys = controlKeys(keysOf(resource.spec).templates.controlPrefix)
  const hashes = await Promise.all(names.map((name) => readWork(connection, keys, name, CALL)))
  return names.flatMap((name, i) => parseWork(name, hashes[i] ?? {}) ?? [])
}

export function parseWork(jobName: string, fields: Partial<Record<string, string>>): WorkObservation | undefined {
  const kind = WORK_KINDS.find((known) => known === fields['kind'])
  const state = (['running', 'done', 'failed', 'refused'] as const).find((known) => known === fields['state'])
  if (kind === undefined || state === undefined) return undefined
  const result = parseWorkResult(kind, fields['result'])
  const error = fields['error'] ?? ''
  const number = (name: string): number => {
    const value = Number(fields[name])
    return Number.isSafeInteger(value) && value > 0 ? value : 0
  }
  return {
    jobName,
    kind,
    run: fields['run'] ?? '',
    state,
    done: number('done'),
    total: number('total'),
    rate: number('rate'),
    pass: number('pass'),
    lineage: fields['lineage'] ?? '',
    epoch: number('epoch'),
    ...(number('updatedAt') === 0 ? {} : { movedAt: number('updatedAt') }),
    ...(result === undefined ? {} : { result }),
    ...(error === '' ? {} : { error }),
  }
}

function parseRecord(record: RecordFields): RecordObservation {
  const kept = parseKept(record.account)
  return {
    cluster: record.cluster,
    owner: record.owner,
    epoch: wholeNumber(record.epoch) ?? 0,
    revision: wholeNumber(record.revision) ?? 0,
    hash: record.hash,
    document: record.document,
    ...(kept === undefined ? {} : { kept }),
    ...(isOfLaterVersion(record.account) ? { later: true } : {}),
  }
}
