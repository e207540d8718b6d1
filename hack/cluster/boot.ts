import { Resolver } from 'node:dns/promises'
import { existsSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { type Child, startChild } from '../system/child.ts'
import { type Log, step } from '../system/log.ts'
import { until } from '../system/wait.ts'
import { adminFiles, type ComponentName, components, serverUrl } from './components.ts'
import { clusterDomain, writeConfigs } from './configs.ts'
import { type Folders, importImage } from './handle.ts'
import { enter, type Keeper } from './keeper.ts'
import type { Layout } from './layout.ts'
import { programPath } from './prepare.ts'

export type BootOptions = {
  layout: Layout
  folders: Folders
  keeper: Keeper
  snapshotter: string
  pauseTar: string
  log: Log
  signal: AbortSignal | undefined
}

/** Starts every part inside the keeper's namespaces and returns when pods can be created and names are answered. */
export async function boot(options: BootOptions): Promise<void> {
  const { layout, log } = options
  const start = starter(options)
  const etcd = start('etcd')
  const containerd = start('containerd')
  const apiServer = start('apiServer')
  const api = new AbortableWaits(options, [etcd, apiServer])
  await step(log, 'starting etcd, the API server and containerd', async () => {
    await Promise.all([
      api.wait('API server', apiServer, 60_000, async () => (await get(layout, '/readyz')) !== undefined),
      importPause(options, containerd),
    ])
  })
  await step(log, 'starting the controllers, kubelet, kube-proxy and DNS', async () => {
    const kubelet = start('kubelet')
    const controllers = start('controllerManager')
    const dns = start('dns')
    const others = [start('scheduler'), start('proxy')]
    const rest = new AbortableWaits(options, [etcd, apiServer, containerd, kubelet, controllers, dns, ...others])
    await Promise.all([
      rest.wait('node Ready', kubelet, 90_000, () => nodeReady(layout)),
      rest.wait('default service account', controllers, 60_000, async () => {
        return (await get(layout, '/api/v1/namespaces/default/serviceaccounts/default')) !== undefined
      }),
      rest.wait('an answer from the DNS', dns, 60_000, () => resolves(layout)),
    ])
  })
}

class AbortableWaits {
  private readonly options: BootOptions
  private readonly needed: Child[]
  constructor(options: BootOptions, needed: Child[]) {
    this.options = options
    this.needed = needed
  }
  /** Ends at once when a needed program has ended, or the start was aborted. */
  wait(what: string, by: Child, limitMs: number, check: () => Promise<boolean>): Promise<unknown> {
    const hopeless = () => {
      if (this.options.signal?.aborted === true) return 'the start was aborted'
      return this.options.keeper.lost() ?? this.needed.map((child) => child.lost()).find((lost) => lost !== undefined)
    }
    const yes = async () => ((await check()) ? true : undefined)
    return until(what, yes, { limitMs, look: by.logFile, hopeless })
  }
}

type StarterOptions = Pick<BootOptions, 'layout' | 'folders' | 'snapshotter'> & { keeper: Pick<Keeper, 'identity'> }

/** Starts one part by its name, inside the keeper's namespaces. */
export function starter({ layout, folders, keeper, snapshotter }: StarterOptions): (name: ComponentName) => Child {
  const programs = { ...folders, etcd: programPath('etcd'), containerd: programPath('containerd') }
  const parts = components(layout, programs, writeConfigs(layout, snapshotter))
  return (name) => {
    const part = parts[name]
    const [command, args] = enter(keeper.identity, part.command, part.args)
    // Not tied to this process: the keeper's end is theirs.
    return startChild({
      name: part.name,
      command,
      args,
      logFile: join(layout.logs, `${part.name}.log`),
      diesWithParent: false,
      env: cleanEnv(),
    })
  }
}

/** kubelet runs mount, nft and iptables by name; nothing else of the caller's environment is wanted, a proxy least of all. */
function cleanEnv(): NodeJS.ProcessEnv {
  return { PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`, HOME: '/' }
}

async function importPause(options: BootOptions, containerd: Child): Promise<void> {
  const { layout, pauseTar } = options
  const waits = new AbortableWaits(options, [containerd])
  await waits.wait('containerd', containerd, 30_000, async () => existsSync(layout.containerdSocket))
  await importImage(layout, pauseTar)
}

async function nodeReady(layout: Layout): Promise<boolean> {
  const answer = await get(layout, `/api/v1/nodes/${layout.nodeName}`)
  if (answer === undefined) return false
  type Condition = { type: string; status: string; message: string }
  const node = JSON.parse(answer) as { status: { conditions?: Condition[] }; spec: { taints?: unknown[] } }
  const ready = node.status.conditions?.find((condition) => condition.type === 'Ready')
  if (ready?.status !== 'True') throw new Error(ready?.message ?? 'the node has no conditions')
  return node.spec.taints === undefined // Pods are refused until the controller takes the taint away.
}

async function resolves(layout: Layout): Promise<boolean> {
  const resolver = new Resolver({ timeout: 500, tries: 1 })
  resolver.setServers([layout.nodeAddress])
  const addresses = await resolver.resolve4(`kubernetes.default.svc.${clusterDomain}`)
  return addresses.includes(layout.apiServiceAddress)
}

/** The body of a 200 answer; kubectl would take ten times as long to start as the answer takes. */
function get(layout: Layout, path: string): Promise<string | undefined> {
  const { cert, key } = adminFiles(layout)
  const tls = { ca: readFileSync(join(layout.pki, 'ca.crt')), cert: readFileSync(cert), key: readFileSync(key) }
  return new Promise((resolve, reject) => {
    const ask = request(`${serverUrl(layout)}${path}`, { ...tls, agent: false, timeout: 3000 }, (answer) => {
      let body = ''
      answer.setEncoding('utf8').on('data', (text: string) => (body += text))
      answer.on('end', () => resolve(answer.statusCode === 200 ? body : undefined))
      answer.on('error', reject)
    })
    ask.on('timeout', () => ask.destroy(new Error('no answer within 3 s')))
    ask.on('error', reject)
    ask.end()
  })
}
