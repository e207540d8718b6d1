import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { commandLine, identify, isAlive, type Identity } from '../system/identity.ts'
import { sleep } from '../system/wait.ts'
import { starter } from './boot.ts'
import { componentNames, type ComponentName } from './components.ts'
import { allPids, inNamespaceOf } from './processes.ts'
import { judge } from './state.ts'
import type { Cluster } from './handle.ts'

const PROGRAMS: Readonly<Record<ComponentName, string>> = {
  etcd: 'etcd',
  apiServer: 'kube-apiserver',
  controllerManager: 'kube-controller-manager',
  scheduler: 'kube-scheduler',
  proxy: 'kube-proxy',
  containerd: 'containerd',
  kubelet: 'kubelet',
  dns: 'coredns',
}

export const isComponent = (name: string): name is ComponentName => (componentNames as readonly string[]).includes(name)

/** SIGKILL to these parts of a running cluster; resolves when they are gone. Their data stays. */
export async function killParts(cluster: Cluster, names: readonly ComponentName[]): Promise<void> {
  const identities = names.flatMap((name) => processesOf(cluster, name))
  if (identities.length < names.length)
    throw new Error(`of ${names.join(', ')} only ${identities.length} run in cluster '${cluster.name}'`)
  for (const { pid } of identities) process.kill(pid, 'SIGKILL')
  for (let tries = 0; identities.some(isAlive); tries++) {
    if (tries === 500) throw new Error(`${names.join(', ')} survive SIGKILL`)
    await sleep(10)
  }
}

/** Those of the parts that do not run. */
export function missingParts(cluster: Cluster, names: readonly ComponentName[]): readonly ComponentName[] {
  return names.filter((name) => processesOf(cluster, name).length === 0)
}

function processesOf(cluster: Cluster, name: ComponentName): readonly Identity[] {
  return inNamespaceOf(keeperOf(cluster).pid)
    .filter((pid) => basename(commandLine(pid)[0] ?? '') === PROGRAMS[name])
    .map(identify)
    .filter((identity) => identity !== undefined)
}

/** Starts parts again, as the first start did, on the data that they left. Does not wait until they answer. */
export function startParts(cluster: Cluster, names: readonly ComponentName[]): void {
  const { layout, folders } = cluster
  const snapshotter = readFileSync(join(layout.root, 'snapshotter'), 'utf8')
  const start = starter({ layout, folders, keeper: { identity: keeperOf(cluster) }, snapshotter })
  for (const name of names) start(name)
}

/** SIGKILL to every process of a container, by the id that the status of its pod shows. Returns how many there were. */
export function killContainer(containerId: string): number {
  const id = containerId.replace(/^[a-z]+:\/\//, '')
  if (!/^[0-9a-f]{64}$/.test(id)) throw new Error(`${containerId} is no id of a container`)
  const pids = allPids().filter((pid) => cgroupsOf(pid).includes(id))
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return pids.length
}

function cgroupsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
  } catch {
    return '' // It ended meanwhile.
  }
}

function keeperOf({ name }: Cluster) {
  const verdict = judge(name)
  if (verdict.kind !== 'running' || verdict.state.keeper === undefined)
    throw new Error(`cluster '${name}' does not run`)
  return verdict.state.keeper
}
