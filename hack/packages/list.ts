import { PYTHON, PYTHON_CHECK } from '../local/python.ts'

/** A Debian or Ubuntu package and how to see that it is not needed: any program of that name will do, from wherever. */
export type Package = {
  /** The first that the distribution has is installed. */
  names: readonly string[]
  program: string
  /** Folders besides PATH and sbin. */
  folders?: readonly string[]
  /** In place of looking for the program: a command that ends with 0 where nothing is missing. */
  check?: readonly [string, ...string[]]
}

const etcd: Package = { names: ['etcd-server', 'etcd'], program: 'etcd' }
const redis: Package = { names: ['redis-server', 'redis'], program: 'redis-server' }
const redisCli: Package = { names: ['redis-tools'], program: 'redis-cli' }
const prometheus: Package = { names: ['prometheus'], program: 'prometheus' }
const openssl: Package = { names: ['openssl'], program: 'openssl' }
const setpriv: Package = { names: ['util-linux'], program: 'setpriv' }
const redisPy: Package = {
  names: ['python3-redis'],
  program: `${PYTHON} with redis-py`,
  check: PYTHON_CHECK,
}

/** What integration tests start on loopback, without root once it is installed. */
export const integrationPackages: readonly Package[] = [etcd, redis, redisCli, prometheus, openssl, setpriv, redisPy]

export const cniFolders = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni']

/** What a whole cluster needs besides. */
export const clusterPackages: readonly Package[] = [
  ...integrationPackages,
  { names: ['containerd'], program: 'containerd' },
  { names: ['runc'], program: 'runc' },
  // Not its plugin 'bridge': iproute2 has a program of that name.
  { names: ['containernetworking-plugins'], program: 'host-local', folders: cniFolders },
  { names: ['nftables'], program: 'nft' },
  { names: ['buildah'], program: 'buildah' },
  { names: ['iproute2'], program: 'ip' },
  { names: ['mount'], program: 'umount' },
]
