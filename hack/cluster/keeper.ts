import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, startChild } from '../system/child.ts'
import { type Identity, commandLine, identify } from '../system/identity.ts'
import { findProgram, run } from '../system/run.ts'
import { until } from '../system/wait.ts'
import { childrenOf } from './processes.ts'
import type { Layout } from './layout.ts'

/**
 * The cluster's node is three namespaces (processes, mounts, network) held by one sleeping process. Ending that process ends
 * every other one, and its mounts, rules and devices go with them: nothing has to be undone piece by piece, and default ports,
 * paths and kube-proxy's fixed table name cannot meet those of another cluster or of the machine.
 */
export type Keeper = { identity: Identity; lost: () => string | undefined }

// kubelet insists on these and would set them for the whole machine: it finds files that say so already.
const kernelSettings: Record<string, string> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
}

const script = `
set -eu
root=$1 pause=$2 marker=$3
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir /run/keep
mount --bind "$root" /run/keep
mount -t tmpfs tmpfs /var/lib
mkdir -p "$root"
mount --move /run/keep "$root"
mount -t tmpfs tmpfs /var/log
mkdir -p /run/settings /run/netns /var/lib/kubelet /var/log/pods /var/log/containers
mount --bind "$root/pods" /var/log/pods
${Object.entries(kernelSettings)
  .map(([path, value]) => {
    const file = `/run/settings/${path.replaceAll('/', '.')}`
    return `echo ${value} > ${file}; mount --bind ${file} /proc/sys/${path}`
  })
  .join('\n')}
mount --make-rshared /
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
exec "$pause" "$marker"
`

export async function startKeeper(layout: Layout, pause: string, tied: boolean): Promise<Keeper> {
  mkdirSync(join(layout.root, 'pods'), { recursive: true })
  const logFile = join(layout.logs, 'keeper.log')
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private']
  const child = startChild({
    name: 'keeper',
    command: 'unshare',
    args: [...namespaces, '--', 'sh', '-c', script, 'sh', layout.root, pause, layout.marker],
    logFile,
    diesWithParent: tied,
  })
  const identity = await until('namespaces of the node', () => settled(child, pause), {
    limitMs: 20_000,
    everyMs: 20,
    look: logFile,
    hopeless: child.lost,
  })
  return { identity, lost: child.lost }
}

/** The keeper's own process once the script has made way for it. */
function settled(child: Child, pause: string): Identity | undefined {
  const pid = childrenOf(child.pid).find((candidate) => commandLine(candidate)[0] === pause)
  return pid === undefined ? undefined : identify(pid)
}

/** One cable between the machine and the node; pods and Services are routed through it. */
export async function connect(layout: Layout, keeper: Identity): Promise<void> {
  const ip = (...args: string[]) => run(ipProgram(), args)
  const inside = (...args: string[]) => run('nsenter', ['-t', String(keeper.pid), '-n', ipProgram(), ...args])
  await ip('link', 'add', layout.device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(keeper.pid))
  await ip('addr', 'add', `${layout.hostAddress}/30`, 'dev', layout.device)
  await ip('link', 'set', layout.device, 'up')
  await inside('addr', 'add', `${layout.nodeAddress}/30`, 'dev', 'eth0')
  await inside('link', 'set', 'eth0', 'up')
  // Only for answers to the machine: it forwards nothing onward.
  await inside('route', 'add', 'default', 'via', layout.hostAddress)
  for (const cidr of [layout.podCidr, layout.serviceCidr])
    await ip('route', 'add', cidr, 'via', layout.nodeAddress, 'dev', layout.device)
}

export function ipProgram(): string {
  return findProgram('ip') ?? 'ip'
}

export function enter(keeper: Identity, command: string, args: readonly string[]): [string, string[]] {
  return ['nsenter', ['-t', String(keeper.pid), '-m', '-n', '-p', '--', command, ...args]]
}
