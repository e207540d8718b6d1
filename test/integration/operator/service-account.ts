import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { connect, type Connection } from '../../../src/kube/connection.ts'
import { render } from '../chart/helm.ts'
import type { TestCluster } from '../kube/control-plane.ts'

interface Kubeconfig {
  readonly users: readonly { readonly name: string }[]
}

/** Installs the chart's rights into `namespace` and connects as its ServiceAccount, with a token as a pod gets it. */
export async function connectAsOperator(cluster: TestCluster, namespace: string): Promise<Connection> {
  const manifests = (await render(namespace)).filter(({ kind }) => /Role|ServiceAccount/.test(kind))
  const list = { apiVersion: 'v1', kind: 'List', items: manifests }
  await cluster.kubectl(['apply', '--server-side', '-f', '-'], { input: JSON.stringify(list) })
  const token = (await cluster.kubectl(['create', 'token', 'keyshift', '-n', namespace])).trim()
  const config = parse(readFileSync(cluster.kubeconfigPath, 'utf8')) as Kubeconfig
  const path = join(cluster.dir, 'operator.kubeconfig')
  const users = config.users.map(({ name }) => ({ name, user: { token } }))
  writeFileSync(path, JSON.stringify({ ...config, users }), { mode: 0o600 })
  return connect({ from: 'file', path }, 'keyshift-operator')
}
