import { Refused } from './errors.ts'
import { widest, type NeededRight } from './rights.ts'

/** Sends one command. @throws Refused, NotReady, UnknownOutcome */
export type Ask = (args: readonly [string, ...string[]]) => Promise<unknown>

/** What `user` may not do of what it needs, as it is granted; undefined where the server does not tell. */
export function dryRun(ask: Ask, user: string, needed: readonly NeededRight[]): Promise<readonly string[] | undefined> {
  return missingOf(needed, ({ args }) => answerOf(ask, ['ACL', 'DRYRUN', user, ...args]))
}

/** The same of the own user, by running each command: `needed` names only keys that are not there. */
export function tryRun(ask: Ask, needed: readonly NeededRight[]): Promise<readonly string[] | undefined> {
  return missingOf(needed, ({ args }) => answerOf(ask, args))
}

type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Refused }

async function missingOf(
  needed: readonly NeededRight[],
  ask: (right: NeededRight) => Promise<Answer>,
): Promise<readonly string[] | undefined> {
  const missing = new Set<string>()
  const either: NeededRight[] = []
  const answers = await Promise.all(needed.map(async (right) => ({ right, answer: await ask(right) })))
  for (const { right, answer } of answers) {
    const verdict = answer.ok ? String(answer.value) : answer.error.message
    if (/no permissions? to (run|execute)/i.test(verdict)) missing.add(right.command)
    else if (/no permissions? to access|can't access at least one of the keys/i.test(verdict))
      if (right.keys.length > 1) either.push(right)
      else for (const key of right.keys) missing.add(key)
    // Neither about rights nor that the script is not known: the server cannot tell.
    else if (!answer.ok && answer.error.redisCode !== 'NOSCRIPT') return undefined
  }
  // A command on two keys does not say which one it may not touch; mostly one on a single key has said so.
  for (const { keys } of either) if (!keys.some((key) => missing.has(key))) for (const key of keys) missing.add(key)
  return widest(missing)
}

export async function answerOf(ask: Ask, args: readonly [string, ...string[]]): Promise<Answer> {
  try {
    return { ok: true, value: await ask(args) }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, error }
    throw error
  }
}
