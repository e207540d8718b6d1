import { collectDefaultMetrics, Registry } from 'prom-client'

/** A registry with the metrics of the process itself; Keyshift's own begin with `keyshift_`. */
export function createRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}
