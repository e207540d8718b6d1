/** Installs and builds what the suites need: everything for a whole cluster as root, else what integration takes. */
import { ensureBinaries } from '../binaries/build.ts'
import { ensurePackages } from '../packages/ensure.ts'
import { ensureNodes } from './nodes.ts'
import { clusterPackages, integrationPackages } from '../packages/list.ts'

const log = (line: string): void => console.log(line)
const root = process.getuid?.() === 0
try {
  await Promise.all([
    ensurePackages(root ? clusterPackages : integrationPackages, log),
    ensureBinaries(['kube', 'tools'], log),
    ensureNodes(log),
  ])
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
