import type { JobKeyMigration } from '../../api/resource.ts'
import { checksOf, clientsSeen } from '../../decision/presets.ts'
import type { CheckMeasurement, SoakWindow } from '../../decision/types.ts'
import { createPrometheusClient, type PrometheusClient } from '../../prometheus/client.ts'
import { phaseIndex } from '../../protocol/phases.ts'
import type { Clock } from '../../runtime/clock.ts'
import { resolvePrometheus } from '../address.ts'
import { SecretMissing, type SecretReader } from '../secrets.ts'
import { SloMonitor, type SloPlan } from '../slo/monitor.ts'

export interface ChecksOptions {
  readonly clock: Clock
  readonly secrets: SecretReader
  /** A resource (`namespace/name`) has new measurements. */
  readonly onMeasured: (resource: string) => void
  /** The monitor of a resource ended by itself, which is a fault of the program. */
  readonly onFailed: (resource: string, error: unknown) => void
  readonly fetch?: typeof fetch
}

interface Running {
  readonly monitor: SloMonitor
  readonly stop: AbortController
  client: { readonly key: string; readonly client: PrometheusClient } | undefined
}

/** One monitor for each resource, following its spec and status. */
export class Checks {
  readonly #options: ChecksOptions
  readonly #running = new Map<string, Running>()

  constructor(options: ChecksOptions) {
    this.#options = options
  }

  /** Tells the monitor what the resource is at, and what it has measured. */
  observe(resource: JobKeyMigration): {
    readonly windows: readonly SoakWindow[]
    readonly latest: readonly CheckMeasurement[]
  } {
    const name = `${resource.metadata.namespace}/${resource.metadata.name}`
    const running = this.#running.get(name) ?? this.#start(name)
    running.monitor.follow(this.#plan(resource, running))
    const { windows, latest } = running.monitor
    return { windows, latest }
  }

  /** The resource is gone. */
  forget(name: string): void {
    this.#running.get(name)?.stop.abort()
    this.#running.delete(name)
  }

  close(): void {
    for (const name of [...this.#running.keys()]) this.forget(name)
  }

  #start(name: string): Running {
    const { clock, onMeasured, onFailed } = this.#options
    const monitor = new SloMonitor({ clock, onMeasured: () => onMeasured(name) })
    const stop = new AbortController()
    const running = { monitor, stop, client: undefined }
    monitor.run(stop.signal).catch((error: unknown) => onFailed(name, error))
    this.#running.set(name, running)
    return running
  }

  #plan(resource: JobKeyMigration, running: Running): SloPlan | undefined {
    const checks = checksOf(resource.spec, resource.metadata.name)
    const client = this.#client(resource, running)
    if (checks.length === 0 || client === undefined) return undefined
    const { status } = resource
    return {
      checks,
      client,
      session: String(status?.epoch ?? 0),
      countFrom: countFrom(status),
      soakMs: status?.soakLengthMs,
      clientsQuery: clientsSeen(resource.metadata.name),
      mayBeIdle: mayBeIdle(status),
    }
  }

  #client(resource: JobKeyMigration, running: Running): PrometheusClient | undefined {
    const { prometheus } = resource.spec.slo
    if (prometheus === undefined) return undefined
    const { namespace } = resource.metadata
    const key = JSON.stringify([prometheus, namespace])
    if (running.client?.key === key) return running.client.client
    const secret = prometheus.bearerTokenSecretRef
    const client = createPrometheusClient({
      address: resolvePrometheus(prometheus.address, namespace),
      now: () => this.#options.clock.now(),
      ...(secret === undefined
        ? {}
        : {
            token: {
              source: `Secret ${secret.name}, key "${secret.key}", in namespace ${namespace}`,
              read: (fresh: boolean) => this.#token(namespace, secret.name, secret.key, fresh),
            },
          }),
      ...(this.#options.fetch === undefined ? {} : { fetch: this.#options.fetch }),
    })
    running.client = { key, client }
    return client
  }

  async #token(namespace: string, name: string, key: string, fresh: boolean): Promise<string> {
    const value = (await this.#options.secrets.read(namespace, name, fresh)).get(key)
    if (value === undefined) throw new SecretMissing(`Secret ${name} in namespace ${namespace} has no key "${key}"`)
    return value
  }
}

/** In the long soak of BackfillVerify an application has quiet hours; in canary steps no traffic is no proof. */
function mayBeIdle(status: JobKeyMigration['status']): boolean {
  return status?.phase !== undefined && phaseIndex(status.phase) >= phaseIndex('BackfillVerify')
}

/** Where windows begin, ms: what is counted already. Undefined while nothing is counted, as in Legacy. */
function countFrom(status: JobKeyMigration['status']): number | undefined {
  const from = Date.parse(status?.soakCountedThrough ?? '')
  return Number.isNaN(from) ? undefined : from
}
