import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Layout } from './layout.ts'

const root = '/sys/fs/cgroup'

/** kubelet wants its root cgroup to exist, with every controller it uses. */
export function createCgroup(layout: Layout): void {
  if (existsSync(join(root, 'cgroup.controllers'))) return createUnified(layout)
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')) {
    const controllers = line.split(':')[1] ?? ''
    const tree = join(root, controllers.replace(/^name=/, ''))
    if (controllers === '' || !existsSync(tree)) continue
    mkdirSync(join(tree, layout.cgroup), { recursive: true })
    if (controllers.split(',').includes('cpuset')) fillCpuset(tree, join(tree, layout.cgroup))
  }
}

/** A new cpuset is empty and takes no process until it is given processors and memory. */
function fillCpuset(parent: string, child: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    writeFileSync(join(child, file), readFileSync(join(parent, file), 'utf8'))
}

function createUnified(layout: Layout): void {
  const available = readFileSync(join(root, 'cgroup.controllers'), 'utf8').trim().split(/\s+/)
  const folder = join(root, layout.cgroup)
  mkdirSync(folder, { recursive: true })
  for (const controller of available)
    for (const level of [root, folder]) {
      try {
        writeFileSync(join(level, 'cgroup.subtree_control'), `+${controller}`)
      } catch {
        // Not every controller can be handed down on every kernel; kubelet says which one it misses.
      }
    }
}
