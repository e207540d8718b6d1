import type { Places } from '../deploy.ts'
import type { StoreName } from '../jobs.ts'
import type { Watch } from '../resource.ts'
import type { RedisConnection } from '../resp.ts'
import type { Screen } from '../screen.ts'
import type { Target, Wrecker } from '../target.ts'

/** What faults are made in. */
export interface World {
  readonly target: Target
  readonly wrecker: Wrecker
  readonly places: Places
  readonly watch: Watch
  readonly screen: Screen
  readonly signal: AbortSignal
  /** Counts of the live traffic so far. */
  readonly requests: () => { readonly retried: number; readonly unknown: number }
  openRedis(store: StoreName): Promise<RedisConnection>
  /** Ids of the containers that were killed on purpose. */
  readonly killed: Set<string>
}

/** Whether all is as before; polled. What it throws means "not yet". */
export type Recovered = () => Promise<boolean>

export interface Fault {
  readonly name: string
  /** Recovery that takes longer is a failure of the demo. */
  readonly limitMs: number
  strike(): Promise<Recovered>
}

/** True once `good` was so at every look for `ms`: what is measured every few seconds must have had the time to notice. */
export function lasting(ms: number, good: Recovered): Recovered {
  let since: number | undefined
  return async () => {
    if (!(await good().catch(() => false))) since = undefined
    else since ??= Date.now()
    return since !== undefined && Date.now() - since >= ms
  }
}

export const seconds = (n: number): number => n * 1000
