import type { Status, StatusFailed } from '../api/status.ts'
import { parseDocument, type RoutingDocument } from '../protocol/document.ts'
import type { RoutingState } from '../protocol/phases.ts'
import type { Account } from './account.ts'
import { conclude, type Conclusion } from './conclude.ts'
import { configMapTrouble } from './config-map.ts'
import { assessConvergence, membersAwaited, nameMembers, type Convergence } from './convergence.ts'
import { note } from './draft.ts'
import { inPlace, stateGap, stepGap, type View } from './gates.ts'
import { noteProgress } from './jobs.ts'
import { compareStates, stateText } from './ladder.ts'
import { publish } from './publish.ts'
import { withRevision } from './revision.ts'
import { withRefusal } from './refusal.ts'
import { stateOf, type Scene } from './scene.ts'
import { syncActions } from './sync.ts'
import type { Action, Decision } from './types.ts'
import { verdict, type Verdict } from './verdict.ts'
import { askedDestination, mayStepBack, nextStep, type Step } from './walk.ts'

export interface Stand {
  readonly scene: Scene
  readonly account: Account
  readonly doc: RoutingDocument
  readonly convergence: Convergence
  /** The routing document may be written to the ConfigMap in this pass. */
  readonly mayWrite: boolean
  /** The record of another resource or cluster gives way. */
  readonly takeOver: boolean
  /** Why nothing but a step back may be taken. */
  readonly frozen?: Verdict
}

/** Takes the one step that the walk wants, where nothing holds it, and says what it waits for where something does. */
export function takeStep(stand: Stand): Decision {
  const { scene, account, doc, convergence } = stand
  const { status, soaked, due } = account
  const state = stateOf(doc)
  const wanted = nextStep(scene, status, doc)
  const entersReadRouting = wanted.kind === 'forward' && wanted.state.phase !== doc.phase && doc.phase === 'DualWrite'
  const view: View = { scene, status, doc, convergence, soaked, due, entersReadRouting }
  const gap = stateGap(view)
  const reached =
    gap === undefined &&
    status.failed === undefined &&
    stand.frozen === undefined &&
    compareStates(askedDestination(scene, status, state), state) === 0
  const end = (said: Verdict, more: Partial<Conclusion> = {}): Decision => finish(stand, said, { reached, ...more })

  const stalled =
    wanted.kind === 'rest' || wanted.kind === 'forward'
      ? (stand.frozen ?? configMapTrouble(scene, status) ?? stalledBy(status, state, gap))
      : undefined
  if (stalled !== undefined) return end(stalled)
  if (scene.spec.paused) return end(verdict('paused', 'Paused', pausedText(status, state, wanted)))
  if (wanted.kind === 'rest') return end(gap ?? verdict('reached', 'TargetReached', `${stateText(state)} is reached`))
  const hold = holdOf(view, wanted, gap)
  if (hold !== undefined) return end(hold)
  if (wanted.kind === 'forward' && !scene.observations.live)
    return end(verdict('moving', 'StepDue', `${stateText(state)} is done, ${stateText(wanted.state)} is next`), {
      wantsLive: true,
    })
  // A guard that was refused is raised in a pass of its own, which can say so.
  const isRefused = scene.observations.refused?.action === 'RaiseFence'
  if (wanted.kind !== 'abort' && (isRefused || !isFenced(scene, status, doc.epoch))) {
    const raise: Action = { type: 'RaiseFence', epoch: doc.epoch }
    const text = `epochs below ${doc.epoch} are shut out before ${stateText(wanted.state)}`
    return end(verdict('moving', 'RaisingFence', text), { actions: [raise] })
  }
  return publishStep(stand, wanted)
}

/** Ends the pass: Jobs and progress are shown, and whatever lies behind status is written again from it. */
export function finish(stand: Stand, said: Verdict, more: Partial<Conclusion> = {}): Decision {
  const { scene, account, doc, convergence, mayWrite, takeOver } = stand
  const status = withRevision(scene, noteProgress(scene, account.status))
  const steps = more.actions ?? []
  const all = syncActions(scene, status, doc, { mayWriteConfigMap: mayWrite, takeOver })
  // A spec that cannot be obeyed starts no work.
  const sync = stand.frozen === undefined ? all : all.filter(({ type }) => type !== 'CreateJob')
  // A fence raised for the step covers the one asserted again.
  const others = steps.length === 0 ? sync : sync.filter(({ type }) => type !== 'RaiseFence')
  // The step comes before Jobs: one that may not be created must not hold a way back.
  const actions = [...others.filter(isProtocol), ...steps, ...others.filter((action) => !isProtocol(action))]
  return conclude({
    resource: scene.resource,
    now: scene.now,
    verdict: withRefusal(said, scene.observations.refused, actions),
    events: account.events,
    convergence,
    reached: false,
    ...more,
    status,
    actions,
  })
}

const PROTOCOL: readonly Action['type'][] = ['WriteRecord', 'RaiseFence', 'ApplyConfigMap']
const isProtocol = ({ type }: Action): boolean => PROTOCOL.includes(type)

function publishStep(stand: Stand, step: Exclude<Step, { kind: 'rest' }>): Decision {
  const { scene, account, doc } = stand
  const from = stateOf(doc)
  const epoch = doc.epoch + 1
  const reason = REASON_OF[step.kind]
  const status = publish(scene, account.status, {
    state: step.state,
    epoch,
    from,
    abort: step.kind === 'abort',
    reason,
  })
  const event = note(reason, `${stateText(from)} -> ${stateText(step.state)}, epoch ${epoch}`)
  const next = parseDocument(status.routing ?? '')
  const decision = takeStep({
    ...stand,
    account: { status, events: [...account.events, event], soaked: false, due: [] },
    doc: next,
    convergence: assessConvergence(scene, status, next),
    mayWrite: true,
  })
  // The fence may stand since a step that was withdrawn, and replicas lack what was done and proven after it.
  const { lineage } = scene.redis
  return step.kind === 'abort' ? decision : { ...decision, guard: { type: 'RaiseFence', epoch: doc.epoch, lineage } }
}

const REASON_OF = {
  forward: 'StepTaken',
  back: 'SteppedBack',
  abort: 'Aborted',
  redocument: 'Redocumented',
} as const satisfies Record<Exclude<Step['kind'], 'rest'>, string>

function holdOf(view: View, wanted: Exclude<Step, { kind: 'rest' }>, gap: Verdict | undefined): Verdict | undefined {
  const { scene, status, doc } = view
  if (wanted.kind === 'forward') return gap ?? stepGap(view)
  const { configMap } = scene.observations
  if (wanted.kind === 'abort') return configMap.known ? undefined : inPlace(view)
  if (mayStepBack(scene, status, doc)) return inPlace(view)
  const late = nameMembers(scene, membersAwaited(scene, status, doc))
  const text = `${stateText(wanted.state)} is next, when the clients run epoch ${doc.epoch} or the join timeout is over: ${late}`
  return inPlace(view) ?? verdict('moving', 'SteppingBack', text)
}

function pausedText({ failed }: Status, state: RoutingState, wanted: Step): string {
  const at = `paused at ${stateText(state)}`
  if (wanted.kind === 'rest' || wanted.kind === 'redocument') return at
  const why = failed === undefined ? '' : `: ${failed.message}`
  return `${at}, ${stateText(wanted.state)} is next${why}`
}

function stalledBy({ failed }: Status, state: RoutingState, gap: Verdict | undefined): Verdict | undefined {
  if (failed !== undefined) return latchedVerdict(failed, state)
  return gap?.mood === 'stalled' ? gap : undefined
}

const LATCHES = ['UnawarePod', 'RedisDataLost'] as const

function latchedVerdict(failed: StatusFailed, state: RoutingState): Verdict {
  const reason = LATCHES.find((known) => known === failed.reason) ?? 'CheckFailed'
  const text = `${failed.message}; failed in ${failed.phase}, held at ${stateText(state)}`
  return verdict('stalled', reason, text)
}

function isFenced(scene: Scene, status: Status, epoch: number): boolean {
  return (status.fence ?? 0) >= epoch && (scene.redis.fence ?? 0) >= epoch
}
