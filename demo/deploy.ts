import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { repoRoot } from '../hack/system/paths.ts'
import type { Screen } from './screen.ts'
import type { Images, Kubectl, Target } from './target.ts'

export interface Places {
  /** Namespace of the sample app, its Redis and the resources. */
  readonly app: string
  readonly monitoring: string
  readonly operator: string
  /** Helm release. */
  readonly release: string
}

export const PLACES: Places = {
  app: 'keyshift-demo',
  monitoring: 'monitoring',
  operator: 'keyshift-system',
  release: 'keyshift',
}

interface Manifest {
  kind: string
  metadata: { name: string; namespace?: string }
  spec?: { template?: { spec: { containers: { name: string; image: string }[] } } }
}

/**
 * Documents of a file under examples/, with the images of this run in place of the placeholders and the monitoring
 * namespace of `places`.
 */
export function manifests(file: string, images: Images, places: Places = PLACES): unknown[] {
  const text = readFileSync(join(repoRoot, 'examples', file), 'utf8')
    .replaceAll('prometheus.monitoring.svc', `prometheus.${places.monitoring}.svc`)
    .replaceAll('namespace: monitoring', `namespace: ${places.monitoring}`)
  return parseAllDocuments(text).map((document) => {
    const manifest = document.toJS() as Manifest
    if (manifest.kind === 'Namespace' && manifest.metadata.name === 'monitoring')
      manifest.metadata.name = places.monitoring
    for (const container of manifest.spec?.template?.spec.containers ?? [])
      container.image = { redis: images.redis, prometheus: images.prometheus }[container.name] ?? images.keyshift
    return manifest
  })
}

export async function apply(kubectl: Kubectl, namespace: string, documents: readonly unknown[]): Promise<void> {
  // JSON: YAML 1.2 writes the text "yes" plainly, which kubectl reads as true.
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents })
  // Server-side, as the operator does: the manifests that have a namespace of their own keep it.
  await kubectl(['apply', '--server-side', '-f', '-', ...(namespace === '' ? [] : ['-n', namespace])], { input })
}

/** A namespace in which only `restricted` pods may run. */
export async function makeNamespace(kubectl: Kubectl, name: string): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await apply(kubectl, '', [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }])
}

export interface Rollout {
  readonly namespace: string
  readonly deployment: string
}

/** Waits until the Deployments run; says which one is awaited. */
export async function awaitRollouts(kubectl: Kubectl, rollouts: readonly Rollout[], screen: Screen): Promise<void> {
  let ready = 0
  await Promise.all(
    rollouts.map(async ({ namespace, deployment }) => {
      const args = ['rollout', 'status', `deployment/${deployment}`, '-n', namespace, '--timeout', '170s']
      await kubectl(args, { limitMs: 180_000 })
      screen.live(`ready: ${deployment} (${++ready} of ${rollouts.length})`)
    }),
  )
}

/** Installs Keyshift by its chart, from this repository. */
export async function installKeyshift(target: Target, image: string, places: Places = PLACES): Promise<void> {
  const at = image.lastIndexOf(':')
  const [repository, tag] =
    image.includes('@') || at <= image.lastIndexOf('/') ? [image, ''] : [image.slice(0, at), image.slice(at + 1)]
  await makeNamespace(target.kubectl, places.operator)
  const set = [`image.repository=${repository}`, `image.tag=${tag}`, 'image.pullPolicy=IfNotPresent']
  const args = ['upgrade', '--install', places.release, join(repoRoot, 'charts', 'keyshift'), '-n', places.operator]
  await target.helm([...args, ...set.flatMap((value) => ['--set', value])])
}

/** Takes away what the demo put into a cluster that stays. */
export async function undeploy(target: Target, places: Places = PLACES): Promise<void> {
  const quiet = ['--ignore-not-found', '--wait=true', '--timeout=120s']
  await target.kubectl(['delete', 'namespace', places.app, ...quiet], { limitMs: 130_000 })
  await target.helm(['uninstall', places.release, '-n', places.operator, '--ignore-not-found', '--wait'])
  await target.kubectl(['delete', 'crd', 'jobkeymigrations.keyshift.dev', ...quiet], { limitMs: 130_000 })
  await target.kubectl(['delete', 'namespace', places.operator, places.monitoring, ...quiet], { limitMs: 130_000 })
  await target.kubectl(['delete', 'clusterrole,clusterrolebinding', 'keyshift-demo-prometheus', ...quiet])
}
