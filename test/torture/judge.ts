/** The invariants, judged at rest from keys, histories and what the operator claims. */
import type { RoutingDocument } from '../../src/protocol/document.ts'
import { ROUTING_TABLE } from '../../src/protocol/phases.ts'
import type { Deliveries } from './deliveries.ts'
import { stateText, valueText, type Present, type State } from './history/job.ts'
import { CLOCK_ERROR_MS } from './history/linearize.ts'
import type { Broken, Histories } from './histories.ts'
import { homeOf, WORKSPACES } from './jobs.ts'
import type { Keys, Stored } from './keys.ts'
import type { Invariant, Tally } from './tally.ts'

/** What the operator says of the data at this rest. */
export interface Claims {
  readonly doc: RoutingDocument | undefined
  /** Backfill is complete and both schemas are verified equal. */
  readonly complete: boolean
  /** One of the workers that proved it was killed, or ran twice. */
  readonly disturbed: boolean
  /** The routing has gone back since the last rest. */
  readonly wentBack: boolean
  /** A failover began then, on the clock of the histories. */
  readonly torn?: number | undefined
}

export interface Rest {
  readonly keys: Keys
  readonly claims: Claims
  readonly histories: Histories
  readonly deliveries: Deliveries
  readonly tally: Tally
}

/** @returns jobs of queues that need no more judging */
export function judgeKeys(rest: Rest): readonly string[] {
  const { keys, tally, claims, deliveries } = rest
  judgePairs(rest)
  judgeNames(rest)
  judgeLeftovers(rest)
  if (claims.complete) judgeComplete(rest)
  if (keys.dead > 0) tally.violation('I2', `${keys.dead} queue entries were taken for malformed`)
  if (claims.torn !== undefined) deliveries.forgive((jobId) => keys.waiting.get(jobId) ?? 0)
  const exists = (jobId: string): boolean => keys.legacy.has(jobId) || keys.target.has(jobId)
  const { over, found } = deliveries.rest(exists, (jobId) => keys.waiting.get(jobId) ?? 0)
  for (const { invariant, text } of found) tally.violation(invariant, text)
  return over
}

/** Judges the stretch of one job's history that ends at this rest. */
export function judgeHistory(rest: Rest, jobId: string): void {
  const seen = jobAt(rest, jobId)
  const broken = rest.histories.rest(jobId, [rest.keys.from, rest.keys.to], seen, stateText(seen), rest.claims.torn)
  if (broken !== undefined) rest.tally.violation(invariantOf(rest, broken), broken.text)
}

/** The job as its keys have it: where legacy is complete, legacy is what counts. */
function jobAt({ keys, claims }: Rest, jobId: string): State {
  const stored = legacyIsComplete(claims) ? keys.legacy.get(jobId) : (anyTarget(keys, jobId) ?? keys.legacy.get(jobId))
  if (stored === undefined) return undefined
  const { workspace, value, expiresAt } = stored
  return { workspace, value, expiresAt }
}

function legacyIsComplete({ doc }: Claims): boolean {
  return doc === undefined || ROUTING_TABLE[doc.phase].createLegacy
}

function invariantOf({ keys, claims }: Rest, { offending, jobId }: Broken): Invariant {
  const { action, answer } = offending
  if (action.kind === 'look') return !keys.legacy.has(jobId) && keys.target.has(jobId) ? 'I5' : 'I2'
  if (answer !== undefined && answer !== 'absent' && isOfAnother(action.workspace, action.kind, answer)) return 'I3'
  return claims.wentBack ? 'I5' : 'I2'
}

function isOfAnother(workspace: string, kind: string, answer: string): boolean {
  return kind === 'get' && !answer.startsWith(`${workspace} `)
}

function judgePairs({ keys, tally }: Rest): void {
  for (const [jobId, targets] of keys.target)
    for (const [workspace, target] of targets) {
      const legacy = keys.legacy.get(jobId)
      if (legacy === undefined || legacy.workspace !== workspace) continue
      if (endsAround(keys, legacy) || endsAround(keys, target)) continue
      if (pairText(legacy) !== pairText(target))
        tally.violation('I1', `the keys of job ${jobId} differ: legacy ${pairText(legacy)}, target ${pairText(target)}`)
    }
}

function judgeNames({ keys, tally, histories }: Rest): void {
  const known = new Set(histories.jobIds())
  for (const jobId of new Set([...keys.legacy.keys(), ...keys.target.keys()]))
    if (!known.has(jobId)) tally.violation('I2', `job ${jobId} is there and nobody has made it, or it was taken away`)
  for (const [jobId, targets] of keys.target)
    for (const [workspace, { workspace: stored }] of targets)
      if (workspace !== stored)
        tally.violation('I3', `the target key of ${workspace} and job ${jobId} holds a value of ${stored}`)
}

/** Where legacy is complete, a target key alone is a job that was deleted or has ended: reads will find it later. */
function judgeLeftovers({ keys, tally, claims }: Rest): void {
  if (!legacyIsComplete(claims)) return
  for (const [jobId, targets] of keys.target)
    for (const [workspace, target] of targets)
      if (!keys.legacy.has(jobId) && !endsAround(keys, target))
        tally.violation('I2', `job ${jobId} is gone, and its target key of ${workspace} is there`)
}

function judgeComplete({ keys, tally, claims }: Rest): void {
  const invariant = claims.disturbed ? 'I6' : 'I4'
  for (const [jobId, legacy] of keys.legacy)
    if (!endsAround(keys, legacy) && keys.target.get(jobId)?.has(legacy.workspace) !== true)
      tally.violation(invariant, `everything is verified, and job ${jobId} of ${legacy.workspace} has no target key`)
  for (const [jobId, targets] of keys.target)
    for (const [workspace, target] of targets)
      if (!endsAround(keys, target) && keys.legacy.get(jobId)?.workspace !== workspace)
        tally.violation(
          invariant,
          `everything is verified, and the target key of ${workspace} and job ${jobId} has no legacy key`,
        )
}

function anyTarget({ target }: Keys, jobId: string): Stored | undefined {
  const targets = target.get(jobId)
  return targets?.get(homeOf(jobId)) ?? WORKSPACES.map((one) => targets?.get(one)).find((one) => one !== undefined)
}

function pairText({ type, value, expiresAt }: Stored): string {
  return `${type} ${valueText(value)} ${expiresAt ?? 'for ever'}`
}

/** It may have ended between two reads of this rest. */
function endsAround(keys: Keys, { expiresAt }: Present): boolean {
  return expiresAt !== null && expiresAt < keys.to + CLOCK_ERROR_MS
}
