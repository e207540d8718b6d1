import { startCluster, stopCluster } from '../hack/cluster/start.ts'
import type { Cluster } from '../hack/cluster/handle.ts'
import { importImages } from '../hack/image/import.ts'
import { buildKeyshiftImage } from '../hack/image/keyshift.ts'
import { buildPrometheusImage, buildRedisImage } from '../hack/image/servers.ts'
import { ensurePackages } from '../hack/packages/ensure.ts'
import { clusterPackages } from '../hack/packages/list.ts'
import { repoRoot } from '../hack/system/paths.ts'
import { run } from '../hack/system/run.ts'
import type { Screen } from './screen.ts'
import type { Images } from './target.ts'

/** Folders that the demo's image holds besides Keyshift. */
const INCLUDED = ['examples/sample-app', 'examples/small-app', 'examples/prometheus']

export const LOCAL_NAME = 'demo'

export interface LocalOptions {
  readonly name: string
  /** The cluster stays when this process has ended. */
  readonly keep: boolean
  readonly screen: Screen
  readonly signal: AbortSignal
}

/** Builds what runs, starts a cluster of that name and gives it the images. Both at once: they use different cores. */
export async function startLocal({
  name,
  keep,
  screen,
  signal,
}: LocalOptions): Promise<{ cluster: Cluster; images: Images }> {
  const log = (text: string): void => screen.line(`  ${text}`)
  await ensurePackages(clusterPackages, log)
  const starting = startCluster(name, { log, tied: !keep, signal })
  const building = buildImages(log)
  const [cluster, built] = await Promise.allSettled([starting, building])
  if (cluster.status === 'rejected') throw cluster.reason
  try {
    if (built.status === 'rejected') throw built.reason
    signal.throwIfAborted()
    await importImages(cluster.value, built.value, log)
    const [keyshift = '', redis = '', prometheus = ''] = built.value.map((image) => image.name)
    // So that the manifests under examples/ can be applied as they are.
    await cluster.value.tagImage(keyshift, 'keyshift:local')
    await cluster.value.tagImage(redis, 'redis:7')
    await cluster.value.tagImage(prometheus, 'prom/prometheus:v2')
    return { cluster: cluster.value, images: { keyshift, redis, prometheus } }
  } catch (error) {
    await cluster.value.stop()
    throw error
  }
}

/** Ends and removes the cluster of that name, or what a killed run left of it. */
export const stopLocal = (name: string, screen: Screen): Promise<boolean> =>
  stopCluster(name, (text) => screen.line(text))

async function buildImages(log: (text: string) => void) {
  await run(process.execPath, ['hack/build/main.ts'], { cwd: repoRoot, limitMs: 300_000 })
  log('built dist/app and dist/client')
  return [
    await buildKeyshiftImage({ include: INCLUDED, log }),
    await buildRedisImage({ log }),
    await buildPrometheusImage({ log }),
  ]
}
