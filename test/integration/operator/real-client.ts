import type { Pod } from '../../../src/kube/types.ts'
import { ROUTING_FILE } from '../../../src/protocol/document.ts'
import { createKeyshiftClient, type ClientOptions, type KeyshiftClient } from '../../../src/client/index.ts'
import { MountedDir } from '../client/support/routing.ts'
import { templatesOf, type App } from './world.ts'

/** The client library in the place of an application's pod: a directory follows the ConfigMap as kubelet's mount does. */
export class RealClient {
  readonly client: KeyshiftClient<'hash'>
  readonly lines: string[] = []
  /** Ids of jobs whose creation was acknowledged. */
  readonly created: string[] = []
  /** What creations ended with that were not. */
  readonly refused: unknown[] = []
  readonly #app: App
  readonly #dir = new MountedDir()

  constructor(app: App, pod: Pod, redis: ClientOptions<'hash'>['redis']) {
    this.#app = app
    this.client = createKeyshiftClient({
      ...templatesOf(app.namespace),
      encoding: 'hash',
      redis,
      routingDir: this.#dir.path,
      podUid: pod.metadata.uid ?? '',
      podName: pod.metadata.name ?? '',
      pollMs: 50,
      deadlineMs: 2000,
      log: (level, message, detail) => void this.lines.push(`${level} ${message} ${JSON.stringify(detail)}`),
    })
  }

  /** Mounts this text; undefined: no file. */
  mount(text: string | undefined): void {
    this.#dir.swap(text)
  }

  async close(): Promise<void> {
    await this.client.close()
    this.#dir.remove()
  }

  /** Mounts what the ConfigMap holds, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    let mounted: string | undefined
    while (!signal.aborted) {
      const text = (await this.#app.configMap())?.data?.[ROUTING_FILE]
      if (text !== mounted) this.mount(text)
      mounted = text
      await pause(100)
    }
    await this.close()
  }

  /** Creates a job every `everyMs` and reads it, until `signal` aborts. */
  async work(signal: AbortSignal, everyMs = 100): Promise<void> {
    const store = this.client.forWorkspace('w1')
    for (let i = 0; !signal.aborted; i += 1) {
      await store.create(`job${i}`, { n: String(i) }, { ttlMs: 3_600_000 }).then(
        () => this.created.push(`job${i}`),
        (error: unknown) => this.refused.push(error),
      )
      await pause(everyMs)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
