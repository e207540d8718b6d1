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
  kubeconfigPath: string
  /** Standard output; a code other than 0 throws CommandError with what it said. */
  kubectl: (args: readonly string[], options?: CommandOptions) => Promise<string>
  helm: (args: readonly string[], options?: CommandOptions) => Promise<string>
  importImage: (tar: string) => Promise<void>
  /** Ends and removes all of it. */
  stop: () => Promise<void>
}

export type Folders = { kube: string; tools: string }

export function handleFor(layout: Layout, folders: Folders, stop: () => Promise<void>): Cluster {
  const env = clusterEnv(layout)
  return {
    name: layout.name,
    layout,
    kubeconfigPath: layout.kubeconfig,
    kubectl: (args, options = {}) => run(join(folders.kube, 'kubectl'), args, { env, ...options }),
    helm: (args, options = {}) => run(join(folders.tools, 'helm'), args, { env, limitMs: 600_000, ...options }),
    importImage: (tar) => importImage(layout, tar),
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
  const args = [
    '--address',
    layout.containerdSocket,
    '-n',
    'k8s.io',
    'images',
    'import',
    '--snapshotter',
    snapshotter,
    tar,
  ]
  await run(programPath('ctr'), args, { limitMs: 300_000 })
}
