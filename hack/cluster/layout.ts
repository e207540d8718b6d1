import { join } from 'node:path'

/** All that belongs to one cluster by name and number: two clusters share no path, device or address. */
export type Layout = {
  name: string
  slot: number
  /** Every file of the cluster; removing it removes them. */
  root: string
  pki: string
  logs: string
  kubeconfig: string
  containerdSocket: string
  /** The host's end of the cable into the cluster's network namespace. */
  device: string
  nodeName: string
  hostAddress: string
  nodeAddress: string
  podCidr: string
  serviceCidr: string
  /** The first of the service addresses, always that of the API server. */
  apiServiceAddress: string
  /** The cgroup under which all its pods are. */
  cgroup: string
  /** An argument of its first process, by which that process is found again when nothing else is left. */
  marker: string
}

export const dataRoot = '/var/lib/keyshift'
export const slotCount = 64

/** Two octets; each cluster takes four /24 of them. */
export const networkPrefix = (): string => process.env['KEYSHIFT_NETWORK'] ?? '10.213'

export function checkName(name: string): void {
  // A device name has 15 characters at most, and three are taken by the prefix.
  if (!/^[a-z](?:[a-z0-9-]{0,10}[a-z0-9])?$/.test(name))
    throw new Error(`'${name}' is no cluster name: 1 to 12 of a-z, 0-9 and '-', beginning with a letter`)
}

export const rootOf = (name: string): string => join(dataRoot, 'clusters', name)

export function layoutOf(name: string, slot: number): Layout {
  const root = rootOf(name)
  const net = (part: number, host: number) => `${networkPrefix()}.${slot * 4 + part}.${host}`
  return {
    name,
    slot,
    root,
    pki: join(root, 'pki'),
    logs: join(root, 'logs'),
    kubeconfig: join(root, 'kubeconfig'),
    containerdSocket: join(root, 'containerd.sock'),
    device: `ks-${name}`,
    nodeName: `keyshift-${name}`,
    hostAddress: net(0, 1),
    nodeAddress: net(0, 2),
    podCidr: `${net(1, 0)}/24`,
    serviceCidr: `${net(2, 0)}/24`,
    apiServiceAddress: net(2, 1),
    cgroup: `keyshift-${name}`,
    marker: `keyshift-cluster=${name}`,
  }
}
