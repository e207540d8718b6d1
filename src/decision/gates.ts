import { ANNOTATIONS, durationMs } from '../api/resource.ts'
import type { Status, WorkAccount } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import type { WorkKind } from '../protocol/work.ts'
import { jobName } from './accounts.ts'
import { allPass, worstNote, type CheckTrouble } from './checks.ts'
import { configMapTrouble } from './config-map.ts'
import type { Convergence } from './convergence.ts'
import { isProven } from './evidence.ts'
import { stateText } from './ladder.ts'
import { stateOf, type Scene } from './scene.ts'
import { count, cut, some } from './text.ts'
import { isoTime } from './time.ts'
import { verdict, type Verdict } from './verdict.ts'
import type { DueWork } from './work.ts'

/** What the gates look at, after the pass has taken everything observed into account. */
export interface View {
  readonly scene: Scene
  readonly status: Status
  readonly doc: RoutingDocument
  readonly convergence: Convergence
  /** The soak of the state in force is earned in full. */
  readonly soaked: boolean
  readonly due: readonly DueWork[]
  /** The next step forward enters ReadRouting. */
  readonly entersReadRouting: boolean
}

type Gate = (view: View) => Verdict | undefined

/** What must hold for the state in force to be as it shall be, the first gap first. */
const STATE_GATES: readonly Gate[] = [
  rightsGranted,
  inPlace,
  jobsKnown,
  heldWork,
  converging,
  preflightDone,
  proofs,
  soaking,
  newcomersJudged,
]
/** What must hold besides before a forward step. */
const STEP_GATES: readonly Gate[] = [converged, idsFit, checksPass, writersKnown]

/** Why the state in force is not yet settled, or undefined when it is. */
export function stateGap(view: View): Verdict | undefined {
  return first(STATE_GATES, view)
}

/** Why no forward step may be taken from a settled state, or undefined when one may. */
export function stepGap(view: View): Verdict | undefined {
  return first(STEP_GATES, view)
}

function first(gates: readonly Gate[], view: View): Verdict | undefined {
  for (const gate of gates) {
    const gap = gate(view)
    if (gap !== undefined) return gap
  }
  return undefined
}

/** A user of Redis that lacks a right would be refused in the middle of its work. */
function rightsGranted({ scene }: View): Verdict | undefined {
  const { rightsMissing } = scene.redis
  if (rightsMissing.length === 0) return undefined
  return verdict('stalled', 'RedisRightsMissing', `Redis users lack rights: ${some(rightsMissing)}`)
}

/** Record and ConfigMap carry the document in force: without them neither workers nor clients can follow. */
export function inPlace({ scene, status, doc }: View): Verdict | undefined {
  const { configMap } = scene.observations
  if (!configMap.known) return verdict('waiting', 'ConfigMapUnknown', configMap.message)
  // Templates changed in Legacy have another record, which begins with the document that follows.
  const recorded = scene.redis.record?.epoch === doc.epoch || doc.controlPrefix !== scene.controlPrefix
  if (recorded && configMap.value.document === status.routing) return undefined
  // On the way back, too, what stands in the way is said, and not that it takes a moment.
  const trouble = configMap.value.document === status.routing ? undefined : configMapTrouble(scene, status)
  return trouble ?? verdict('moving', 'Publishing', `the routing document of epoch ${doc.epoch} is being written`)
}

/** Without its Jobs nobody can tell what was proven, and what runs. */
function jobsKnown({ scene }: View): Verdict | undefined {
  const { jobs } = scene.observations
  return jobs.known ? undefined : verdict('waiting', 'JobsUnknown', jobs.message)
}

function converging({ status, convergence, doc }: View): Verdict | undefined {
  // Once seen to run the routing in force, a state stays so: a deploy only holds the next step.
  if (status.convergedAt !== undefined) return undefined
  return notConverged(convergence, doc)
}

function converged({ convergence, doc }: View): Verdict | undefined {
  return convergence.converged === true ? undefined : notConverged(convergence, doc)
}

/** Who may have written without the client holds what is claimed of every key, also where all the others run the routing. */
function newcomersJudged({ status, convergence, doc }: View): Verdict | undefined {
  if (doc.phase !== 'BackfillVerify' || status.newcomers === undefined) return undefined
  return notConverged(convergence, doc)
}

function notConverged({ reason, message }: Convergence, doc: RoutingDocument): Verdict {
  const text = `${stateText(stateOf(doc))} waits for the pods: ${message}`
  if (reason === 'WorkloadMissing') return verdict('stalled', reason, text)
  const moves = reason === 'MembersBehind' || reason === 'PodsJoining' || reason === 'Converged'
  return verdict(moves ? 'moving' : 'waiting', reason, text)
}

function heldWork({ scene, status, due }: View): Verdict | undefined {
  for (const { kind } of due) {
    const account = status.work?.[kind]
    if (account?.state === 'Held') return verdict('stalled', heldReason(account), heldText(scene, kind, account))
  }
  return undefined
}

const HELD_REASONS = ['PreflightBlocked', 'VerifyFailed', 'NoLegacyKeys'] as const
type HeldReason = (typeof HELD_REASONS)[number] | 'JobFailed'

function heldReason({ reason }: WorkAccount): HeldReason {
  return HELD_REASONS.find((known) => known === reason) ?? 'JobFailed'
}

function heldText({ resource }: Scene, kind: WorkKind, account: WorkAccount): string {
  const why = account.message ?? 'no reason given'
  const reason = heldReason(account)
  if (reason === 'PreflightBlocked' || reason === 'NoLegacyKeys') return why
  if (reason === 'VerifyFailed') {
    const { name, namespace } = resource.metadata
    const command = `kubectl annotate jkm ${name} -n ${namespace} --overwrite ${ANNOTATIONS.repair}=${jobName(name, kind, account.attempt)}`
    // The list of keys may be cut, the command may not.
    return `verify found differences; to make the target keys equal to legacy: ${command}; found: ${why}`
  }
  return `${kind} failed ${account.failures} times: ${why}`
}

function proofs({ scene, status, doc, due }: View): Verdict | undefined {
  const repairs = due.find(({ kind }) => kind === 'repair')
  if (repairs === undefined && isProven(status.evidence, stateOf(doc))) return undefined
  const why = status.evidence?.voided === undefined ? '' : `; what was proven before is void: ${status.evidence.voided}`
  const at = stateText(stateOf(doc))
  const next = repairs ?? due.find(({ kind }) => kind === 'verify') ?? due.find(({ kind }) => kind === 'backfill')
  if (next === undefined)
    return verdict('waiting', 'EvidenceVoid', `${at}: nothing can be proven of the data yet${why}`)
  return running(scene, status, next.kind, `${at}: `, why)
}

function preflightDone({ scene, status, doc, due }: View): Verdict | undefined {
  const [next] = due
  return doc.phase !== 'Legacy' || next === undefined ? undefined : running(scene, status, next.kind, '', '')
}

const RUNNING = {
  preflight: ['PreflightRunning', 'preflight looks at Redis and its keys'],
  purge: ['PurgeRunning', 'purge deletes the target keys that an earlier run left'],
  repair: ['RepairRunning', 'repair makes the target keys equal to legacy'],
  verify: ['VerifyRunning', 'verify compares the keys of both schemas'],
  backfill: ['BackfillRunning', 'backfill copies the jobs that were there before'],
} as const satisfies Record<WorkKind, readonly [string, string]>

/** Work that is due: it runs, does not start, or is tried again. */
function running(scene: Scene, status: Status, kind: WorkKind, before: string, after: string): Verdict {
  const account = status.work?.[kind]
  if (account?.state === 'Waiting')
    return verdict(
      'waiting',
      'JobRetry',
      `${before}${kind} is tried again: ${account.message ?? 'no reason given'}${after}`,
    )
  const [reason, text] = RUNNING[kind]
  const name = account === undefined ? '' : jobName(scene.name, kind, account.attempt)
  const { jobs } = scene.observations
  const job = jobs.known ? jobs.value.find((one) => one.name === name && one.state === 'Active') : undefined
  if (job?.message !== undefined)
    return verdict('waiting', 'JobPending', `${before}${kind} cannot work yet: ${job.message}${after}`)
  const still = job?.suspended === false ? standsStill(scene, name) : undefined
  if (still !== undefined) return verdict('waiting', 'JobPending', `${before}${kind} ${still}${after}`)
  return verdict('moving', reason, `${before}${text}${after}`)
}

/** A worker gives up by itself after two minutes without Redis: one that is silent for longer is frozen, or its node is, ms. */
const STILL_MS = 300_000

function standsStill({ observations, redis, resource }: Scene, name: string): string | undefined {
  const work = observations.work.find(({ jobName: of, state }) => of === name && state === 'running')
  if (work?.movedAt === undefined || redis.now - work.movedAt <= STILL_MS) return undefined
  const pod = `kubectl delete pod -n ${resource.metadata.namespace} -l job-name=${name}`
  return `has made no progress since ${isoTime(work.movedAt)}: if its worker is frozen, ${pod}; the next one goes on from there`
}

function soaking({ scene, status, soaked, doc }: View): Verdict | undefined {
  if (doc.phase === 'Legacy' || soaked) return undefined
  const at = stateText(stateOf(doc))
  // A Prometheus that is away lets no window end: the soak stands where it was, and is not what is waited for.
  if (status.soakEndsAt !== undefined && worstNote(status.checks ?? []) === undefined)
    return verdict('soaking', 'Soaking', `${at} soaks until ${status.soakEndsAt}`)
  const failing = checksText(scene, status)
  return verdict('waiting', failing.reason, `${at}: the soak is held up: ${failing.message}`)
}

function checksPass(view: View): Verdict | undefined {
  const { scene, status, doc } = view
  if (scene.checks.length === 0 || allPass(scene.checks, scene.observations.latest)) return undefined
  const { reason, message } = checksText(scene, status)
  return verdict('waiting', reason, `${stateText(stateOf(doc))} waits for the checks: ${message}`)
}

function checksText({ checks }: Scene, status: Status): CheckTrouble {
  const shown = status.checks ?? []
  const measured = new Set(shown.map(({ name }) => name))
  const missing = checks.map(({ name }) => name).filter((name) => !measured.has(name))
  const pending = missing.length === 0 ? 'not measured again yet' : `not measured yet: ${some(missing)}`
  return worstNote(shown) ?? { reason: 'ChecksPending', message: pending }
}

function idsFit({ scene, doc }: View): Verdict | undefined {
  if (doc.phase !== 'Legacy') return undefined
  const { count: seen, ageMs, example, member } = scene.redis.illegalIds
  const windowMs = durationMs(scene.spec.keys.idWindow)
  if (seen === 0 || (ageMs !== undefined && ageMs >= windowMs)) return undefined
  const from = member === undefined ? '' : ` from ${memberText(scene, member)}`
  return verdict(
    'stalled',
    'IllegalIds',
    `clients have used ids that the target schema cannot hold, ${times(seen)}, such as ${JSON.stringify(cut(example ?? '', 100))}${from}; the step is taken when none was seen for ${scene.spec.keys.idWindow}`,
  )
}

/** From ten on by powers of ten: a count that grows must not write the status each time. */
function times(n: number): string {
  return n < 10 ? count(n, 'time') : `at least ${10 ** Math.floor(Math.log10(n))} times`
}

function memberText(scene: Scene, id: string): string {
  const { pods } = scene.observations
  const record = scene.redis.members.find((member) => member.id === id)?.record
  if (record === undefined) return id
  const pod = pods.known ? pods.value.find(({ uid }) => uid === record.podUid) : undefined
  return pod === undefined ? record.podName : `${pod.workload} (${pod.name})`
}

function writersKnown({ scene, entersReadRouting }: View): Verdict | undefined {
  const { writers } = scene.redis
  if (!entersReadRouting || scene.spec.redis.observers.includes('*')) return undefined
  if (!writers.known)
    return verdict('stalled', 'WritersUnknown', `who else writes to Redis cannot be told: ${writers.message}`)
  if (writers.value.length === 0) return undefined
  return verdict(
    'stalled',
    'ForeignWriters',
    `connections that may write jobs belong to no client of Keyshift: ${some(writers.value, 5)}`,
  )
}
