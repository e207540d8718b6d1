import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Status } from '../api/status.ts'
import type { Observations } from '../decision/types.ts'
import { phaseIndex } from '../protocol/phases.ts'

/** What is shown of one resource; its series go with it. */
export interface ResourceView {
  readonly status: Status
  readonly observations?: Pick<Observations, 'latest' | 'work'> | undefined
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | undefined]

/** Series of resources, by name: what each shows of a view. */
const SERIES: Readonly<
  Record<
    string,
    { readonly help: string; readonly labels: readonly string[]; of(view: ResourceView): readonly Sample[] }
  >
> = {
  keyshift_phase: {
    help: 'Phase in force: 0 Legacy, 1 DualWrite, 2 ReadRouting, 3 BackfillVerify.',
    labels: [],
    of: ({ status }) => [[{}, status.phase && phaseIndex(status.phase)]],
  },
  keyshift_epoch: {
    help: 'Epoch of the routing document in force.',
    labels: [],
    of: ({ status }) => [[{}, status.epoch]],
  },
  keyshift_fence: {
    help: 'Fence confirmed in Redis.',
    labels: [],
    of: ({ status }) => [[{}, status.fence]],
  },
  keyshift_canary_percentage: {
    help: 'Share in force of what the phase ramps.',
    labels: [],
    of: ({ status }) => [[{}, status.canaryPercentage]],
  },
  keyshift_condition: {
    help: 'Conditions of the resource: 1 True, 0 False, -1 Unknown.',
    labels: ['type'],
    of: ({ status }) =>
      (status.conditions ?? []).map(({ type, status: is }) => [{ type }, is === 'True' ? 1 : is === 'False' ? 0 : -1]),
  },
  keyshift_soak_end_timestamp_seconds: {
    help: 'When the soak of the step ends if it stays healthy.',
    labels: [],
    of: ({ status }) => [[{}, status.soakEndsAt === undefined ? undefined : Date.parse(status.soakEndsAt) / 1000]],
  },
  keyshift_check_value: {
    help: 'Worst value of each check at its newest measurement.',
    labels: ['check'],
    of: ({ observations }) => (observations?.latest ?? []).map(({ check, value }) => [{ check }, value]),
  },
  keyshift_check_outcome: {
    help: 'Outcome of each check at its newest measurement: 1 pass, 0 fail, -1 inconclusive, -2 error.',
    labels: ['check'],
    of: ({ observations }) =>
      (observations?.latest ?? []).map(({ check, outcome }) => [
        { check },
        { Pass: 1, Fail: 0, Inconclusive: -1, Error: -2 }[outcome],
      ]),
  },
  keyshift_work_keys_done: {
    help: 'Keys handled by the worker Job at work, in this pass.',
    labels: ['kind'],
    of: ({ observations }) => (observations?.work ?? []).map(({ kind, done }) => [{ kind }, done]),
  },
  keyshift_work_keys_estimate: {
    help: 'Estimate of the keys of that pass.',
    labels: ['kind'],
    of: ({ observations }) => (observations?.work ?? []).map(({ kind, total }) => [{ kind }, total]),
  },
}

export interface OperatorMetrics {
  /** Shows a resource (`namespace/name`); undefined takes its series away. */
  show(resource: string, view: ResourceView | undefined): void
  reconciled(seconds: number, result: 'ok' | 'error'): void
  request(method: string, resource: string, status: number): void
  leading(is: boolean): void
}

export function createOperatorMetrics(registry: Registry): OperatorMetrics {
  const registers = [registry]
  const views = new Map<string, ResourceView>()
  for (const [name, series] of Object.entries(SERIES)) {
    new Gauge({
      name,
      help: series.help,
      labelNames: ['resource', ...series.labels],
      registers,
      // Made anew for each scrape, so that no series outlives its resource.
      collect() {
        this.reset()
        for (const [resource, view] of views)
          for (const [labels, value] of series.of(view))
            if (value !== undefined) this.set({ resource, ...labels }, value)
      },
    })
  }
  const passes = new Histogram({
    name: 'keyshift_reconcile_seconds',
    help: 'Time of one reconcile.',
    labelNames: ['result'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 30],
    registers,
  })
  const requests = new Counter({
    name: 'keyshift_kube_requests_total',
    help: 'Requests to the API server; status 0: no answer.',
    labelNames: ['method', 'resource', 'status'],
    registers,
  })
  const leader = new Gauge({ name: 'keyshift_leader', help: '1 in the replica that leads.', registers })
  return {
    show: (resource, view) => void (view === undefined ? views.delete(resource) : views.set(resource, view)),
    reconciled: (seconds, result) => passes.observe({ result }, seconds),
    request: (method, resource, status) => requests.inc({ method, resource, status: String(status) }),
    leading: (is) => leader.set(is ? 1 : 0),
  }
}
