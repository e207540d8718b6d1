import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { parse } from 'yaml'
import { createKubeClient, type KubeClient } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import { isGone } from '../../../src/kube/errors.ts'
import { Reflector } from '../../../src/kube/reflector.ts'
import type { ReflectorOptions } from '../../../src/kube/reflector.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import type { ConfigMap } from '../../../src/kube/types.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { startProxy } from '../redis/support/proxy.ts'
import { START_LIMIT_MS, killApiServer, startTestCluster, until } from './control-plane.ts'
import type { TestCluster } from './control-plane.ts'

jest.setTimeout(120_000)

let cluster: TestCluster
const running: { stop: AbortController; run: Promise<void> }[] = []
beforeAll(async () => (cluster = await startTestCluster()), START_LIMIT_MS)
afterEach(async () => {
  for (const { stop, run } of running.splice(0)) {
    stop.abort()
    await run
  }
})
afterAll(() => cluster.stop())

function start(more: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const changes: string[] = []
  const errors: unknown[] = []
  const reflector = new Reflector<ConfigMap>({
    client: cluster.client,
    type: CONFIG_MAPS,
    namespace: 'default',
    clock: systemClock,
    onChange: (key, before, after) => changes.push(`${key} ${before?.data?.['v'] ?? '-'} ${after?.data?.['v'] ?? '-'}`),
    onError: (error) => errors.push(error),
    ...more,
  })
  const stop = new AbortController()
  running.push({ stop, run: reflector.run(stop.signal) })
  return { reflector, changes, errors }
}

const object = (name: string, v: string, labels: Record<string, string> = {}): ConfigMap => ({
  metadata: { namespace: 'default', name, labels },
  data: { v },
})
const ref = (name: string) => ({ namespace: 'default', name })

describe('Reflector on a real API server (O1)', () => {
  it('sees what was there, what comes, what changes and what goes', async () => {
    const { client } = cluster
    await client.create(CONFIG_MAPS, object('early', '1', { seen: 'yes' }))
    await client.create(CONFIG_MAPS, object('foreign', '1'))
    const { reflector, changes, errors } = start({ labelSelector: 'seen=yes' })
    await reflector.synced
    await client.create(CONFIG_MAPS, object('late', '1', { seen: 'yes' }))
    await client.mergePatch(CONFIG_MAPS, ref('early'), { data: { v: '2' } })
    await client.delete(CONFIG_MAPS, ref('late'))
    // leaving the selector is a deletion too
    await client.mergePatch(CONFIG_MAPS, ref('early'), { metadata: { labels: { seen: null } } })
    await until(() => changes.length === 5)
    expect(changes).toEqual([
      'default/early - 1',
      'default/late - 1',
      'default/early 1 2',
      'default/late 1 -',
      'default/early 2 -',
    ])
    expect(errors).toEqual([])
  })

  it('goes on through the ends of its watches without listing again', async () => {
    const asked: string[] = []
    const counting: Pick<KubeClient, 'list' | 'watch'> = {
      list: (...args) => {
        asked.push('list')
        return cluster.client.list(...args)
      },
      watch: (...args) => {
        asked.push('watch')
        return cluster.client.watch(...args)
      },
    }
    const { changes, errors } = start({ client: counting, watchTimeoutSeconds: 2, labelSelector: 'ends=yes' })
    await until(() => asked.length === 4)
    await cluster.client.create(CONFIG_MAPS, object('after-ends', '1', { ends: 'yes' }))
    await until(() => changes.length === 1)
    expect(asked.slice(0, 4)).toEqual(['list', 'watch', 'watch', 'watch'])
    expect(errors).toEqual([])
  })

  it('sees each change through a proxy that cuts every connection and then drops what passes, with one watch at a time', async () => {
    const proxy = await startProxy(Number(new URL(serverOf(cluster)).port))
    const through = connect({ from: 'file', path: kubeconfigThrough(cluster, proxy.port) }, 'keyshift-integration')
    let open = 0
    let most = 0
    const client = createKubeClient(through)
    const counting: Pick<KubeClient, 'list' | 'watch'> = {
      list: client.list,
      async *watch(...args) {
        open += 1
        most = Math.max(most, open)
        try {
          yield* client.watch(...args)
        } finally {
          open -= 1
        }
      },
    }
    try {
      const { reflector, changes, errors } = start({
        client: counting,
        labelSelector: 'cut=yes',
        watchTimeoutSeconds: 2,
        backoff: { initialMs: 100, maxMs: 500, factor: 2, jitter: 0 },
      })
      await reflector.synced
      for (let v = 1; v <= 3; v++) {
        proxy.cut()
        await cluster.client.apply(CONFIG_MAPS, object('cut', String(v), { cut: 'yes' }), {
          fieldManager: 't',
          force: true,
        })
        await until(() => changes.length === v)
      }
      expect(errors.length).toBeLessThan(10)
      // From here on nothing that the server says arrives, and no connection is closed either.
      proxy.holdReplies()
      await cluster.client.mergePatch(CONFIG_MAPS, ref('cut'), { data: { v: '4' } })
      const before = errors.length
      await until(() => errors.length > before)
      expect(changes).toHaveLength(3)
      proxy.cut()
      proxy.release()
      await until(() => changes.length === 4)
      expect(changes.at(-1)).toBe('default/cut 3 4')
      expect(most).toBe(1)
    } finally {
      for (const { stop, run } of running.splice(0)) {
        stop.abort()
        await run
      }
      through.close()
      await proxy.close()
    }
  })

  it('comes back after the API server was killed, and sees what happens then', async () => {
    const { reflector, changes, errors } = start({ labelSelector: 'restart=yes' })
    await reflector.synced
    await cluster.client.create(CONFIG_MAPS, object('before', '1', { restart: 'yes' }))
    await until(() => changes.length === 1)
    const again = await killApiServer(cluster)
    await until(() => errors.length > 0)
    expect(reflector.store.keys()).toEqual(['default/before'])
    const apiServer = again()
    try {
      const ready = () =>
        cluster.client.mergePatch(CONFIG_MAPS, ref('before'), { data: { v: '2' } }).then(
          () => true,
          () => false,
        )
      await until(ready)
      await until(() => changes.length === 2)
      expect(changes).toEqual(['default/before - 1', 'default/before 1 2'])

      await seesDeletionsThrough410()
    } finally {
      await apiServer.stop(0)
    }
  })
})

function serverOf({ kubeconfigPath }: TestCluster): string {
  const config = parse(readFileSync(kubeconfigPath, 'utf8')) as { clusters: { cluster: { server: string } }[] }
  return config.clusters[0]?.cluster.server ?? ''
}

/** The kubeconfig of the cluster, with the proxy's port on loopback in place of the server's. */
function kubeconfigThrough(cluster: TestCluster, port: number): string {
  const server = serverOf(cluster)
  const path = join(cluster.dir, 'proxied.kubeconfig')
  const text = readFileSync(cluster.kubeconfigPath, 'utf8')
  writeFileSync(path, text.replaceAll(server, server.replace(/:\d+$/, `:${port}`)), { mode: 0o600 })
  return path
}

/** The restarted server has no history from before: a watch from version 1 is refused by a real 410. */
async function seesDeletionsThrough410(): Promise<void> {
  let broken = false
  let lists = 0
  const { client } = cluster
  const forgetful: Pick<KubeClient, 'list' | 'watch'> = {
    list: (...args) => {
      lists++
      return client.list(...args)
    },
    async *watch(type, query, signal) {
      if (!broken) {
        broken = true
        await client.delete(CONFIG_MAPS, ref('before'))
        yield* client.watch(type, { ...query, resourceVersion: '1' }, signal)
      }
      yield* client.watch(type, query, signal)
    },
  }
  const { changes, errors } = start({ client: forgetful, labelSelector: 'restart=yes' })
  await until(() => changes.length === 2)
  expect(errors.map(isGone)).toEqual([true])
  expect(lists).toBe(2)
  expect(changes).toEqual(['default/before - 2', 'default/before 2 -'])
}
