import type { PreflightResult } from '../../protocol/work.ts'
import { workerKeys } from '../batch.ts'
import { WorkFailed, type WorkerContext } from '../context.ts'
import { runPasses } from '../pass.ts'
import { persist } from '../patience.ts'
import { assessKeyspace, assessServer, NO_SCAN, type Assessment, type Keyspace } from '../preflight/assess.ts'
import { gatherFacts } from '../preflight/facts.ts'
import { checkRights } from '../rights.ts'
import type { WorkHash } from '../work-hash.ts'

/** What was found before the pass; `undefined` result means that another worker has finished the work. */
export interface Preflight {
  readonly server: Assessment
  /** Judges the pass that has ended. */
  readonly judge: (hash: WorkHash) => PreflightResult
}

/**
 * Asks the server, then looks at every key once.
 * @returns undefined when another worker has finished it, or when the result was written without a pass
 */
export async function preflight(context: WorkerContext): Promise<Preflight | undefined> {
  const { work } = context
  const facts = await persist(context, () => gatherFacts(context))
  const rights = await persist(context, () => checkRights(context))
  const server = assessServer(work.spec, facts, rights)
  if (facts.info === undefined || server.blockers.some(({ reason }) => NO_SCAN.has(reason))) {
    await writeWithoutScripts(context, { kind: 'preflight', ...server, ...NOTHING_SEEN })
    return undefined
  }
  if (!(await runPasses(context, { script: 'worker-scan-batch' }))) return undefined
  // Memory is judged by what is in use after the pass.
  const { info = facts.info } = await persist(context, () => gatherFacts(context))
  return {
    server,
    judge: (hash) => {
      const keys = readKeyspace(hash)
      const found = assessKeyspace(work.spec, info, keys)
      return {
        kind: 'preflight',
        blockers: [...server.blockers, ...found.blockers],
        warnings: [...server.warnings, ...found.warnings],
        ...keys.result,
      }
    },
  }
}

const NOTHING_SEEN = { legacy: 0, target: 0, malformed: 0, foreign: 0, malformedKeys: [], foreignKeys: [] }

function readKeyspace(hash: WorkHash): Keyspace {
  return {
    result: {
      legacy: hash.count('legacy'),
      target: hash.count('target'),
      malformed: hash.count('malformed'),
      foreign: hash.count('foreign'),
      malformedKeys: hash.samples('malformed'),
      foreignKeys: hash.samples('foreign'),
    },
    oversize: hash.count('oversize'),
    oversizeKeys: hash.samples('oversize'),
    sampled: hash.count('sampled'),
    sampledBytes: hash.count('sampledBytes'),
  }
}

// A server that cannot run the scripts is told of by plain commands; where even these are refused, the Job fails with
// the same words.
async function writeWithoutScripts(context: WorkerContext, result: PreflightResult): Promise<void> {
  const [, , key] = workerKeys(context.work)
  const now = String(context.clock.now())
  const fields = {
    kind: 'preflight',
    run: context.work.spec.run,
    state: 'done',
    done: '0',
    total: '0',
    rate: '0',
    pass: '1',
    cursor: '0',
    runId: '',
    lineage: '',
    epoch: '0',
    startedAt: now,
    updatedAt: now,
    result: JSON.stringify(result),
    error: '',
  }
  try {
    await context.redis.call(['HSET', key, ...Object.entries(fields).flat()], { deadlineMs: context.limits.callMs })
  } catch (error) {
    const why = result.blockers.map(({ reason, message }) => `${reason}: ${message}`).join('; ')
    throw new WorkFailed(why, { cause: error })
  }
}
