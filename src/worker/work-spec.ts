import { z } from 'zod'
import { parseTemplates, type KeyTemplates } from '../protocol/templates.ts'
import { WORK_ENV, WORK_KINDS, type WorkSpec } from '../protocol/work.ts'
import { parseRedisPlace, type RedisPlace } from '../redis/connection.ts'

/** Thrown for a KEYSHIFT_WORK that cannot be carried out; the message names the field. */
export class WorkSpecError extends Error {
  override readonly name = 'WorkSpecError'
}

export interface Work {
  readonly spec: WorkSpec
  readonly templates: KeyTemplates
  readonly address: RedisPlace
}

const schema = z
  .strictObject({
    jobName: z.string().min(1).max(63),
    run: z.string().min(1),
    kind: z.enum(WORK_KINDS),
    direction: z.enum(['TargetToLegacy', 'Both']).optional(),
    legacy: z.string().min(1),
    target: z.string().min(1),
    workspaceField: z.string().min(1),
    ignore: z.array(z.string().min(1)),
    allowEmpty: z.boolean(),
    onMalformed: z.enum(['Block', 'Quarantine']),
    allowTarget: z.boolean().optional(),
    queues: z.array(z.string().min(1)),
    redis: z.string().min(1),
    tls: z
      .strictObject({
        caFrom: z.string().min(1).optional(),
        clientCert: z.literal(true).optional(),
        serverName: z.string().min(1).optional(),
      })
      .optional(),
    maxKeysPerSecond: z.int().min(1),
    maxRedisLatencyMs: z.number().positive(),
    assume: z.strictObject({
      maxmemory: z.int().min(1).optional(),
      maxmemoryPolicy: z.string().min(1).optional(),
    }),
  })
  .superRefine(({ kind, direction }, context) => {
    if ((kind === 'verify' || kind === 'repair') && direction === undefined)
      context.addIssue({ code: 'custom', path: ['direction'], message: `${kind} needs TargetToLegacy or Both` })
  })

/** Reads the text of KEYSHIFT_WORK. @throws WorkSpecError */
export function parseWork(text: string): Work {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new WorkSpecError(`${WORK_ENV} is not JSON`)
  }
  const parsed = schema.safeParse(raw)
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`)
    throw new WorkSpecError(`${WORK_ENV} cannot be used: ${faults.join('; ')}`)
  }
  const spec = parsed.data as WorkSpec
  return {
    spec,
    templates: within('legacy, target', () => parseTemplates(spec.legacy, spec.target)),
    address: within('redis', () => parseRedisPlace(spec.redis)),
  }
}

function within<T>(field: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new WorkSpecError(`${WORK_ENV} cannot be used: ${field}: ${(error as Error).message}`)
  }
}
