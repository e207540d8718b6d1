import type { KubeClient } from '../../../src/kube/client.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import type { ConfigMap, KubeObject, ResourceType, WatchEvent } from '../../../src/kube/types.ts'
import { NamespaceCaches } from '../../../src/operator/namespace-cache.ts'
import { WatchHealth } from '../../../src/operator/watch-health.ts'
import { FakeClock, settle } from '../runtime/fake-clock.ts'

/** An API server of three kinds whose watches the test feeds. */
class Server {
  readonly lists: string[] = []
  readonly ended: string[] = []
  objects: Record<string, KubeObject[]> = {}
  readonly #feeds = new Map<string, (event: WatchEvent) => void>()

  readonly client = {
    list: async (type: ResourceType, { namespace, fieldSelector }: { namespace: string; fieldSelector?: string }) => {
      this.lists.push([type.plural, namespace, fieldSelector].filter(Boolean).join(' '))
      return { resourceVersion: '1', items: this.objects[type.plural] ?? [] }
    },
    watch: (type: ResourceType, { namespace }: { namespace: string }, signal: AbortSignal) =>
      this.#watch(type, namespace, signal),
  } as unknown as KubeClient

  async tell(plural: string, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): Promise<void> {
    this.#feeds.get(plural)?.({ type, object })
    await settle()
  }

  async *#watch(type: ResourceType, namespace: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const queue: WatchEvent[] = []
    let wake: () => void = () => undefined
    this.#feeds.set(type.plural, (event) => {
      queue.push(event)
      wake()
    })
    signal.addEventListener('abort', () => wake())
    while (!signal.aborted) {
      for (const event of queue.splice(0)) yield event
      await new Promise<void>((resolve) => (wake = resolve))
    }
    this.ended.push(`${type.plural} ${namespace}`)
  }
}

const configMap = (version: string, text: string): ConfigMap => ({
  metadata: { namespace: 'app', name: 'routing', resourceVersion: version },
  data: { text },
})

let clock: FakeClock
let server: Server
let changes: string[]
let caches: NamespaceCaches
beforeEach(async () => {
  clock = new FakeClock()
  server = new Server()
  changes = []
  const health = new WatchHealth({ clock, onError: () => undefined, onEnded: () => undefined })
  caches = new NamespaceCaches({
    client: server.client,
    clock,
    health,
    onChange: (namespace) => changes.push(namespace),
  })
})
afterEach(() => caches.close())

describe('the watches of a namespace', () => {
  it('are one of each kind, however many resources live there', async () => {
    caches.use('app/a', 'routing')
    caches.use('app/b', 'routing')
    caches.use('app/a', 'routing')
    await settle()
    expect(server.lists.sort()).toEqual(['configmaps app metadata.name=routing', 'jobs app', 'pods app'])
  })

  it('end with the last resource', async () => {
    caches.use('app/a', 'routing')
    caches.use('app/b', 'routing')
    await settle()
    caches.forget('app/a')
    await settle()
    expect(server.ended).toEqual([])
    caches.forget('app/b')
    await settle()
    expect(server.ended.sort()).toEqual(['configmaps app', 'jobs app', 'pods app'])
  })

  it('know nothing before they have listed', async () => {
    caches.use('app/a', 'routing')
    expect([caches.pods('app'), caches.jobs('app'), caches.configMap('app', 'routing')]).toEqual([
      undefined,
      undefined,
      { known: false },
    ])
    await settle()
    expect([caches.pods('app'), caches.jobs('app'), caches.configMap('app', 'routing')]).toEqual([
      [],
      [],
      { known: true, value: undefined },
    ])
  })
})

describe('a watch that gives no sign of life', () => {
  beforeEach(async () => {
    caches.use('app/a', 'routing')
    await settle()
  })
  const known = () => [caches.pods('app'), caches.jobs('app')].map((list) => list !== undefined)

  it('is believed for a minute, and then tells nothing any more until it is back', async () => {
    await clock.advance(60_000)
    expect([known(), caches.configMap('app', 'routing').known]).toEqual([[true, true], true])
    await clock.advance(1)
    expect([known(), caches.configMap('app', 'routing').known]).toEqual([[false, false], false])
    await server.tell('pods', 'ADDED', configMap('9', 'any object'))
    expect(known()).toEqual([true, false])
  })
})

describe('the wait for the first lists', () => {
  it('ends where one is refused: a pass must not wait for what will not come', async () => {
    const { list } = server.client
    server.client.list = ((type: ResourceType, ...rest: unknown[]) =>
      type.plural === 'jobs'
        ? Promise.reject(new KubeError({ status: 403, reason: 'Forbidden', message: 'no right to list jobs' }))
        : (list as (...args: unknown[]) => unknown)(type, ...rest)) as never
    caches.use('app/a', 'routing')
    await caches.synced('app', 10_000)
    expect(clock.monotonic()).toBe(0)
    expect([caches.pods('app'), caches.jobs('app')]).toEqual([[], undefined])
  })
})

describe('a change', () => {
  const pod = (version: string, status: object): KubeObject =>
    ({ metadata: { namespace: 'app', name: 'p', uid: 'u', resourceVersion: version }, status }) as KubeObject
  beforeEach(async () => {
    caches.use('app/a', 'routing')
    await settle()
  })

  it('of what the decision looks at is told', async () => {
    await server.tell('pods', 'ADDED', pod('2', { phase: 'Pending' }))
    await server.tell('pods', 'MODIFIED', pod('3', { phase: 'Running' }))
    await server.tell('pods', 'DELETED', pod('4', { phase: 'Running' }))
    expect(changes).toEqual(['app', 'app', 'app'])
  })

  it('of a heartbeat is not', async () => {
    await server.tell('pods', 'ADDED', pod('2', { phase: 'Running' }))
    await server.tell(
      'pods',
      'MODIFIED',
      pod('3', { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }),
    )
    expect(changes).toEqual(['app'])
  })
})

describe('what an apply returned', () => {
  beforeEach(async () => {
    server.objects = { configmaps: [configMap('5', 'old')] }
    caches.use('app/a', 'routing')
    await settle()
    changes.length = 0
  })
  const text = () => caches.configMap('app', 'routing').value?.data?.['text']

  it('is seen before the watch tells it, and is no change when it does', async () => {
    caches.applied(configMap('7', 'new'))
    expect(text()).toBe('new')
    await server.tell('configmaps', 'MODIFIED', configMap('6', 'between'))
    expect([text(), changes]).toEqual(['new', []])
    await server.tell('configmaps', 'MODIFIED', configMap('7', 'new'))
    await server.tell('configmaps', 'MODIFIED', configMap('8', 'reverted'))
    expect([text(), changes]).toEqual(['reverted', ['app', 'app']])
  })

  it('does not hide what came after it', async () => {
    await server.tell('configmaps', 'MODIFIED', configMap('8', 'reverted'))
    caches.applied(configMap('7', 'new'))
    expect(text()).toBe('reverted')
  })

  it('does not hide a deletion', async () => {
    caches.applied(configMap('7', 'new'))
    await server.tell('configmaps', 'DELETED', configMap('9', 'new'))
    expect(text()).toBeUndefined()
  })

  it('does not outlive a watch that never tells it', async () => {
    caches.applied(configMap('7', 'new'))
    await clock.advance(10_000)
    expect(text()).toBe('old')
  })
})
