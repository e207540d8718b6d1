import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { repoRoot } from '../system/paths.ts'
import { contentHash } from './hash.ts'

type Lock = { packages: Record<string, { dev?: boolean; optional?: boolean; link?: boolean }> }

/** A file or folder of the repository and where the Dockerfile's context has it. */
export type Entry = { from: string; to: string }

/**
 * Not taken from below an entry: packages within packages, which have entries of their own in the lock file, and what only an
 * editor or a debugger reads, half of all bytes.
 */
const skipped = (name: string): boolean => name === 'node_modules' || /\.(d\.[cm]?ts|map|md|markdown)$/.test(name)

/** The folders in node_modules that production needs: those the lock file does not mark as development only. */
export function productionPackages(lock: Lock): Array<{ path: string; optional: boolean }> {
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.startsWith('node_modules/') && entry.dev !== true && entry.link !== true)
    .map(([path, entry]) => ({ path, optional: entry.optional === true }))
}

/**
 * What the context holds. The paths in `include` go to extra/, and from there to the same paths below /app in the `demo` stage.
 */
export function contextEntries(include: readonly string[]): Entry[] {
  if (!existsSync(join(repoRoot, 'dist/app/operator/main.js')))
    throw new Error('dist/app is missing: npm run build makes it')
  const lock = JSON.parse(readFileSync(join(repoRoot, 'package-lock.json'), 'utf8')) as Lock
  const packages = productionPackages(lock)
    // A package for another platform is in the lock file and not on this disk.
    .filter(({ path, optional }) => !optional || existsSync(join(repoRoot, path)))
    .map(({ path }) => path)
  const own = ['package.json', 'package-lock.json', 'Dockerfile', '.dockerignore', 'dist', ...packages]
  const entries = [
    ...own.map((path) => ({ from: path, to: path })),
    ...include.map((path) => ({ from: path, to: join('extra', path) })),
  ]
  const missing = entries.find(({ from }) => !existsSync(join(repoRoot, from)))
  if (missing !== undefined)
    throw new Error(`${missing.from} is missing: npm ci brings packages, npm run build makes dist`)
  return entries
}

export function hashOf(entries: readonly Entry[], texts: readonly string[]): string {
  const names = entries.map(({ to }) => to)
  return contentHash(
    [...texts, ...names],
    entries.map(({ from }) => join(repoRoot, from)),
    skipped,
  )
}

export function layOut(entries: readonly Entry[], folder: string): void {
  mkdirSync(join(folder, 'extra'), { recursive: true }) // Named by the Dockerfile, so there even when empty.
  for (const { from, to } of entries) {
    const source = join(repoRoot, from)
    cpSync(source, join(folder, to), {
      recursive: true,
      filter: (path) => path === source || !skipped(basename(path)),
    })
  }
}
