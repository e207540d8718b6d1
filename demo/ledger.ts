import { STORES, type StoreInfo, type StoreName } from './jobs.ts'

/** What the traffic (and the seed) knows of one job from acknowledged answers alone. */
export interface Entry {
  readonly id: string
  readonly workspace: string
  /** True for a job written by the seed, whose text is as seeded while `acked` is 0. */
  readonly seeded: boolean
  /** Highest version acknowledged, or seen by a read. */
  acked: number
  /** Highest version ever sent. */
  issued: number
  /** Absolute expiry, ms of Redis's clock; undefined for none. */
  expiresAt: number | undefined
  state: 'live' | 'deleted'
  /** Its create or delete has no answer (yet): it may be there or not, on both schemas alike. */
  unknown: 'create' | 'delete' | undefined
  /** An `expire` without an answer: this may be its expiry as well. */
  otherExpiry: number | undefined
  /** It went through the queue: a worker must bring it to `done`. */
  readonly queued: boolean
  /** Highest position in STATUS_ORDER that a read has shown. */
  statusSeen: number
  /** A write is on its way: only one at a time for each job. */
  writing: boolean
  /** Counts beginnings and ends of creates, deletes and expiries: a read that overlaps one may find the job or not. */
  moves: number
}

/** Distance to an expiry within which a job may be there or not: clocks, delays. */
export const EXPIRY_SLACK_MS = 2_000

export type Presence = 'there' | 'gone' | 'either'

/** Whether the job must be there for a read that ran from `from` to `to` (ms of Redis's clock). */
export function presence(entry: Entry, from: number, to: number): Presence {
  if (entry.state === 'deleted') return 'gone'
  const ends = [entry.expiresAt ?? Infinity, entry.otherExpiry ?? entry.expiresAt ?? Infinity]
  if (from > Math.max(...ends) + EXPIRY_SLACK_MS) return 'gone'
  return entry.unknown === undefined && to < Math.min(...ends) - EXPIRY_SLACK_MS ? 'there' : 'either'
}

/** A write of it got no answer, and no read has shown since what became of it: it is read, and not written again. */
export function isOpen({ unknown, otherExpiry, acked, issued }: Entry): boolean {
  return unknown !== undefined || otherExpiry !== undefined || issued > acked
}

/** The record of one store: every job that ever was, and how many writes were acknowledged. */
export class Ledger {
  readonly store: StoreInfo
  readonly #entries = new Map<string, Entry>()
  readonly #pickable: Entry[] = []
  readonly counts = { created: 0, updated: 0, deleted: 0 }

  constructor(name: StoreName) {
    this.store = STORES[name]
  }

  add(job: Pick<Entry, 'id' | 'workspace' | 'seeded' | 'queued' | 'expiresAt'>): Entry {
    const entry: Entry = {
      ...job,
      acked: 0,
      issued: 0,
      state: 'live',
      unknown: undefined,
      otherExpiry: undefined,
      statusSeen: 0,
      writing: false,
      moves: 0,
    }
    this.#entries.set(job.id, entry)
    this.#pickable.push(entry)
    return entry
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  get size(): number {
    return this.#entries.size
  }

  all(): IterableIterator<Entry> {
    return this.#entries.values()
  }

  /** A random job; deleted and expired ones now and then too, because they must stay gone. */
  pick(random: () => number): Entry | undefined {
    return this.#pickable[Math.floor(random() * this.#pickable.length)]
  }
}
