import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cniFolders } from '../packages/list.ts'
import type { Layout } from './layout.ts'

export const pauseImage = 'keyshift-local/pause:1'
export const clusterDomain = 'cluster.local'

/** Where this run's configuration files are, by the program that reads them. */
export type ConfigFiles = { containerd: string; kubelet: string; coredns: string }

export function writeConfigs(layout: Layout, snapshotter: string): ConfigFiles {
  const folder = join(layout.root, 'config')
  mkdirSync(join(folder, 'cni'), { recursive: true })
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  write('cni/10-pods.conflist', JSON.stringify(podNetwork(layout), null, 2))
  write('resolv.conf', `nameserver ${layout.nodeAddress}\n`)
  return {
    containerd: write('containerd.toml', containerdConfig(layout, join(folder, 'cni'), snapshotter)),
    kubelet: write('kubelet.json', JSON.stringify(kubeletConfig(layout, join(folder, 'resolv.conf')), null, 2)),
    coredns: write('Corefile', corefile(layout)),
  }
}

/** Routed, not bridged: answers of a pod to a pod behind a Service pass the node's address translation without br_netfilter. */
function podNetwork(layout: Layout): object {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: layout.podCidr }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: '/run/cni',
  }
  return { cniVersion: '0.4.0', name: 'pods', plugins: [{ type: 'ptp', ipMasq: false, mtu: 1500, ipam }] }
}

function containerdConfig(layout: Layout, cniConfigs: string, snapshotter: string): string {
  const plugins = cniFolders.find((folder) => existsSync(join(folder, 'host-local'))) ?? cniFolders[0]
  return `version = 2
root = "${layout.root}/containerd"
state = "/run/containerd"
[grpc]
  address = "${layout.containerdSocket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # Without the right to lower OOM scores (containers, some virtual machines) runc cannot start the pause container.
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${plugins}"
  conf_dir = "${cniConfigs}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "${snapshotter}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
`
}

function kubeletConfig(layout: Layout, resolvConf: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(layout.pki, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${layout.cgroup}`,
    clusterDNS: [layout.nodeAddress],
    clusterDomain,
    resolvConf,
    containerRuntimeEndpoint: `unix://${layout.containerdSocket}`,
    failSwapOn: false,
    // ConfigMap volumes follow a change within seconds, not minutes.
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    syncFrequency: '1s',
    // A full or small disk must not taint the only node, nor delete images that no registry can give back.
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    serializeImagePulls: false,
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
  }
}

/** Listens in the node's network namespace only. Names outside the cluster get no answer: pods have no way out. */
function corefile(layout: Layout): string {
  return `.:53 {
    errors
    ready 127.0.0.1:8181
    kubernetes ${clusterDomain} in-addr.arpa {
        kubeconfig ${join(layout.root, 'kubeconfig')}
        ttl 5
    }
    cache 5
}
`
}
