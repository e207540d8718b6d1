import { existsSync, readFileSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Log, step } from '../system/log.ts'
import { end, isAlive } from '../system/identity.ts'
import { run, tryRun } from '../system/run.ts'
import { sleep } from '../system/wait.ts'
import { ipProgram } from './keeper.ts'
import { type Layout, layoutOf } from './layout.ts'
import { findKeepers } from './processes.ts'
import { readState } from './state.ts'

/** Removes all that a cluster of this name has or that a killed run left, in any state. Returns whether there was anything. */
export async function clear(name: string, log: Log): Promise<boolean> {
  const layout = layoutOf(name, 0) // Names and paths only: addresses go with the namespace.
  if (!existsSync(layout.root) && findKeepers(layout.marker).length === 0 && cgroupsOf(layout).length === 0)
    return false
  await step(log, `removing cluster '${name}'`, async () => {
    await endAll(layout)
    await unmountBelow(layout.root)
    rmSync(layout.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })
  return true
}

/** Everything but the files. */
export async function endAll(layout: Layout): Promise<void> {
  await endProcesses(layout)
  await removeDevice(layout)
  await removeCgroups(layout)
}

/** The kernel ends every process of the namespace with its first one: kubelet cannot restart what is being ended. */
async function endProcesses(layout: Layout): Promise<void> {
  const recorded = readState(layout.name)?.keeper
  if (recorded !== undefined && isAlive(recorded)) await end(recorded, 0)
  for (const keeper of findKeepers(layout.marker)) await end(keeper, 0)
}

/** Usually gone with the namespace; stays while a shell someone opened in it lives. */
async function removeDevice(layout: Layout): Promise<void> {
  if (existsSync(`/sys/class/net/${layout.device}`)) await tryRun(ipProgram(), ['link', 'del', layout.device])
}

const cgroupRoot = '/sys/fs/cgroup'

/** One on cgroup v2; on v1 one in each controller's own tree. */
function cgroupsOf(layout: Layout): string[] {
  const trees = [cgroupRoot, ...readdirSync(cgroupRoot).map((entry) => join(cgroupRoot, entry))]
  return trees.map((tree) => join(tree, layout.cgroup)).filter((path) => existsSync(path))
}

async function removeCgroups(layout: Layout): Promise<void> {
  for (const path of cgroupsOf(layout))
    for (let tries = 0; ; tries++) {
      try {
        removeTree(path)
        break
      } catch (error) {
        // The kernel lets go of the last processes a moment after they are gone.
        if (tries === 50)
          throw new Error(`${path} stays: ${String(error)}; look at ${path}/cgroup.procs`, { cause: error })
        await sleep(100)
      }
    }
}

/** A cgroup's files cannot be deleted, only its folders, the deepest first. */
function removeTree(path: string): void {
  for (const entry of readdirSync(path)) {
    const child = join(path, entry)
    if (statSync(child).isDirectory()) removeTree(child)
  }
  rmdirSync(path)
}

/** The cluster's mounts live in its own namespace; one that is seen here would be deleted through, so it goes first. */
async function unmountBelow(root: string): Promise<void> {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${root}/`))
  for (const point of points.reverse()) await run('umount', ['-l', point])
}
