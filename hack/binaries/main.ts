// node hack/binaries/main.ts [kube] [tools]: builds the programs ahead of time and prints where they are.
import { ensureBinaries } from './build.ts'
import { modules, type ModuleName } from './modules.ts'

const names = process.argv.slice(2)
const wanted = names.length === 0 ? Object.keys(modules) : names
const unknown = wanted.filter((name) => !(name in modules))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(modules).join(', ')}`)
  process.exit(2)
}
try {
  const folders = await ensureBinaries(wanted as ModuleName[], (line) => console.log(line))
  for (const [name, folder] of Object.entries(folders)) console.log(`${name}: ${folder}`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
