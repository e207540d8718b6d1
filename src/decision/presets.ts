import type { CheckSpec, Spec } from '../api/schema.ts'
import { CLIENT_EPOCH } from '../protocol/metrics.ts'

const WINDOW = '5m'
/** A counter not seen for this long before the window is new in it. */
const BEFORE = '15m'

/** The checks of a spec: its own, else the presets; none when `slo.disabled`. `name`: that of the resource. */
export function checksOf(spec: Pick<Spec, 'slo'>, name: string): readonly CheckSpec[] {
  if (spec.slo.disabled) return []
  return spec.slo.checks ?? presetChecks(name)
}

/** Default checks over the metrics of the Keyshift client, for the migration of that name. */
export function presetChecks(name: string): readonly CheckSpec[] {
  const migration = `{migration="${name}"}`
  return [
    preset('error-rate', share('ai_jobs_total{status="failed"}', 'ai_jobs_total', 'workspace_id')),
    preset('isolation', share('security_decisions_total{result="deny"}', 'security_decisions_total')),
    preset(
      'stale-epoch',
      share(`keyshift_client_stale_epoch_total${migration}`, `keyshift_client_operations_total${migration}`),
    ),
  ]
}

/**
 * Query that answers something only while Prometheus scrapes clients of the migration of that name, and did so already
 * a window ago: one that has lost its data has nothing to say yet of what the window held.
 */
export function clientsSeen(name: string): string {
  const clients = `${CLIENT_EPOCH}{migration="${name}"}`
  return `count(${clients}) and count(${clients} offset ${WINDOW})`
}

function preset(name: string, query: string): CheckSpec {
  return { name, query, max: 0.01, interval: '30s', failureLimit: 3, onNoData: 'Inconclusive' }
}

/**
 * Share of the series `selector` in all of `metric`. What never counted is 0, not missing; whatever did nothing in the
 * window is left out, so that idle workspaces divide nothing by nothing.
 */
function share(selector: string, metric: string, by?: string): string {
  const sum = (series: string): string => (by === undefined ? `sum(${series})` : `sum by (${by}) (${series})`)
  const [part, all] = [sum(growth(selector, metric)), sum(growth(metric, metric))]
  return `(${part} or 0 * ${all}) / (${all} > 0)`
}

// A counter that came to life within the window shows no increase for what it counted before its first scrape: its
// highest value is its growth. That holds only where Prometheus watched the application already: to one that has just
// begun, every counter is new. Any other counter has its increase, restarts included.
function growth(selector: string, metric: string): string {
  const isNew = `max_over_time(${selector}[${WINDOW}]) unless max_over_time(${selector}[${BEFORE}] offset ${WINDOW})`
  return `((${isNew}) and on() group(${metric} offset ${WINDOW})) or increase(${selector}[${WINDOW}])`
}
