import { readFileSync, writeFileSync } from 'node:fs'
import type { KeyPair } from './certs.ts'

/** JSON is YAML: no writer is needed. Certificates are inside, so the file works from anywhere. */
export function writeKubeconfig(
  path: string,
  cluster: { name: string; server: string; ca: string },
  user: KeyPair,
): void {
  const data = (file: string) => readFileSync(file).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': cluster.name,
    contexts: [{ name: cluster.name, context: { cluster: cluster.name, user: cluster.name } }],
    clusters: [
      { name: cluster.name, cluster: { server: cluster.server, 'certificate-authority-data': data(cluster.ca) } },
    ],
    users: [
      { name: cluster.name, user: { 'client-certificate-data': data(user.cert), 'client-key-data': data(user.key) } },
    ],
  }
  writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
}
