import type { KubeClient } from '../kube/client.ts'
import { CONFIG_MAPS, JOBS, PODS } from '../kube/resources.ts'
import { Reflector } from '../kube/reflector.ts'
import type { ConfigMap, Job, KubeObject, Pod, ResourceType } from '../kube/types.ts'
import { objectKey } from '../kube/types.ts'
import type { Clock } from '../runtime/clock.ts'
import { controllerOf } from './gather/pods.ts'
import { MANAGED } from './resources.ts'
import type { WatchHealth } from './watch-health.ts'

export interface NamespaceCacheOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly health: WatchHealth
  /** Something that a resource of this namespace looks at has changed. */
  readonly onChange: (namespace: string) => void
}

interface Watched<T extends KubeObject> {
  readonly reflector: Reflector<T>
  /** Resolves when the first list has come, or has failed. */
  readonly tried: Promise<void>
  readonly stop: AbortController
}

/** A watch that has not told of an apply by then tells of something else. */
const CATCH_UP_MS = 10_000
/** A watch gives a sign of life twice a minute. What one tells that has lost its right, say, is not what is. */
export const STALE_MS = 60_000

/** Watch caches of the namespaces that hold a resource: their Pods, the Jobs we made, and the ConfigMaps named. */
export class NamespaceCaches {
  readonly #options: NamespaceCacheOptions
  readonly #watched = new Map<string, Watched<KubeObject>>()
  /** ConfigMaps as our last apply returned them, until the watch has caught up. */
  readonly #applied = new Map<string, { readonly configMap: ConfigMap; readonly at: number }>()
  /** Resource `namespace/name` -> name of its ConfigMap. */
  readonly #users = new Map<string, string>()

  constructor(options: NamespaceCacheOptions) {
    this.#options = options
  }

  /** A resource (`namespace/name`) names this ConfigMap. Starts the watches that it needs and ends those nobody needs. */
  use(resource: string, configMap: string): void {
    if (this.#users.get(resource) === configMap) return
    this.#users.set(resource, configMap)
    this.#settle()
  }

  /** The resource is gone. */
  forget(resource: string): void {
    if (this.#users.delete(resource)) this.#settle()
  }

  /** Pods of a namespace in use, undefined until they were listed once, and while their watch is dead. */
  pods(namespace: string): readonly Pod[] | undefined {
    return this.#list<Pod>(`pods ${namespace}`)
  }

  jobs(namespace: string): readonly Job[] | undefined {
    return this.#list<Job>(`jobs ${namespace}`)
  }

  /** `known: false` until it was listed once, and while its watch is dead. */
  configMap(namespace: string, name: string): { readonly known: boolean; readonly value?: ConfigMap | undefined } {
    const key = `configmap ${namespace}/${name}`
    const watched = this.#watched.get(key)
    if (watched === undefined || !this.#isFresh(watched)) return { known: false }
    const applied = this.#applied.get(key)
    const young = applied !== undefined && this.#options.clock.monotonic() - applied.at < CATCH_UP_MS
    if (young) return { known: true, value: applied.configMap }
    return { known: true, value: watched.reflector.store.get(objectKey({ namespace, name })) }
  }

  /** Takes what an apply returned: the watch tells it later, and until then the old content would look like a revert. */
  applied(configMap: ConfigMap): void {
    const { namespace = '', name = '', resourceVersion } = configMap.metadata
    const seen = this.configMap(namespace, name).value?.metadata.resourceVersion
    if (seen !== undefined && Number(seen) >= Number(resourceVersion)) return
    this.#applied.set(`configmap ${namespace}/${name}`, { configMap, at: this.#options.clock.monotonic() })
  }

  /** Resolves when every watch of the namespace has listed once or failed to, or after `limitMs`. */
  async synced(namespace: string, limitMs: number): Promise<void> {
    const own = [...this.#watched].filter(([key]) => namespaceOf(key) === namespace)
    const done = new AbortController()
    await Promise.race([
      Promise.all(own.map(([, { tried }]) => tried)),
      this.#options.clock.sleep(limitMs, done.signal),
    ])
    done.abort()
  }

  close(): void {
    this.#users.clear()
    this.#settle()
  }

  #list<T>(key: string): readonly T[] | undefined {
    const watched = this.#watched.get(key)
    if (watched === undefined || !this.#isFresh(watched)) return undefined
    return watched.reflector.store.list() as unknown as readonly T[]
  }

  #isFresh({ reflector }: Watched<KubeObject>): boolean {
    return reflector.hasSynced && this.#options.clock.monotonic() - reflector.lastActivity <= STALE_MS
  }

  #settle(): void {
    const wanted = new Set<string>()
    for (const [resource, configMap] of this.#users) {
      const namespace = resource.split('/')[0] ?? ''
      wanted.add(`pods ${namespace}`).add(`jobs ${namespace}`).add(`configmap ${namespace}/${configMap}`)
    }
    for (const [key, { stop }] of this.#watched) {
      if (wanted.has(key)) continue
      stop.abort()
      this.#watched.delete(key)
      this.#applied.delete(key)
      this.#options.health.remove(key)
    }
    for (const key of wanted) if (!this.#watched.has(key)) this.#watched.set(key, this.#start(key))
  }

  #start(key: string): Watched<KubeObject> {
    const namespace = namespaceOf(key)
    if (key.startsWith('pods ')) return this.#watch<Pod>(key, PODS, namespace, {}, (a, b) => podView(a) !== podView(b))
    if (key.startsWith('jobs ')) return this.#watch<Job>(key, JOBS, namespace, { labelSelector: MANAGED }, () => true)
    const fieldSelector = `metadata.name=${key.slice(key.indexOf('/') + 1)}`
    return this.#watch<ConfigMap>(key, CONFIG_MAPS, namespace, { fieldSelector }, (_, after) => {
      const applied = this.#applied.get(key)?.configMap.metadata.resourceVersion
      // What the watch tells from before our apply says nothing new.
      if (applied !== undefined && Number(after?.metadata.resourceVersion ?? Infinity) < Number(applied)) return false
      this.#applied.delete(key)
      return true
    })
  }

  #watch<T extends KubeObject>(
    key: string,
    type: ResourceType,
    namespace: string,
    selection: { readonly labelSelector?: string; readonly fieldSelector?: string },
    matters: (before: T | undefined, after: T | undefined) => boolean,
  ): Watched<KubeObject> {
    const { client, clock, health, onChange } = this.#options
    const stop = new AbortController()
    const tried = Promise.withResolvers<void>()
    const reflector = new Reflector<T>({
      client,
      clock,
      type,
      namespace,
      ...selection,
      onChange: (_, before, after) => {
        if (matters(before, after)) onChange(namespace)
      },
      onError: (error, retryInMs) => {
        tried.resolve()
        health.failed(key, error, retryInMs)
      },
    })
    void reflector.synced.then(tried.resolve)
    health.add(key, reflector)
    health.ended(key, reflector.run(stop.signal), stop.signal)
    return { reflector: reflector as unknown as Reflector<KubeObject>, tried: tried.promise, stop }
  }
}

function namespaceOf(key: string): string {
  return key.slice(key.indexOf(' ') + 1).split('/')[0] ?? ''
}

/** What of a pod the decision looks at; its heartbeat and the like change nothing. */
function podView(pod: Pod | undefined): string {
  if (pod === undefined) return ''
  const { metadata, status } = pod
  const containers = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])]
  return JSON.stringify([
    metadata.uid,
    controllerOf(metadata.ownerReferences)?.uid,
    metadata.deletionTimestamp,
    status?.phase,
    status?.startTime,
    containers.map(({ name, state, restartCount }) => [name, state, restartCount]),
  ])
}
