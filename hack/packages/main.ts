// node hack/packages/main.ts integration|cluster: installs the Debian packages that are missing.
import { ensurePackages } from './ensure.ts'
import { clusterPackages, integrationPackages } from './list.ts'

const sets = { integration: integrationPackages, cluster: clusterPackages }
const set = sets[process.argv[2] as keyof typeof sets] as typeof clusterPackages | undefined
if (set === undefined) {
  console.error(`which packages? ${Object.keys(sets).join(' or ')}`)
  process.exit(2)
}
try {
  await ensurePackages(set, (line) => console.log(line))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
