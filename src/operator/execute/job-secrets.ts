import type { Spec } from '../../api/schema.ts'
import { SECRETS, SECRETS_DIR } from '../../protocol/work.ts'

interface Mounted {
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly: true }[]
  readonly volumes: readonly { readonly name: string; readonly secret: object }[]
}

/** The Secrets that a spec names for Redis, each a folder of files that kubelet renews when the Secret changes. */
export function mountedSecrets({ credentialsSecretRef, sentinel, tls }: Spec['redis']): Mounted {
  const ca = tls?.caSecretRef
  const folders = [
    [SECRETS.redis, credentialsSecretRef?.name],
    [SECRETS.sentinel, sentinel?.credentialsSecretRef?.name],
    [SECRETS.ca, ca?.name],
    [SECRETS.clientCert, tls?.clientCertSecretRef?.name],
  ] as const
  const used = folders.flatMap(([folder, secretName]) => (secretName === undefined ? [] : [{ folder, secretName }]))
  return {
    volumeMounts: used.map(({ folder }) => ({
      name: volumeOf(folder),
      mountPath: `${SECRETS_DIR}/${folder}`,
      readOnly: true,
    })),
    volumes: used.map(({ folder, secretName }) => ({
      name: volumeOf(folder),
      secret: {
        secretName,
        defaultMode: 0o440,
        ...(folder === SECRETS.ca ? { items: [{ key: ca?.key, path: 'ca.crt' }] } : {}),
      },
    })),
  }
}

const volumeOf = (folder: string): string => `keyshift-${folder}`
