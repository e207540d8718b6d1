import { WORKSPACES, hashFields, legacyKey, targetKey } from './jobs.ts'
import { isOpen, type Entry, type Ledger } from './ledger.ts'
import type { RedisConnection } from './resp.ts'
import type { Harm } from './violations.ts'

export const SABOTAGES = ['lost', 'stale', 'leak', 'resurrected', 'different'] as const
export type Sabotage = (typeof SABOTAGES)[number]

/** The harm that the check must then count. */
export const harmOf = (kind: Sabotage): Harm => (kind === 'leak' ? 'leaked' : kind)

export function isSabotage(text: string): text is Sabotage {
  return (SABOTAGES as readonly string[]).includes(text)
}

export interface Damage {
  /** One sentence on what was done. */
  readonly what: string
  undo(): Promise<void>
}

/**
 * Damages one hash job behind the check's back, in the way that `kind` names, to show that the check can fail.
 * Runs when all traffic has ended, with every job on both schemas.
 */
export async function sabotage(kind: Sabotage, redis: RedisConnection, ledger: Ledger): Promise<Damage> {
  if (kind === 'resurrected') return resurrect(redis, ledger)
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
    case 'different':
      // Both keys alike: comparing them with each other would not see it.
      for (const key of [legacy, target]) await redis.command('HINCRBY', key, 'updates', 1)
      return {
        what: `counted one update too many on ${legacy} and ${target}`,
        undo: async () => {
          for (const key of [legacy, target]) await redis.command('HINCRBY', key, 'updates', -1)
        },
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

/** Brings a deleted job back, on both schemas. */
async function resurrect(redis: RedisConnection, ledger: Ledger): Promise<Damage> {
  const entry = [...ledger.all()].find(({ state }) => state === 'deleted')
  if (entry === undefined) throw new Error('no job was deleted: nothing to bring back')
  const keys = [legacyKey(entry.id), targetKey(entry.workspace, entry.id)]
  const fields = Object.entries(hashFields(entry.workspace, entry.id, entry.acked)).flat()
  for (const key of keys) await redis.command('HSET', key, ...fields)
  return { what: `wrote ${keys.join(' and ')} again`, undo: async () => void (await redis.command('DEL', ...keys)) }
}

// A job that was updated, so that it has an older version, and that does not end meanwhile.
async function victim(redis: RedisConnection, ledger: Ledger): Promise<Entry> {
  for (const entry of ledger.all()) {
    if (entry.state !== 'live' || isOpen(entry) || entry.acked === 0 || entry.expiresAt !== undefined) continue
    if ((await redis.command('EXISTS', targetKey(entry.workspace, entry.id))) === 1) return entry
  }
  throw new Error('no job that was updated and is on both schemas: nothing to damage')
}
