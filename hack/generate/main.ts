/** Writes every generated file; with --check it writes nothing and fails when one is out of date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crdYaml } from './crd.ts'
import { reasonsPage } from './reasons.ts'
import { redisUsersPage } from './redis-users.ts'
import { scriptsModule } from './scripts.ts'

const root = join(import.meta.dirname, '..', '..')
const check = process.argv.includes('--check')

const crd = crdYaml()
const outputs: Record<string, string> = {
  'src/redis/scripts.generated.ts': scriptsModule(join(root, 'src/redis/lua')),
  'docs/reasons.md': reasonsPage(),
  'docs/redis-users.md': redisUsersPage(),
  'crds/keyshift.dev_jobkeymigrations.yaml': crd,
  'charts/keyshift/crds/keyshift.dev_jobkeymigrations.yaml': crd,
}

const stale = Object.entries(outputs).filter(
  ([file, text]) => !existsSync(join(root, file)) || readFileSync(join(root, file), 'utf8') !== text,
)
if (check && stale.length > 0) {
  console.error(`out of date: ${stale.map(([file]) => file).join(', ')}\nrun: npm run generate`)
  process.exit(1)
}
for (const [file, text] of stale) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), text)
  console.log(`wrote ${file}`)
}
