/**
 * What asynchronous replication may leave of a job: acknowledged writes of the moments before a failover may be gone, and
 * callers may have been on both sides. What is there must still be what somebody wrote, or what was there before.
 */
import type { Action, Present, State, Value } from './job.ts'
import type { Operation } from './linearize.ts'

/** `before`: what the job may have been at some moment that nothing was lost of; `since`: all that was asked for after it. */
export function isExplained(seen: State, before: readonly State[], since: readonly Operation[]): boolean {
  const actions = since.map(({ action }) => action)
  if (seen === undefined) return before.some(mayEnd) || actions.some(mayTakeAway)
  const bases = [...before.filter((state) => state !== undefined), ...actions.flatMap(created)]
  return bases.some((base) => base.workspace === seen.workspace && isMade(seen, base, bases, actions))
}

function mayEnd(state: State): boolean {
  return state === undefined || state.expiresAt !== null
}

function mayTakeAway(action: Action): boolean {
  if (action.kind === 'delete' || action.kind === 'create') return true
  return action.kind === 'expire' && action.expiresAt !== null
}

function created(action: Action): Present[] {
  return action.kind === 'create'
    ? [{ workspace: action.workspace, value: action.value, expiresAt: action.expiresAt }]
    : []
}

function isMade(seen: Present, base: Present, bases: readonly Present[], actions: readonly Action[]): boolean {
  const expiries = [
    ...bases.map(({ expiresAt }) => expiresAt),
    ...actions.flatMap((one) => (one.kind === 'expire' ? [one.expiresAt] : [])),
  ]
  if (!expiries.includes(seen.expiresAt)) return false
  const { value } = seen
  if (typeof value === 'string' || typeof base.value === 'string')
    return value === base.value || actions.some((one) => one.kind === 'replace' && one.swap?.text === value)
  const fields: Readonly<Record<string, string>> = value
  const counted = actions.some(({ kind }) => kind === 'mutate')
  return Object.entries(fields).every(
    ([name, text]) =>
      fieldOf(base.value, name) === text ||
      actions.some((one) => sets(one, name, text)) ||
      (counted && /^\d+$/.test(text)),
  )
}

function fieldOf(value: Value, name: string): string | undefined {
  return typeof value === 'string' ? undefined : value[name]
}

function sets(action: Action, name: string, text: string): boolean {
  if (action.kind === 'update') return action.set[name] === text
  if (action.kind !== 'mutate') return false
  return action.commands.some(([command, field, value]) => command === 'HSET' && field === name && value === text)
}
