import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheRoot } from '../system/paths.ts'

/** What the client package promises to run on besides the Node of this repository. */
export const OTHER_NODES = ['20.20.2', '22.23.3'] as const

const PACKAGE = `node-${process.platform}-${process.arch}`
const nodes = (): string => join(cacheRoot(), 'node')

/** Where `ensureNodes` puts the program of a version. */
export const nodeProgram = (version: string): string => join(nodes(), version, 'node_modules', PACKAGE, 'bin/node')

/** Installs them from npm into the cache; one that cannot be had is said, and its tests are skipped. */
export async function ensureNodes(log: (line: string) => void): Promise<void> {
  await mkdir(nodes(), { recursive: true })
  for (const version of OTHER_NODES) {
    if (existsSync(nodeProgram(version))) continue
    const part = await mkdtemp(join(nodes(), '.part-'))
    try {
      const args = ['install', '--prefix', part, '--no-save', '--no-audit', '--no-fund', `${PACKAGE}@${version}`]
      await promisify(execFile)('npm', args, { timeout: 300_000 })
      await rename(part, join(nodes(), version))
      log(`installed Node ${version}`)
    } catch (error) {
      await rm(part, { recursive: true, force: true })
      if (!existsSync(nodeProgram(version))) log(`no Node ${version}: ${String(error)}`)
    }
  }
}
