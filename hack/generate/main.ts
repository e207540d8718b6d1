/** Writes every generated file; with --check it writes nothing and fails when one is out of date. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findProgram } from '../system/run.ts'
import { clientApiPage } from './client-api.ts'
import { crdYaml } from './crd.ts'
import { reasonsPage } from './reasons.ts'
import { redisUsersPage } from './redis-users.ts'
import { scriptsModule } from './scripts.ts'

/** Text by file; undefined: there is to be no such file. */
type Outputs = Readonly<Record<string, string | undefined>>

const root = join(import.meta.dirname, '..', '..')
const check = process.argv.includes('--check')
const stale: string[] = []

const crd = crdYaml()
take({
  'src/redis/scripts.generated.ts': scriptsModule(join(root, 'src/redis/lua')),
  'docs/client-api.md': clientApiPage(root),
  'docs/reasons.md': reasonsPage(),
  'docs/redis-users.md': redisUsersPage(),
  'crds/keyshift.dev_jobkeymigrations.yaml': crd,
  'charts/keyshift/crds/keyshift.dev_jobkeymigrations.yaml': crd,
})
// Imported only now: they are made from the scripts just written.
const { protocolPage, scriptFiles } = await import('./protocol/page.ts')
const { VECTORS_FILE, vectorsText } = await import('./vectors/index.ts')
take({ 'docs/protocol.md': protocolPage(root), ...scriptFiles(root) })
// They take a Redis and some seconds: a test of the integration suite is their check.
if (!check) {
  if (findProgram('redis-server') !== undefined) take({ [VECTORS_FILE]: await vectorsText() })
  else console.log(`${VECTORS_FILE} is left as it is: there is no redis-server to make it with`)
}

if (check && stale.length > 0) {
  console.error(`out of date: ${stale.join(', ')}\nrun: npm run generate`)
  process.exit(1)
}

function take(outputs: Outputs): void {
  for (const [file, text] of Object.entries(outputs)) {
    const path = join(root, file)
    if ((existsSync(path) ? readFileSync(path, 'utf8') : undefined) === text) continue
    stale.push(file)
    if (check) continue
    console.log(text === undefined ? `removed ${file}` : `wrote ${file}`)
    if (text === undefined) {
      rmSync(path)
      continue
    }
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}
