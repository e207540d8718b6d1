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
  const building = buildImages(log)
  building.catch(() => {}) // Awaited below; a cluster that cannot start is said at once.
  const cluster = await startCluster(name, { log, tied: !keep, signal })
  try {
    const built = await building
    signal.throwIfAborted()
    await importImages(cluster, built, log)
    const [keyshift = '', redis = '', prometheus = ''] = built.map((image) => image.name)
    // So that the manifests under examples/ can be applied as they are.
    await cluster.tagImage(keyshift, 'keyshift:local')
    await cluster.tagImage(redis, 'redis:7')
    await cluster.tagImage(prometheus, 'prom/prometheus:v2')
    return { cluster, images: { keyshift, redis, prometheus } }
  } catch (error) {
    await cluster.stop()
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
