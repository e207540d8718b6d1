import { join } from 'node:path'
import type { KeyPair } from '../system/certs.ts'
import { clusterDomain, type ConfigFiles } from './configs.ts'
import type { Layout } from './layout.ts'

export type Component = { name: string; command: string; args: string[] }

export type Programs = { kube: string; tools: string; etcd: string; containerd: string }

/** The command lines of a node that is also the control plane, all on default ports: the network namespace is its own. */
export function components(layout: Layout, programs: Programs, files: ConfigFiles): Record<ComponentName, Component> {
  const kube = (name: string, args: string[]): Component => ({ name, command: join(programs.kube, name), args })
  const kubeconfig = (name: string) => `--kubeconfig=${join(layout.pki, `${name}.kubeconfig`)}`
  return {
    etcd: { name: 'etcd', command: programs.etcd, args: etcdArgs(layout) },
    apiServer: kube('kube-apiserver', apiServerArgs(layout)),
    controllerManager: kube('kube-controller-manager', [
      kubeconfig('controller-manager'),
      `--service-account-private-key-file=${layout.pki}/sa.key`,
      `--root-ca-file=${layout.pki}/ca.crt`,
      // Each controller has its own rights; the shared name has almost none.
      '--use-service-account-credentials=true',
      '--leader-elect=false',
      '--kube-api-qps=100',
      '--kube-api-burst=200',
    ]),
    scheduler: kube('kube-scheduler', [kubeconfig('scheduler'), '--leader-elect=false']),
    proxy: kube('kube-proxy', [
      kubeconfig('proxy'),
      `--hostname-override=${layout.nodeName}`,
      `--cluster-cidr=${layout.podCidr}`,
      '--proxy-mode=nftables',
      // These are settings of the whole machine, which a namespace may not write.
      '--conntrack-max-per-core=0',
      '--conntrack-tcp-timeout-established=0s',
      '--conntrack-tcp-timeout-close-wait=0s',
    ]),
    containerd: { name: 'containerd', command: programs.containerd, args: ['--config', files.containerd] },
    kubelet: kube('kubelet', [
      kubeconfig('kubelet'),
      `--config=${files.kubelet}`,
      `--root-dir=${layout.root}/kubelet`,
      `--cert-dir=${layout.root}/kubelet/pki`,
      `--hostname-override=${layout.nodeName}`,
      `--node-ip=${layout.nodeAddress}`,
    ]),
    dns: { name: 'coredns', command: join(programs.tools, 'coredns'), args: ['-conf', files.coredns] },
  }
}

export const componentNames = [
  'etcd',
  'apiServer',
  'controllerManager',
  'scheduler',
  'proxy',
  'containerd',
  'kubelet',
  'dns',
] as const
export type ComponentName = (typeof componentNames)[number]

/** Who talks to the API server, under which name it is granted its rights. */
export const clients = (layout: Layout): Array<{ name: string; commonName: string; organization?: string }> => [
  { name: 'admin', commonName: 'admin', organization: 'system:masters' },
  { name: 'controller-manager', commonName: 'system:kube-controller-manager' },
  { name: 'scheduler', commonName: 'system:kube-scheduler' },
  { name: 'proxy', commonName: 'system:kube-proxy' },
  { name: 'kubelet', commonName: `system:node:${layout.nodeName}`, organization: 'system:nodes' },
]

export const serverNames = (layout: Layout): { addresses: string[]; hostNames: string[] } => ({
  addresses: [layout.nodeAddress, layout.apiServiceAddress, '127.0.0.1'],
  hostNames: ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${clusterDomain}`],
})

export const serverUrl = (layout: Layout): string => `https://${layout.nodeAddress}:6443`

export const adminFiles = (layout: Layout): KeyPair => ({
  cert: join(layout.pki, 'admin.crt'),
  key: join(layout.pki, 'admin.key'),
})

function etcdArgs(layout: Layout): string[] {
  const client = 'http://127.0.0.1:2379'
  return [
    `--data-dir=${layout.root}/etcd`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    '--listen-peer-urls=http://127.0.0.1:2380',
  ]
}

function apiServerArgs(layout: Layout): string[] {
  const pki = (file: string) => join(layout.pki, file)
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    '--bind-address=0.0.0.0',
    '--secure-port=6443',
    `--advertise-address=${layout.nodeAddress}`,
    `--service-cluster-ip-range=${layout.serviceCidr}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    `--kubelet-client-certificate=${pki('admin.crt')}`,
    `--kubelet-client-key=${pki('admin.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--service-account-issuer=https://kubernetes.default.svc.${clusterDomain}`,
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
  ]
}
