import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBinaries } from '../binaries/build.ts'
import { createAuthority, createSigningKey } from '../system/certs.ts'
import { type Child, startChild } from '../system/child.ts'
import { writeKubeconfig } from '../system/kubeconfig.ts'
import { type Log, silent } from '../system/log.ts'
import { withPorts } from '../system/ports.ts'
import { run, tryRun } from '../system/run.ts'
import { until } from '../system/wait.ts'
import { requireProgram } from './programs.ts'

export type ControlPlane = {
  server: string
  kubeconfigPath: string
  etcd: Child
  apiServer: Child
  kubectl: (args: readonly string[], options?: { input?: string }) => Promise<string>
  stop: () => Promise<void>
}

/**
 * etcd and an API server on 127.0.0.1, without root, which end with this process. Nothing else runs: no controller makes
 * Pods, deletes namespaces or collects garbage.
 */
export async function startControlPlane(options: {
  dir: string
  log?: Log
  /** Further flags of the API server. */
  apiServerArgs?: readonly string[]
}): Promise<ControlPlane> {
  const { kube } = await ensureBinaries(['kube'], options.log ?? silent)
  return withPorts(3, ([client, peer, secure]) =>
    start(
      options.dir,
      kube,
      { client: client as number, peer: peer as number, secure: secure as number },
      options.apiServerArgs ?? [],
    ),
  )
}

type Ports = { client: number; peer: number; secure: number }

async function start(dir: string, kube: string, ports: Ports, more: readonly string[]): Promise<ControlPlane> {
  const pki = join(dir, `pki-${ports.secure}`) // A second try after a taken port begins anew.
  mkdirSync(pki, { recursive: true })
  const etcd = startEtcd(dir, ports)
  const children: Child[] = [etcd]
  const stop = async () => {
    // The data is thrown away: no reason to wait for an orderly end.
    for (const child of children.splice(0).reverse()) await child.stop(0)
  }
  try {
    const authority = await createAuthority(pki)
    const addresses = ['127.0.0.1']
    const [, admin] = await Promise.all([
      authority.issue({ name: 'apiserver', commonName: 'kube-apiserver', addresses, hostNames: ['localhost'] }),
      authority.issue({ name: 'admin', commonName: 'admin', organization: 'system:masters' }),
    ])
    createSigningKey(pki)
    const apiServer = startApiServer(dir, pki, kube, ports, more)
    children.push(apiServer)
    const server = `https://127.0.0.1:${ports.secure}`
    const kubeconfigPath = join(dir, 'kubeconfig')
    writeKubeconfig(kubeconfigPath, { name: 'keyshift-local', server, ca: authority.pair.cert }, admin)
    const env = {
      ...process.env,
      KUBECONFIG: kubeconfigPath,
      KUBECACHEDIR: join(dir, 'kubectl-cache'),
      NO_PROXY: '127.0.0.1',
      no_proxy: '127.0.0.1',
    }
    const kubectl = (args: readonly string[], more: { input?: string } = {}) =>
      run(join(kube, 'kubectl'), args, { env, ...more })
    await until('API server', () => isReady(join(kube, 'kubectl'), env), {
      limitMs: 60_000,
      look: apiServer.logFile,
      hopeless: () => apiServer.lost() ?? etcd.lost(),
    })
    return { server, kubeconfigPath, etcd, apiServer, kubectl, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Ready, and with the namespace that most requests name: it is made a moment after /readyz says yes. */
async function isReady(kubectl: string, env: NodeJS.ProcessEnv): Promise<true | undefined> {
  const ready = await tryRun(kubectl, ['get', '--raw=/readyz'], { env, limitMs: 5000 })
  if (ready.code !== 0) throw new Error(ready.stderr.trim().split('\n')[0])
  const namespace = await tryRun(kubectl, ['get', '--raw=/api/v1/namespaces/default'], { env, limitMs: 5000 })
  return namespace.code === 0 ? true : undefined
}

function startEtcd(dir: string, ports: Ports): Child {
  const client = `http://127.0.0.1:${ports.client}`
  const peer = `http://127.0.0.1:${ports.peer}`
  return startChild({
    name: 'etcd',
    command: requireProgram('etcd'),
    args: [
      `--data-dir=${join(dir, `etcd-${ports.client}`)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ],
    logFile: join(dir, 'etcd.log'),
    diesWithParent: true,
  })
}

function startApiServer(dir: string, pki: string, kube: string, ports: Ports, more: readonly string[]): Child {
  return startChild({
    name: 'kube-apiserver',
    command: join(kube, 'kube-apiserver'),
    args: [
      `--etcd-servers=http://127.0.0.1:${ports.client}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${ports.secure}`,
      `--tls-cert-file=${pki}/apiserver.crt`,
      `--tls-private-key-file=${pki}/apiserver.key`,
      `--client-ca-file=${pki}/ca.crt`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${pki}/sa.pub`,
      `--service-account-signing-key-file=${pki}/sa.key`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--authorization-mode=RBAC',
      // No controller makes the default service account, without which this plugin refuses every Pod.
      '--disable-admission-plugins=ServiceAccount',
      // A loopback address cannot be the endpoint of the kubernetes Service, and nobody asks for it.
      '--endpoint-reconciler-type=none',
      '--allow-privileged=true',
      ...more,
    ],
    logFile: join(dir, 'kube-apiserver.log'),
    diesWithParent: true,
  })
}
