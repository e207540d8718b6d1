import { InvalidId } from '../../../src/client/errors.ts'
import { Inflight } from '../../../src/client/inflight.ts'
import { Routing } from '../../../src/client/routing.ts'
import { queueEntry } from '../../../src/protocol/queue-entry.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { orderArgument } from '../../../src/redis/scripts.ts'
import { DOCUMENTS, documentNamed, idOfBucket, INPUT } from './samples.ts'

type Row = Readonly<Record<string, unknown>>

/** Jobs and workspaces on both sides of 10, 50 and 100 percent, and such whose ids only Legacy serves. */
function pairs(name: string): (readonly [string, string])[] {
  const edges = [999, 1000, 4999, 5000, 9999]
  return [
    ...edges.map((bucket) => ['w1', idOfBucket(name, 'j', bucket)] as const),
    [idOfBucket(name, 'w', 4999), 'j1'],
    [idOfBucket(name, 'w', 5000), 'j1'],
    ['é', '😀'],
    ['w1', 'report:2026'],
    ['w1', 'w1:j1'],
    ['w1', 'w2:j1'],
    ['w:1', 'j1'],
    ['w1', ''],
    ['', 'j1'],
    ['w1', 'x'.repeat(513)],
    ['w1', 'a|>w1'],
  ]
}

/** What every document makes of an operation on one job. */
export function routingVectors(): Row[] {
  return [null, ...Object.keys(DOCUMENTS)].flatMap((document) => {
    const doc = documentNamed(document)
    const { legacy, target, name } = doc ?? INPUT
    const routing = new Routing(parseTemplates(legacy, target), doc)
    return pairs(name).map(([workspaceId, jobId]) => ({
      document,
      workspaceId,
      jobId,
      ...decide(routing, workspaceId, jobId),
    }))
  })
}

function decide(routing: Routing, workspaceId: string, jobId: string): Row {
  try {
    const { legacyKey, targetKey, createTarget, order, names } = routing.route(workspaceId, jobId)
    return {
      legacyKey,
      targetKey,
      createTarget,
      order: orderArgument(order, names),
      entry: queueEntry(routing.templates, routing.phase, workspaceId, jobId),
      countedAsIllegal: routing.illegalId(workspaceId, jobId) !== undefined,
    }
  } catch (error) {
    if (error instanceof InvalidId) return { error: error.code }
    throw error
  }
}

/** Which epoch a lease may tell of while operations are in flight. */
export function drainVectors(): Row[] {
  const rows: [number, number[]][] = [
    [5, []],
    [5, [5]],
    [5, [4]],
    [5, [5, 4, 5]],
    [7, [3, 6]],
    [1, [0]],
    [0, [0]],
  ]
  return rows.map(([following, inFlight]) => {
    const inflight = new Inflight()
    for (const epoch of inFlight) inflight.begin(epoch)
    return { following, inFlight, tells: inflight.reportable(following) }
  })
}
