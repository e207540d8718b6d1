import { ANNOTATIONS, configMapName } from '../api/resource.ts'
import { parseDocument, ROUTING_FILE, type RoutingDocument } from '../protocol/document.ts'
import { takeAccount } from './account.ts'
import { adoptRecord } from './adopt.ts'
import { conclude } from './conclude.ts'
import { watchReverts } from './config-map.ts'
import { assessConvergence, notePods } from './convergence.ts'
import type { Status } from '../api/status.ts'
import { note, type Draft } from './draft.ts'
import { newWriters, noteRedis, noteWriters } from './facts.ts'
import { stateText } from './ladder.ts'
import { forgetWithdrawn } from './orders.ts'
import { publish, publishFirst } from './publish.ts'
import { heldByOther } from './rivals.ts'
import { stateOf, type Scene } from './scene.ts'
import { finish, takeStep } from './step.ts'
import { findTruth } from './truth.ts'
import { cut } from './text.ts'
import type { Decision, EventNote } from './types.ts'
import { verdict, type Verdict } from './verdict.ts'
import { frozenDrift, isOnWayBack } from './walk.ts'

/** One pass over a resource whose Redis was read: truth, then facts, then the walk. */
export function decidePass(scene: Scene): Decision {
  const before = forgetWithdrawn(scene, scene.resource.status ?? {})
  const hold = (held: Verdict): Decision =>
    conclude({ resource: scene.resource, now: scene.now, status: before, verdict: held, actions: [], events: [] })
  const rivalled = heldByOther(scene)
  if (rivalled !== undefined) return hold(rivalled)
  const truth = findTruth(scene, before)
  switch (truth.kind) {
    case 'conflict':
      return hold(verdict('stalled', 'StateConflict', truth.message))
    case 'nothing': {
      const { configMap } = scene.observations
      if (!configMap.known) return hold(verdict('waiting', 'ConfigMapUnknown', configMap.message))
      return published(scene, {
        status: publishFirst(scene, facts(scene, before)),
        events: [note('FirstPublished', 'epoch 1 routes as before: Legacy'), ...heldBefore(scene)],
      })
    }
    case 'adopted': {
      const { document, epoch } = truth
      const state = stateOf(document)
      const status = facts(scene, { ...before, evidence: undefined, fence: undefined })
      const adopted = publish(scene, status, { state, epoch, from: undefined, abort: false, reason: 'Adopted' })
      const event = note('Adopted', `${stateText(state)} goes on as epoch ${epoch}, adopted by annotation`, 'Warning')
      return published(scene, { status: adopted, events: [event] }, true)
    }
    case 'record': {
      const { document, record } = truth
      const text = `status goes on from the record in Redis: ${stateText(stateOf(document))}, epoch ${document.epoch}`
      const start = { status: adoptRecord(scene, before, record, document), events: [note('Adopted', text, 'Warning')] }
      return walkOn(scene, start, document)
    }
    case 'status': {
      const { document, behind, takeOver } = truth
      const text = `the record in Redis lies behind status, epoch ${document.epoch} is written again`
      const events = behind && document.controlPrefix === scene.controlPrefix ? [note('Adopted', text, 'Warning')] : []
      return walkOn(scene, { status: before, events }, document, takeOver)
    }
  }
}

/** Whoever has written the key before will do so again with its next release. */
function heldBefore({ observations: { configMap }, resource }: Scene): readonly EventNote[] {
  const manager = configMap.known ? configMap.value.foreignManager : undefined
  if (manager === undefined || !configMap.known || configMap.value.document === undefined) return []
  const text = `${cut(manager, 128)} has ${ROUTING_FILE} of ConfigMap ${configMapName(resource)} in what it manages, and will take the routing document back: leave that key out of it`
  return [note('ConfigMapReverted', text, 'Warning')]
}

/** Facts of the world go into status; then the walk takes its step, if it may. */
function walkOn(scene: Scene, start: Draft, doc: RoutingDocument, takeOver = false): Decision {
  const current = facts(scene, start.status)
  const reverts = watchReverts(scene, current, isOnWayBack(scene, current, doc))
  const reverted =
    reverts.revertedBy === undefined
      ? []
      : [note('ConfigMapReverted', `${reverts.revertedBy} took back the routing document`, 'Warning')]
  const seen: Draft = {
    status: reverts.status,
    events: [...start.events, ...reverted, ...newWriters(start.status, reverts.status)],
  }
  const convergence = assessConvergence(scene, seen.status, doc)
  const drift = frozenDrift(scene, doc)
  const stand = { doc, convergence, mayWrite: reverts.mayWrite, takeOver }
  if (drift.length === 0) return takeStep({ ...stand, scene, account: takeAccount(scene, seen, doc, convergence) })
  // Other templates have another record, fence and members: with them nothing can be told of the walk in hand.
  if (doc.controlPrefix !== scene.controlPrefix) {
    const text = `${drift.join(', ')} cannot change in phase ${doc.phase}: put back what was there`
    const account = { ...seen, soaked: false, due: [] }
    return finish({ ...stand, scene, account }, verdict('stalled', 'InvalidSpec', text))
  }
  const text = `${drift.join(', ')} cannot change in phase ${doc.phase}: delete the resource (annotated ${ANNOTATIONS.abandon}: "true") and apply it with what was there, or lower targetPhase to Legacy, where it may change`
  const documented = asDocumented(scene, doc)
  const account = takeAccount(documented, seen, doc, convergence)
  return takeStep({ ...stand, scene: documented, account, frozen: verdict('stalled', 'InvalidSpec', text) })
}

/** The scene with what cannot change past Legacy as the document in force has it: a walk back goes by that. */
function asDocumented(scene: Scene, { legacy, target, workspaceField, canaryBy }: RoutingDocument): Scene {
  return { ...scene, input: { ...scene.input, legacy, target, workspaceField, canaryBy } }
}

/** What is seen of Redis and of pods. */
function facts(scene: Scene, status: Status): Status {
  return notePods(scene, noteWriters(scene, noteRedis(scene, status)))
}

/** A document has been put in force out of turn: what stands now is said of it, nothing more is done. */
function published(scene: Scene, draft: Draft, takeOver = false): Decision {
  const doc = parseDocument(draft.status.routing ?? '')
  const convergence = assessConvergence(scene, draft.status, doc)
  const account = takeAccount(scene, draft, doc, convergence)
  return takeStep({ scene, account, doc, convergence, mayWrite: true, takeOver })
}
