import { makeDocument, type RoutingDocument } from '../../src/protocol/document.ts'
import { routingState, type Phase } from '../../src/protocol/phases.ts'
import { parseTemplates } from '../../src/protocol/templates.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'
export const templates = parseTemplates(LEGACY, TARGET)

/** A routing that users meet. */
export interface BenchRouting {
  readonly name: string
  /** None: no migration, epoch 0. */
  readonly document: RoutingDocument | undefined
  /** Every second job has no target key yet, so that its reads fall back. */
  readonly halfBackfilled: boolean
}

const documentOf = (epoch: number, phase: Phase): RoutingDocument =>
  makeDocument(
    {
      name: 'bench',
      canaryBy: 'Job',
      legacy: LEGACY,
      target: TARGET,
      workspaceField: 'workspace_id',
      queues: [],
    },
    routingState(phase, 0, 100),
    epoch,
  )

export const ROUTINGS: readonly BenchRouting[] = [
  { name: 'no migration', document: undefined, halfBackfilled: false },
  { name: 'DualWrite, 100 % of creates', document: documentOf(4, 'DualWrite'), halfBackfilled: false },
  {
    name: 'ReadRouting, 100 % of reads, half backfilled',
    document: documentOf(6, 'ReadRouting'),
    halfBackfilled: true,
  },
  { name: 'BackfillVerify, complete', document: documentOf(7, 'BackfillVerify'), halfBackfilled: false },
]
