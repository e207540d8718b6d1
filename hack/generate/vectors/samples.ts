import { bucketOf } from '../../../src/protocol/bucket.ts'
import { makeDocument, type DocumentInput, type RoutingDocument } from '../../../src/protocol/document.ts'
import { PHASES, ROUTING_TABLE, routingState, type Phase } from '../../../src/protocol/phases.ts'

/** The migration that most vectors are about. */
export const INPUT: DocumentInput = {
  name: 'ai-jobs',
  canaryBy: 'Job',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  queues: ['ai:queue'],
}

/** One with the workspace last, a delimiter of two characters, text after the ids, and a name beyond ASCII. */
export const OTHER: DocumentInput = {
  name: 'tâches',
  canaryBy: 'Job',
  legacy: 'job/{job_id}/v1',
  target: 'job/{job_id}|>{tenant}/v1',
  workspaceField: 'tenant',
  queues: ['job-queue'],
}

const byWorkspace: DocumentInput = { ...INPUT, canaryBy: 'Workspace' }
const PERCENTS = [10, 50, 100]

/** Documents by the name that vectors give them: every state of the routing table at several percentages. */
export const DOCUMENTS: Readonly<Record<string, RoutingDocument>> = makeDocuments()

function makeDocuments(): Record<string, RoutingDocument> {
  const documents: Record<string, RoutingDocument> = {}
  let epoch = 0
  const add = (name: string, input: DocumentInput, phase: Phase, step: number, percent: number): void => {
    epoch += 1
    documents[name] = makeDocument(input, routingState(phase, step, percent), epoch)
  }
  add('Legacy', INPUT, 'Legacy', 0, 0)
  for (const phase of PHASES.slice(1)) {
    const steps = ROUTING_TABLE[phase].ramps === 'nothing' ? [undefined] : PERCENTS
    steps.forEach((percent, step) =>
      add(percent === undefined ? phase : `${phase} ${percent} %`, INPUT, phase, step, percent ?? 100),
    )
  }
  add('DualWrite 50 % by workspace', byWorkspace, 'DualWrite', 1, 50)
  add('ReadRouting 50 % by workspace', byWorkspace, 'ReadRouting', 0, 50)
  add('Legacy again', INPUT, 'Legacy', 0, 0)
  add('other DualWrite 50 %', OTHER, 'DualWrite', 1, 50)
  add('other ReadRouting 50 %', OTHER, 'ReadRouting', 0, 50)
  return documents
}

export function documentNamed(name: string | null): RoutingDocument | undefined {
  if (name === null) return undefined
  const doc = DOCUMENTS[name]
  if (doc === undefined) throw new Error(`no document is named ${name}`)
  return doc
}

/** The first id `<letter><n>` of this bucket. */
export function idOfBucket(migration: string, letter: string, bucket: number): string {
  for (let n = 1; ; n += 1) if (bucketOf(migration, `${letter}${n}`) === bucket) return `${letter}${n}`
}

/** Year 2100, and a moment long gone, ms. */
export const FUTURE = 4_102_444_800_000
export const PAST = 1_000_000
