import type { Status, StatusEvidence, WorkAccount } from '../api/status.ts'
import { makeDocument, renderDocument, type DocumentInput, type RoutingDocument } from '../protocol/document.ts'
import { rampPercent, routingState, type Phase, type RoutingState } from '../protocol/phases.ts'
import { WORK_KINDS, WORK_PHASES } from '../protocol/work.ts'
import { closed, isOpen } from './accounts.ts'
import { evidenceUnder } from './evidence.ts'
import { compareStates, stateText } from './ladder.ts'
import { documentOf, type Scene } from './scene.ts'
import { holdSoak, soakOf, withSoak } from './soak.ts'
import { cut } from './text.ts'
import { isoTime } from './time.ts'

/** Longest routing document that status takes, UTF-16 units. */
export const MAX_DOCUMENT = 8192
const HISTORY = 20

export interface Publication {
  readonly state: RoutingState
  readonly epoch: number
  /** The routing state before, where it is known. */
  readonly from: RoutingState | undefined
  readonly abort: boolean
  readonly reason: string
}

/** The status that puts a routing state in force: everything that speaks of the epoch before is cleared. */
export function publish(scene: Scene, status: Status, publication: Publication): Status {
  const { state, epoch, from, abort, reason } = publication
  const at = isoTime(scene.now)
  // A document that cannot be read may have been one of any phase.
  const targetsBefore = epoch > 1 && documentOf(status.routing)?.targets !== false
  const document = makeDocument(scene.input, state, epoch, targetsBefore)
  const inLegacy = state.phase === 'Legacy'
  const samePhase = from?.phase === state.phase
  const sameState = from !== undefined && compareStates(from, state) === 0
  const back = from !== undefined && compareStates(state, from) < 0
  const evidence = evidenceUnder(status.evidence, state, epoch, scene.redis.lineage)
  const soak = sameState && !inLegacy ? holdSoak(soakOf(status), scene.now) : {}
  const put: Status = {
    ...status,
    ...inForce(document),
    epoch,
    routing: renderDocument(document),
    isAbort: abort ? true : undefined,
    previous: from,
    publishedAt: at,
    firstPublishedAt: status.firstPublishedAt ?? at,
    convergedAt: undefined,
    phaseStartedAt: samePhase ? status.phaseStartedAt : at,
    evidence,
    // Reached anew, Legacy asks for a preflight of its own.
    preflight: samePhase ? status.preflight : undefined,
    newcomers: inLegacy ? undefined : status.newcomers,
    work: work(status, evidence, epoch, state.phase),
    lastCap: lastCap(scene, status, state, from),
    checks: status.checks?.map(({ carried, ...check }) => ({
      ...check,
      failures: 0,
      ...(carried === true || (back && check.outcome !== 'Pass') ? { carried: true } : {}),
    })),
    history: withTransition(status.history, {
      time: at,
      from: text(from),
      to: stateText(state),
      epoch,
      reason: cut(reason, 256),
    }),
  }
  return withSoak(put, inLegacy ? {} : { ...soak, countedThrough: scene.now })
}

/** The history with one more transition; only the last ones are kept. */
export function withTransition(
  history: Status['history'],
  transition: NonNullable<Status['history']>[number],
): Status['history'] {
  return [...(history ?? []), transition].slice(-HISTORY)
}

/** Epoch 1 routes as an application without Keyshift does. */
export function publishFirst(scene: Scene, status: Status): Status {
  return publish(scene, status, {
    state: routingState('Legacy', 0, 0),
    epoch: 1,
    from: undefined,
    abort: false,
    reason: 'FirstPublished',
  })
}

/** Fields of status that show the document in force. */
export function inForce(document: RoutingDocument): Pick<Status, 'phase' | 'step' | 'canaryPercentage'> {
  return {
    phase: document.phase,
    step: document.step,
    canaryPercentage: rampPercent(document) ?? document.createTarget,
  }
}

/** Whether the longest document that `input` can give fits into status. */
export function documentFits(input: DocumentInput): boolean {
  const longest = makeDocument(input, routingState('BackfillVerify', 1000, 100), Number.MAX_SAFE_INTEGER)
  return renderDocument(longest).length <= MAX_DOCUMENT
}

function text(state: RoutingState | undefined): string {
  return state === undefined ? '-' : stateText(state)
}

// Evidence that went void, or begins anew, takes the attempts of before with it; so does a phase that does not allow the work.
function work(
  { work: accounts }: Status,
  evidence: StatusEvidence | undefined,
  epoch: number,
  phase: Phase,
): Status['work'] {
  if (accounts === undefined) return undefined
  const isNew = evidence === undefined || evidence.baseEpoch === epoch
  return closeIdle(isNew ? closeEvidenceWork(accounts) : accounts, phase)
}

/** Accounts with the attempts closed that the phase does not allow. */
export function closeIdle(accounts: Record<string, WorkAccount>, phase: Phase): Record<string, WorkAccount> {
  const idle = WORK_KINDS.filter((kind) => !WORK_PHASES[kind].includes(phase))
  return Object.fromEntries(
    Object.entries(accounts).map(([kind, account]) => [
      kind,
      isOpen(account) && idle.some((one) => one === kind) ? closed(account) : account,
    ]),
  )
}

/** Accounts with the attempts closed that prove something of the data. */
export function closeEvidenceWork(accounts: Record<string, WorkAccount>): Record<string, WorkAccount> {
  return Object.fromEntries(
    Object.entries(accounts).map(([kind, account]) => [
      kind,
      kind === 'verify' || kind === 'backfill' ? closed(account) : account,
    ]),
  )
}

// A walk back that ends in DualWrite ends at 100 %; the cap counts again once it has another value.
function lastCap(scene: Scene, status: Status, state: RoutingState, from: RoutingState | undefined): Status['lastCap'] {
  if (state.phase !== 'DualWrite') return undefined
  if (from?.phase === 'ReadRouting') return { targetPhase: 'DualWrite', canaryPercentage: scene.spec.canaryPercentage }
  return status.lastCap
}
