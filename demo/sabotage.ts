import { WORKSPACES, hashFields, legacyKey, targetKey } from './jobs.ts'
import type { Entry, Ledger } from './ledger.ts'
import type { RedisConnection } from './resp.ts'

export const SABOTAGES = ['lost', 'stale', 'leak'] as const
export type Sabotage = (typeof SABOTAGES)[number]

export function isSabotage(text: string): text is Sabotage {
  return (SABOTAGES as readonly string[]).includes(text)
}

export interface Damage {
  /** One sentence on what was done. */
  readonly what: string
  undo(): Promise<void>
}

/**
 * Damages one key of a hash job behind the check's back, in the way that `kind` names, to show that the check can fail.
 * Runs when all traffic has ended, with every job on both schemas.
 */
export async function sabotage(kind: Sabotage, redis: RedisConnection, ledger: Ledger): Promise<Damage> {
  const entry = await victim(redis, ledger)
  const [legacy, target] = [legacyKey(entry.id), targetKey(entry.workspace, entry.id)]
  const restore = async (): Promise<void> => {
    await redis.command('COPY', legacy, target, 'REPLACE')
  }
  switch (kind) {
    case 'lost':
      await redis.command('DEL', target)
      return { what: `deleted ${target}`, undo: restore }
    case 'stale': {
      const old = hashFields(entry.workspace, entry.id, entry.acked - 1)
      await redis.command('HSET', target, ...Object.entries(old).flat())
      return { what: `set ${target} back to version ${entry.acked - 1} of ${entry.acked}`, undo: restore }
    }
    case 'leak': {
      const other = targetKey(WORKSPACES.find((w) => w !== entry.workspace) ?? '', entry.id)
      await redis.command('COPY', target, other)
      return {
        what: `copied ${target} to ${other}`,
        undo: async () => void (await redis.command('DEL', other)),
      }
    }
  }
}

// A job that was updated, so that it has an older version, and that does not end meanwhile.
async function victim(redis: RedisConnection, ledger: Ledger): Promise<Entry> {
  for (const entry of ledger.all()) {
    if (entry.state !== 'live' || entry.uncertain || entry.acked === 0 || entry.expiresAt !== undefined) continue
    if ((await redis.command('EXISTS', targetKey(entry.workspace, entry.id))) === 1) return entry
  }
  throw new Error('no job that was updated and is on both schemas: nothing to damage')
}
