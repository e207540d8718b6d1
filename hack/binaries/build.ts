import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Log, step } from '../system/log.ts'
import { withLock } from '../system/lock.ts'
import { cacheRoot, repoRoot } from '../system/paths.ts'
import { run } from '../system/run.ts'
import { findGo, neededGo } from './go.ts'
import { type Module, type ModuleName, modules } from './modules.ts'

const limitMs = 45 * 60_000

/** Builds what is not in the cache, all at once, and returns the folder of each module's programs. */
export async function ensureBinaries<Name extends ModuleName>(names: Name[], log: Log): Promise<Record<Name, string>> {
  const built = await Promise.all(names.map(async (name) => [name, await ensureModule(modules[name], log)] as const))
  return Object.fromEntries(built) as Record<Name, string>
}

async function ensureModule(module: Module, log: Log): Promise<string> {
  const source = join(repoRoot, 'hack/binaries', module.name)
  const root = join(cacheRoot(), 'binaries')
  const folder = join(root, `${module.name}-${sourceHash(module, source)}`)
  if (existsSync(folder)) return folder
  const purpose = `${module.name} (hack/binaries/${module.name})`
  const go = await findGo(neededGo(join(source, 'go.mod')), purpose)
  // Two runs at once would both spend the minutes; the second waits and finds the first one's result.
  await withLock(join(root, `${module.name}.lock`), log, limitMs, async () => {
    if (existsSync(folder)) return
    const text = `building ${module.name} (cold: ${module.cold}; once, kept in ${root})`
    await step(log, text, () => build(module, go, source, folder), 30_000)
  })
  return folder
}

async function build(module: Module, go: string, source: string, folder: string): Promise<void> {
  // A build that was cut short leaves a draft, and perhaps a compiler still writing to it: never reuse its folder.
  for (const old of globSync(`${folder}.draft-*`)) rmSync(old, { recursive: true, force: true })
  const draft = `${folder}.draft-${process.pid}`
  mkdirSync(draft, { recursive: true })
  const args = [
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-ldflags',
    module.ldflags,
    '-o',
    `${draft}/`,
    ...module.packages,
  ]
  await run(go, args, { cwd: source, env: { ...process.env, CGO_ENABLED: '0' }, limitMs })
  for (const name of module.links?.names ?? []) symlinkSync(module.links?.target ?? name, join(draft, name))
  renameSync(draft, folder) // Whole or absent.
}

function sourceHash(module: Module, source: string): string {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([process.arch, module.packages, module.ldflags, module.links]))
  for (const file of globSync('**/{go.mod,go.sum,*.go}', { cwd: source }).sort())
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(source, file)))
      .update('\0')
  return hash.digest('hex').slice(0, 12)
}
