import { spawn, type ChildProcess } from 'node:child_process'
import type { Cluster } from '../hack/cluster/handle.ts'
import { killContainer, killParts, missingParts, startParts } from '../hack/cluster/parts.ts'
import { run } from '../hack/system/run.ts'
import { findProgram } from '../hack/system/run.ts'

/** What `--break` needs besides the API. */
export interface Wrecker {
  /** SIGKILL to all processes of a container, by the id that its pod's status shows. */
  killContainer(containerId: string): void
  /** SIGKILL to the API server and etcd; then both start again on the data they left. */
  restartControlPlane(): Promise<void>
  /** Starts those of the two that have ended, as the supervisor of a node would. */
  superviseControlPlane(): void
}

export type Kubectl = (args: readonly string[], options?: { input?: string; limitMs?: number }) => Promise<string>

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export interface Images {
  /** Holds Keyshift and the sample app. */
  readonly keyshift: string
  readonly redis: string
  readonly prometheus: string
}

/** The cluster that the demo runs in. */
export interface Target {
  readonly kubectl: Kubectl
  readonly helm: Kubectl
  /** An address of a Service that this process can connect to. */
  reach(namespace: string, service: string, port: number): Promise<Endpoint>
  /** Only where the processes are this machine's own. */
  readonly wrecker?: Wrecker
  /** How a person reaches it, for `--keep`. */
  readonly howToReach: readonly string[]
  /** Ends what was opened to reach it. */
  disconnect(): void
}

const CONTROL_PLANE = ['etcd', 'apiServer'] as const

/** A local cluster: its Service addresses are routed on this machine. */
export function localTarget(cluster: Cluster): Target {
  const { kubectl, helm } = cluster
  return {
    kubectl,
    helm,
    async reach(namespace, service, port) {
      const host = await kubectl(['get', 'service', service, '-n', namespace, '-o', 'jsonpath={.spec.clusterIP}'])
      return { host, port }
    },
    wrecker: {
      killContainer(containerId) {
        if (killContainer(containerId) === 0) throw new Error(`container ${containerId} has no process`)
      },
      async restartControlPlane() {
        await killParts(cluster, CONTROL_PLANE)
        startParts(cluster, CONTROL_PLANE)
      },
      superviseControlPlane: () => startParts(cluster, missingParts(cluster, CONTROL_PLANE)),
    },
    howToReach: [
      `export KUBECONFIG=${cluster.shell.KUBECONFIG} PATH=${cluster.shell.PATH}:$PATH`,
      'kubectl get jkm -A',
    ],
    disconnect: () => {},
  }
}

/** A cluster that is there already, by the name of its kubeconfig context; reached through `kubectl port-forward`. */
export function contextTarget(context: string): Target {
  const [kubectlPath, helmPath] = ['kubectl', 'helm'].map((name) => {
    const path = findProgram(name)
    if (path === undefined) throw new Error(`--context needs ${name} on the PATH`)
    return path
  }) as [string, string]
  const forwards: ChildProcess[] = []
  return {
    kubectl: (args, options) => run(kubectlPath, ['--context', context, ...args], options),
    helm: (args, options) => run(helmPath, ['--kube-context', context, ...args], { limitMs: 600_000, ...options }),
    async reach(namespace, service, port) {
      const args = ['--context', context, 'port-forward', '-n', namespace, `service/${service}`, `:${port}`]
      const child = spawn(kubectlPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      forwards.push(child)
      return { host: '127.0.0.1', port: await forwardedPort(child, service) }
    },
    howToReach: [`kubectl --context ${context} get jkm -A`],
    disconnect: () => forwards.forEach((child) => child.kill()),
  }
}

function forwardedPort(child: ChildProcess, service: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no port-forward to ${service} within 30 s`)), 30_000)
    child.on('exit', (code) => reject(new Error(`port-forward to ${service} ended with code ${code}`)))
    child.stdout?.on('data', (data: Buffer) => {
      const port = /127\.0\.0\.1:(\d+)/.exec(data.toString())?.[1]
      if (port === undefined) return
      clearTimeout(timer)
      resolve(Number(port))
    })
  })
}
