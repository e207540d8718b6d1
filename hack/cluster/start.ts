import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBinaries } from '../binaries/build.ts'
import { buildPauseImage } from '../image/pause.ts'
import { ensurePackages } from '../packages/ensure.ts'
import { clusterPackages } from '../packages/list.ts'
import { self } from '../system/identity.ts'
import { type Log, silent } from '../system/log.ts'
import { withLock } from '../system/lock.ts'
import { boot } from './boot.ts'
import { createCgroup } from './cgroup.ts'
import { clear, endAll } from './clear.ts'
import { pauseImage } from './configs.ts'
import { type Cluster, type Folders, handleFor } from './handle.ts'
import { connect, startKeeper } from './keeper.ts'
import { type Layout, checkName, dataRoot, layoutOf, rootOf } from './layout.ts'
import { checkAddresses, chooseSnapshotter, requireRoot, writeCredentials } from './prepare.ts'
import { slotOf } from './slots.ts'
import { judge, readState, type State, writeState } from './state.ts'

export type StartOptions = {
  log?: Log
  /** true: the cluster ends with this process, whatever it dies of. false: it stays until `down`. */
  tied?: boolean
  /** Aborting it ends the start and removes what was made. */
  signal?: AbortSignal
}

const lockFile = (name: string): string => join(dataRoot, 'locks', name)

/** A node and a control plane called `name`, ready for pods, with DNS answering. */
export async function startCluster(name: string, options: StartOptions = {}): Promise<Cluster> {
  const { log = silent, tied = false, signal } = options
  checkName(name)
  requireRoot()
  refuseLiving(name)
  const needed = Promise.all([ensureBinaries(['kube', 'tools'], log), ensurePackages(clusterPackages, log)])
  const [folders] = await orAbort(signal, needed)
  const layout = layoutOf(name, await slotOf(name))
  return withLock(lockFile(name), log, 120_000, async () => {
    refuseLiving(name)
    await clear(name, log)
    await checkAddresses(layout)
    try {
      await create(layout, folders, tied, log, signal)
    } catch (error) {
      // The logs of a failed start say why it failed: they stay until the next `up` or `down`.
      if (signal?.aborted === true) await clear(name, log)
      else await fail(layout)
      throw signal?.aborted === true ? signal.reason : error
    }
    return handleFor(layout, folders, async () => void (await stopCluster(name, log)))
  })
}

/** Returns whether there was anything to remove. */
export async function stopCluster(name: string, log: Log = silent): Promise<boolean> {
  checkName(name)
  requireRoot()
  return withLock(lockFile(name), log, 120_000, () => clear(name, log))
}

/** The handle of a cluster that an earlier run made. */
export async function findCluster(name: string, log: Log = silent): Promise<Cluster> {
  checkName(name)
  const verdict = judge(name)
  if (verdict.kind !== 'running') throw new Error(`cluster '${name}' is not running (${verdict.kind})`)
  const folders = await ensureBinaries(['kube', 'tools'], log)
  return handleFor(layoutOf(name, verdict.state.slot), folders, async () => void (await stopCluster(name, log)))
}

function refuseLiving(name: string): void {
  const verdict = judge(name)
  if (verdict.kind === 'starting') throw new Error(`cluster '${name}' is being started by process ${verdict.pid}`)
  if (verdict.kind !== 'running') return
  const end = name === 'demo' ? 'npm run demo:down' : `node hack/cluster/main.ts down ${name}`
  throw new Error(
    `cluster '${name}' is already running (pid ${verdict.pid}): use it with --context keyshift-${name} and ` +
      `KUBECONFIG=${rootOf(name)}/kubeconfig, or end it with ${end}`,
  )
}

async function create(layout: Layout, folders: Folders, tied: boolean, log: Log, signal: AbortSignal | undefined) {
  mkdirSync(layout.logs, { recursive: true })
  const state: State = { phase: 'starting', slot: layout.slot, runner: self(), tied }
  writeState(layout.name, state)
  const snapshotter = await chooseSnapshotter(layout)
  const [pauseTar] = await Promise.all([buildPauseImage(folders.tools, pauseImage), writeCredentials(layout)])
  signal?.throwIfAborted()
  createCgroup(layout)
  const keeper = await startKeeper(layout, join(folders.tools, 'pause'), tied)
  writeState(layout.name, { ...state, keeper: keeper.identity })
  await connect(layout, keeper.identity)
  await boot({ layout, folders, keeper, snapshotter, pauseTar, log, signal })
  writeState(layout.name, { ...state, phase: 'ready', keeper: keeper.identity })
}

async function fail(layout: Layout): Promise<void> {
  await endAll(layout)
  const state = readState(layout.name)
  // This process may live on and try again: it must not take itself for one that is starting the cluster.
  if (state !== undefined) writeState(layout.name, { ...state, phase: 'failed' })
}

/** Does not wait for work that cannot be ended half way (a compiler, apt) when nobody wants its result any more. */
function orAbort<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  return Promise.race([work, aborted])
}
