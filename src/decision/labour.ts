import type { Status, StatusEvidence, WorkAccount } from '../api/status.ts'
import { WORK_KINDS, type WorkKind } from '../protocol/work.ts'
import { advanceAccount, jobName, settleAccount, type AccountInput, type Settled } from './accounts.ts'
import { isProven, standsFor } from './evidence.ts'
import { malformedOf } from './findings.ts'
import { changedKeys, recordRepair, repairText } from './repair.ts'
import type { Scene } from './scene.ts'
import { cut } from './text.ts'
import { isoTime } from './time.ts'
import type { EventNote, JobObservation } from './types.ts'
import { dueWork, type DueWork, type WorkQuestion } from './work.ts'

export interface Laboured {
  readonly status: Status
  readonly due: readonly DueWork[]
  /** A difference was found: what the soak has earned is lost. */
  readonly resets: boolean
  readonly events: readonly EventNote[]
}

/** Takes in what workers brought, and asks for the work that is due. */
export function labour(question: WorkQuestion): Laboured {
  const { scene, state } = question
  const { jobs } = scene.observations
  // A Job that is not seen would look like one that is gone, and be run again.
  if (!jobs.known) return { status: question.status, due: [], resets: false, events: [] }
  const events: EventNote[] = []
  let status = question.status
  let resets = false
  for (const kind of WORK_KINDS) {
    const settled = settleAccount(accountInput(scene, status, kind, jobs.value))
    status = withAccount(status, kind, settled.account)
    if (settled.proven !== undefined) status = record(scene, status, settled.proven)
    const malformed = settled.result === undefined ? undefined : malformedOf(settled.result)
    if (malformed !== undefined) status = { ...status, malformed: malformed.count === 0 ? undefined : malformed }
    resets ||= settled.held === true && settled.account?.reason === 'VerifyFailed'
    resets ||= changedKeys(settled.result)
    events.push(...eventsOf(kind, settled))
    const ended = noteOverstay(scene, status, kind, jobs.value)
    status = ended.status
    events.push(...ended.events)
  }
  if (status.evidence?.voided !== undefined && isProven(status.evidence, state)) {
    const { voided: _over, ...evidence } = status.evidence
    status = { ...status, evidence }
  }
  const due = dueWork({ ...question, status })
  for (const work of due)
    status = withAccount(status, work.kind, advanceAccount(accountInput(scene, status, work.kind, jobs.value), work))
  return { status, due, resets, events }
}

function accountInput(scene: Scene, status: Status, kind: WorkKind, jobs: readonly JobObservation[]): AccountInput {
  const { work } = scene.observations
  const judged = kind === 'verify' || kind === 'backfill'
  return {
    resource: scene.name,
    uid: scene.resource.metadata.uid,
    kind,
    account: status.work?.[kind],
    jobs,
    work,
    stands: (done) => !judged || standsFor(status.evidence, done),
    retry: scene.retry,
    allowEmpty: scene.spec.keys.allowEmpty,
    now: scene.now,
  }
}

/** A recorded attempt whose Job others keep running: the operator ends it, and says who kept it. */
function noteOverstay(
  scene: Scene,
  status: Status,
  kind: WorkKind,
  jobs: readonly JobObservation[],
): Pick<Laboured, 'status' | 'events'> {
  const account = status.work?.[kind]
  const name = account === undefined ? '' : jobName(scene.name, kind, account.attempt)
  const overstays = jobs.find((job) => job.name === name && job.state === 'Active')?.overstays
  if (account?.state !== 'Recorded' || overstays === undefined) return { status, events: [] }
  const message = cut(overstays, 900)
  if (account.message === message) return { status, events: [] }
  const text = `${name} is done and was ended by the operator: ${message}`
  return {
    status: withAccount(status, kind, { ...account, message }),
    events: [{ type: 'Warning', reason: 'JobEnded', message: text }],
  }
}

function withAccount(status: Status, kind: WorkKind, account: WorkAccount | undefined): Status {
  return account === undefined || account === status.work?.[kind]
    ? status
    : { ...status, work: { ...status.work, [kind]: account } }
}

function record(scene: Scene, status: Status, proven: NonNullable<Settled['proven']>): Status {
  const { job, epoch, result, account } = proven
  const proof = { job, epoch, at: isoTime(scene.now) }
  switch (result.kind) {
    case 'preflight':
      return { ...status, preflight: { ...proof, inputs: account.inputs ?? '' } }
    case 'purge':
      return { ...status, purged: account.inputs }
    case 'backfill':
      return withProof(status, { backfill: proof })
    case 'verify':
      return withProof(status, result.direction === 'Both' ? { verifiedBoth: proof } : { verifiedTarget: proof })
    case 'repair':
      return recordRepair(scene, status, proven, result)
  }
}

function withProof(status: Status, proof: Partial<StatusEvidence>): Status {
  return status.evidence === undefined ? status : { ...status, evidence: { ...status.evidence, ...proof } }
}

function eventsOf(kind: WorkKind, { proven, lost, held, account }: Settled): EventNote[] {
  const message = account?.message ?? ''
  if (proven !== undefined) return [{ type: 'Normal', reason: DONE[kind], message: doneText(proven) }]
  if (lost !== undefined && held !== true)
    return [
      {
        type: 'Warning',
        reason: 'JobRetry',
        message: cut(`${kind} ended without a result and is tried again: ${message}`, 1024),
      },
    ]
  return []
}

const DONE = {
  preflight: 'PreflightPassed',
  backfill: 'BackfillComplete',
  verify: 'Verified',
  purge: 'Purged',
  repair: 'Repaired',
} as const satisfies Record<WorkKind, string>

function doneText({ job, result }: NonNullable<Settled['proven']>): string {
  switch (result.kind) {
    case 'preflight': {
      const warnings = result.warnings.map(({ reason, message }) => `${reason}: ${message}`)
      const warned = warnings.length === 0 ? '' : `; warnings: ${warnings.join('; ')}`
      return cut(`${job} found no blocker among ${result.legacy} legacy keys${warned}`, 1024)
    }
    case 'backfill':
      return `${job} copied ${result.copied} jobs in ${result.passes} passes, ${result.present} were there`
    case 'verify':
      return `${job} compared ${result.compared} keys and found no difference`
    case 'purge':
      return `${job} deleted ${result.deleted} target keys`
    case 'repair':
      return cut(`${job} ${repairText(result)}`, 1024)
  }
}
