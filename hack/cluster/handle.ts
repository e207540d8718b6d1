import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../system/run.ts'
import { programPath } from './prepare.ts'
import type { Layout } from './layout.ts'

export type CommandOptions = { input?: string; limitMs?: number }

/** What a caller may do with a cluster. */
export type Cluster = {
  name: string
  layout: Layout
  folders: Folders
  kubeconfigPath: string
  /** What a shell needs for kubectl and helm of the cluster's versions. */
  shell: { KUBECONFIG: string; PATH: string }
  /** Standard output; a code other than 0 throws CommandError with what it said. */
  kubectl: (args: readonly string[], options?: CommandOptions) => Promise<string>
  helm: (args: readonly string[], options?: CommandOptions) => Promise<string>
  importImage: (tar: string) => Promise<void>
  /** Lets manifests name an imported image in another way, such as `redis:7`. */
  tagImage: (name: string, alias: string) => Promise<void>
  /** Ends and removes all of it. */
  stop: () => Promise<void>
}

export type Folders = { kube: string; tools: string }

export function handleFor(layout: Layout, folders: Folders, stop: () => Promise<void>): Cluster {
  const env = clusterEnv(layout)
  return {
    name: layout.name,
    layout,
    folders,
    kubeconfigPath: layout.kubeconfig,
    shell: { KUBECONFIG: layout.kubeconfig, PATH: `${folders.kube}:${folders.tools}` },
    kubectl: (args, options = {}) => run(join(folders.kube, 'kubectl'), args, { env, ...options }),
    helm: (args, options = {}) => run(join(folders.tools, 'helm'), args, { env, limitMs: 600_000, ...options }),
    importImage: (tar) => importImage(layout, tar),
    tagImage: (name, alias) => tagImage(layout, name, alias),
    stop,
  }
}

/** The cluster's own kubeconfig, and no proxy in between: its addresses exist on this machine only. */
export function clusterEnv(layout: Layout): NodeJS.ProcessEnv {
  const direct = ['127.0.0.1', layout.nodeAddress, layout.podCidr, layout.serviceCidr].join(',')
  return {
    ...process.env,
    KUBECONFIG: layout.kubeconfig,
    NO_PROXY: direct,
    no_proxy: direct,
    // Caches go with the cluster: the next one of its name has the same address and other resources.
    KUBECACHEDIR: join(layout.root, 'cache/kubectl'),
    HELM_CACHE_HOME: join(layout.root, 'cache/helm'),
    HELM_CONFIG_HOME: join(layout.root, 'cache/helm-config'),
    HELM_DATA_HOME: join(layout.root, 'cache/helm-data'),
  }
}

export async function importImage(layout: Layout, tar: string): Promise<void> {
  const snapshotter = readFileSync(join(layout.root, 'snapshotter'), 'utf8')
  await images(layout, ['import', '--snapshotter', snapshotter, tar])
}

async function tagImage(layout: Layout, name: string, alias: string): Promise<void> {
  const names = (await images(layout, ['list', '--quiet'])).split('\n')
  const full = names.find((line) => line.endsWith(`/${name}`))
  if (full === undefined) throw new Error(`no image ${name} in cluster '${layout.name}': import it first`)
  // Short names stand for the default registry's library: its name comes from the one that the import gave.
  const registry = full.slice(0, full.indexOf('/'))
  const path = alias.includes('/') ? alias : `library/${alias}`
  await images(layout, ['tag', '--force', full, `${registry}/${path}`])
}

function images(layout: Layout, args: readonly string[]): Promise<string> {
  const command = ['--address', layout.containerdSocket, '-n', 'k8s.io', 'images', ...args]
  return run(programPath('ctr'), command, { limitMs: 300_000 })
}
