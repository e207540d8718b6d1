import { controlKeys } from '../protocol/control-keys.ts'
import { scanPattern } from '../protocol/templates.ts'
import { KEPT_MS, WORK_PHASES } from '../protocol/work.ts'
import type { ScriptName } from '../redis/scripts.generated.ts'
import type { WorkerContext } from './context.ts'
import type { Work } from './work-spec.ts'

/** Samples kept of each sort of finding. */
export const MAX_SAMPLES = 20
/** A value above these holds Redis for longer than a batch should; preflight lists it. */
export const OVERSIZE = { fields: 10_000, bytes: 1024 * 1024 }

export type BatchScript = Extract<ScriptName, `worker-${string}-batch`>

export type BatchReply =
  | {
      readonly status: 'ok'
      readonly seen: number
      /** Time that the script held Redis, microseconds; 0 where the server stops the clock in scripts. */
      readonly micros: number
      readonly pass: number
      readonly done: number
      readonly total: number
    }
  /** The last pass has ended; the counts in the work hash are final. */
  | { readonly status: 'ended' }
  /** Another worker has already written the result. */
  | { readonly status: 'done' }
  /** Nothing was done: the record lies below the fence or is not there. It may be put right soon. */
  | { readonly status: 'stale'; readonly why: string }
  /** Nothing was done: the phase does not allow this work. */
  | { readonly status: 'refused'; readonly why: string }

/** ARGV[1] of every batch script. */
export function batchConfig({ spec, templates: t }: Work): string {
  return JSON.stringify({
    kind: spec.kind,
    phases: WORK_PHASES[spec.kind],
    direction: spec.direction ?? '',
    copiesOnly: spec.allowTarget === false,
    field: spec.workspaceField,
    legacyPrefix: t.legacy.literals[0] ?? '',
    legacySuffix: t.legacy.literals[1] ?? '',
    targetPrefix: t.target.literals[0] ?? '',
    targetSuffix: t.target.literals[2] ?? '',
    delimiter: t.delimiter,
    forbidden: t.forbidden,
    workspaceFirst: t.workspaceFirst,
    // A queue is known to be none of the jobs, whatever its name looks like.
    ignore: [...spec.ignore, ...spec.queues],
    controlRoot: t.controlPrefix.slice(0, t.controlPrefix.indexOf(':') + 1),
    match: scanPattern(t),
    kept: controlKeys(t.controlPrefix).kept,
    keepMs: KEPT_MS,
    maxSamples: MAX_SAMPLES,
    maxFields: OVERSIZE.fields,
    maxBytes: OVERSIZE.bytes,
  })
}

/** KEYS of every worker script: fence, record, work hash. */
export function workerKeys({ spec, templates }: Work): readonly [string, string, string] {
  const keys = controlKeys(templates.controlPrefix)
  return [keys.fence, keys.record, keys.work(spec.jobName)]
}

/** Runs one batch. Repeating it is harmless. @throws Refused, NotReady, UnknownOutcome */
export async function runBatch(
  context: Pick<WorkerContext, 'redis' | 'work' | 'limits'>,
  script: BatchScript,
  batch: { readonly config: string; readonly count: number; readonly budgetMicros: number; readonly rate: number },
): Promise<BatchReply> {
  const reply = await context.redis.runScript(
    script,
    workerKeys(context.work),
    [batch.config, batch.count, Math.round(batch.budgetMicros), batch.rate, context.work.spec.run],
    { deadlineMs: context.limits.callMs },
  )
  return readReply(reply)
}

function readReply(reply: unknown): BatchReply {
  const [status, ...rest] = Array.isArray(reply) ? (reply as unknown[]) : [reply]
  const number = (i: number): number => Number(rest[i])
  switch (status) {
    case 'OK':
      return { status: 'ok', seen: number(0), micros: number(1), pass: number(2), done: number(3), total: number(4) }
    case 'ENDED':
      return { status: 'ended' }
    case 'DONE':
      return { status: 'done' }
    case 'STALE_RECORD':
      return { status: 'stale', why: String(rest[0]) }
    case 'NOT_ALLOWED':
      return { status: 'refused', why: String(rest[0]) }
    default:
      throw new Error(`a worker script answered ${JSON.stringify(reply)}`)
  }
}
