import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority, createSigningKey } from '../system/certs.ts'
import { writeKubeconfig } from '../system/kubeconfig.ts'
import { findProgram, run, tryRun } from '../system/run.ts'
import { adminFiles, clients, serverNames, serverUrl } from './components.ts'
import { ipProgram } from './keeper.ts'
import type { Layout } from './layout.ts'
import { networkPrefix } from './layout.ts'

/** Certificates, the key for service-account tokens, and a kubeconfig for every client. */
export async function writeCredentials(layout: Layout): Promise<void> {
  mkdirSync(layout.pki, { recursive: true, mode: 0o700 })
  const authority = await createAuthority(layout.pki)
  createSigningKey(layout.pki)
  const cluster = { name: `keyshift-${layout.name}`, server: serverUrl(layout), ca: authority.pair.cert }
  const server = authority.issue({ name: 'apiserver', commonName: 'kube-apiserver', ...serverNames(layout) })
  const users = clients(layout).map(async (client) => {
    const pair = await authority.issue(client)
    writeKubeconfig(join(layout.pki, `${client.name}.kubeconfig`), cluster, pair)
  })
  await Promise.all([server, ...users])
  writeKubeconfig(layout.kubeconfig, cluster, adminFiles(layout))
}

/** Taking addresses that a VPN or another bridge uses would cut the machine off from them. */
export async function checkAddresses(layout: Layout): Promise<void> {
  const routes = JSON.parse(await run(ipProgram(), ['-j', '-4', 'route', 'show'])) as Array<{
    dst: string
    dev: string
  }>
  for (const own of [`${layout.hostAddress}/30`, layout.podCidr, layout.serviceCidr]) {
    const other = routes.find(({ dst, dev }) => dst !== 'default' && dev !== layout.device && overlap(dst, own))
    if (other !== undefined)
      throw new Error(
        `the machine already has a route to ${other.dst} (device ${other.dev}), and cluster '${layout.name}' would take ${own}: ` +
          `set KEYSHIFT_NETWORK to two free octets, e.g. KEYSHIFT_NETWORK=10.${networkPrefix() === '10.213' ? '197' : '213'}`,
      )
  }
}

export function overlap(a: string, b: string): boolean {
  const [first, second] = [a, b].map((cidr) => {
    const [address, bits] = cidr.split('/') as [string, string | undefined]
    const value = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
    return { value, size: 2 ** (32 - Number(bits ?? 32)) }
  }) as [{ value: number; size: number }, { value: number; size: number }]
  const size = Math.max(first.size, second.size)
  return Math.floor(first.value / size) === Math.floor(second.value / size)
}

/**
 * How containerd keeps images: overlayfs, unless the folder is on a file system that cannot carry it (an overlay itself), then
 * plain copies. Written down for the commands that import images later.
 */
export async function chooseSnapshotter(layout: Layout): Promise<string> {
  const test = join(layout.root, 'overlay-test')
  for (const part of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(test, part), { recursive: true })
  const options = `lowerdir=${test}/lower,upperdir=${test}/upper,workdir=${test}/work`
  // In a mount namespace of its own, so that nothing is left to unmount.
  const script = `mount -t overlay overlay -o "$1" "$2/merged" && rm -rf "$2/merged/x"`
  const result = await tryRun('unshare', ['--mount', '--', 'sh', '-c', script, 'sh', options, test])
  const choice = result.code === 0 ? 'overlayfs' : 'native'
  writeFileSync(join(layout.root, 'snapshotter'), choice)
  return choice
}

export function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new Error(
    'a local cluster needs root (namespaces, mounts): run with sudo, or use a cluster you have with --context NAME',
  )
}

export function programPath(name: string): string {
  const path = findProgram(name)
  if (path === undefined) throw new Error(`${name} is missing`)
  return path
}
