import {
  ENTRY,
  expiryOf,
  FRESH,
  NOTHING,
  updated,
  value,
  versionOf,
  withExpiry,
  workspaceOf,
  type Value,
} from './state.ts'
import type { Route } from './ladder.ts'
import type { Rules } from './rules.ts'

/** The keys of one job in Redis. */
export interface Keys {
  legacy: Value
  targets: [Value, Value]
  /** Whose job id it is, where the routing knows the owner key. */
  owner: Value
}

export const OPERATIONS = ['create', 'get', 'update', 'compare', 'delete', 'expire'] as const
export type Operation = (typeof OPERATIONS)[number]

/** `ok`: the script did what was asked; `got`: what a read answered. */
export interface Answer {
  readonly ok: boolean
  readonly got?: Value
}

const NO: Answer = { ok: false }
const OK: Answer = { ok: true }
/** Second moment of expiry, for the rule that both keys get one. */
const LATER = 2

type Side = 'legacy' | 'target'
type Found = 'none' | 'mine' | 'other'

/**
 * What src/redis/lua/job-<operation>.lua does to the keys of a job, on behalf of `workspace`. `compare` is an update that
 * asks for the version `seen`.
 */
export function run(
  operation: Operation,
  keys: Keys,
  workspace: number,
  route: Route,
  rules: Rules,
  seen?: number,
): Answer {
  switch (operation) {
    case 'create':
      return create(keys, workspace, route, rules)
    case 'get':
      return get(keys, workspace, route)
    case 'update':
      return update(keys, workspace, route, rules)
    case 'compare':
      return update(keys, workspace, route, rules, seen)
    case 'delete':
      return remove(keys, workspace, route, rules)
    case 'expire':
      return expire(keys, workspace, route, rules)
  }
}

/** What each operation means for a job, whatever the routing: the truth after it and the answer it must give. */
export function meaning(
  operation: Operation,
  truth: Value,
  workspace: number,
  seen?: number,
): { truth: Value; answer: Answer } {
  const mine = truth !== NOTHING && workspaceOf(truth) === workspace
  switch (operation) {
    case 'create':
      return truth === NOTHING ? { truth: value(workspace, 0, FRESH), answer: OK } : { truth, answer: NO }
    case 'get':
      return { truth, answer: mine ? { ok: true, got: truth } : NO }
    case 'update':
      return mine ? { truth: updated(truth), answer: OK } : { truth, answer: NO }
    case 'compare':
      return mine && versionOf(truth) === seen ? { truth: updated(truth), answer: OK } : { truth, answer: NO }
    case 'delete':
      return mine ? { truth: NOTHING, answer: OK } : { truth, answer: NO }
    case 'expire':
      return mine ? { truth: withExpiry(truth, expiryOf(truth) === 0 ? 1 : 0), answer: OK } : { truth, answer: NO }
  }
}

function stateOf(v: Value, workspace: number): Found {
  return v === NOTHING ? 'none' : workspaceOf(v) === workspace ? 'mine' : 'other'
}

// look() of lib/job.lua
function look(keys: Keys, workspace: number, route: Route): { l: Found; t: Found; found: Side[]; missing: boolean } {
  const l = stateOf(keys.legacy, workspace)
  const t = stateOf(keys.targets[workspace] as Value, workspace)
  const found: Side[] = l === 'mine' ? ['legacy'] : []
  if (t === 'mine' && (l === 'mine' || route.order !== 'L')) {
    if (route.order === 'TL') found.unshift('target')
    else found.push('target')
  }
  return { l, t, found, missing: found.length === 0 && l !== 'other' && t !== 'other' }
}

function read(keys: Keys, side: Side, workspace: number): Value {
  return side === 'legacy' ? keys.legacy : (keys.targets[workspace] as Value)
}

function write(keys: Keys, side: Side, workspace: number, v: Value): void {
  if (side === 'legacy') keys.legacy = v
  else keys.targets[workspace] = v
}

function create(keys: Keys, workspace: number, route: Route, rules: Rules): Answer {
  const { l, t, found } = look(keys, workspace, route)
  if (rules.createIfAbsent) {
    if (l === 'other' || found.length > 0) return NO
    if (!rules.legacyDecides && t === 'mine') return NO
    if (knowsOwner(route, rules) && stateOf(keys.owner, workspace) === 'other') return NO
  }
  const toTarget = route.createTarget || (t === 'mine' && rules.strayOverwritten)
  if (toTarget && t === 'other') return NO
  const made = value(workspace, 0, FRESH)
  if (route.createLegacy) keys.legacy = made
  if (toTarget) keys.targets[workspace] = made
  if (route.owner === 'held' && rules.owner) keys.owner = value(workspace, 0, 0)
  return OK
}

function knowsOwner(route: Route, rules: Rules): boolean {
  return route.owner !== undefined && rules.owner
}

function get(keys: Keys, workspace: number, route: Route): Answer {
  const { found } = look(keys, workspace, route)
  const first = route.order === 'TL' ? 'target' : 'legacy'
  const side = found.find((one) => one === first || route.fallback)
  return side === undefined ? NO : { ok: true, got: read(keys, side, workspace) }
}

// The rule off: the percentage decides whether the target key is looked after.
function maintained(found: readonly Side[], route: Route, rules: Rules): readonly Side[] {
  return rules.maintain ? found : found.filter((side) => side === 'legacy' || route.createTarget)
}

function update(keys: Keys, workspace: number, route: Route, rules: Rules, seen?: number): Answer {
  const { found, missing } = look(keys, workspace, route)
  if (seen !== undefined && rules.compares) {
    const first = found[0]
    if (first === undefined || versionOf(read(keys, first, workspace)) !== seen) return NO
  }
  if (found.length === 0) {
    if (rules.updateIfExists || !missing) return NO
    keys.legacy = value(workspace, 0, FRESH)
    return OK
  }
  for (const side of maintained(found, route, rules)) write(keys, side, workspace, updated(read(keys, side, workspace)))
  return OK
}

function remove(keys: Keys, workspace: number, route: Route, rules: Rules): Answer {
  const { t, found, missing } = look(keys, workspace, route)
  if (found.length > 0) {
    for (const side of maintained(found, route, rules)) write(keys, side, workspace, NOTHING)
    if (knowsOwner(route, rules)) keys.owner = NOTHING
    return OK
  }
  if (missing && t === 'mine') keys.targets[workspace] = NOTHING
  return NO
}

function expire(keys: Keys, workspace: number, route: Route, rules: Rules): Answer {
  const { found, missing } = look(keys, workspace, route)
  if (found.length === 0) return rules.expireIfExists || !missing ? NO : OK
  const expiry = expiryOf(read(keys, found[0] as Side, workspace)) === 0 ? 1 : 0
  for (const side of maintained(found, route, rules)) {
    const relative = !rules.absoluteExpiry && side === 'target' && expiry === 1
    write(keys, side, workspace, withExpiry(read(keys, side, workspace), relative ? LATER : expiry))
  }
  if (keys.owner !== NOTHING && knowsOwner(route, rules)) keys.owner = withExpiry(keys.owner, expiry)
  return OK
}

/** What dequeue makes of an entry: the workspace of its job, or undefined where the job is gone. find_job() of lib/queue-entry.lua. */
export function resolve(entry: number, keys: Keys, route: Route): number | undefined {
  if (entry === ENTRY.job) return keys.legacy === NOTHING ? undefined : workspaceOf(keys.legacy)
  const workspace = entry - ENTRY.pair
  const holds = (v: Value): boolean => stateOf(v, workspace) === 'mine'
  return holds(keys.legacy) || (route.order !== 'L' && holds(keys.targets[workspace] as Value)) ? workspace : undefined
}
