import type { JobKeyMigration } from '../api/resource.ts'
import type { Status, StatusCondition } from '../api/status.ts'

/**
 * The status of a resource that cannot be worked on at all, before any decision: everything known is kept, the conditions say
 * why. `now`: ms since 1970.
 */
export function stalledStatus(resource: JobKeyMigration, reason: string, message: string, now: number): Status {
  const text = message.slice(0, 1000)
  const old = resource.status?.conditions ?? []
  const condition = (type: string, status: StatusCondition['status']): StatusCondition => {
    const before = old.find((one) => one.type === type)
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : new Date(now).toISOString()
    return { type, status, reason, message: text, lastTransitionTime, observedGeneration: resource.metadata.generation }
  }
  const conditions = [condition('Ready', 'False'), condition('Reconciling', 'False'), condition('Stalled', 'True')]
  const others = old.filter(({ type }) => !conditions.some((one) => one.type === type))
  return {
    ...resource.status,
    observedGeneration: resource.metadata.generation,
    message: text,
    conditions: [...conditions, ...others],
  }
}
