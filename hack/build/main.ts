/** Builds dist/app (operator and worker) and dist/client (the package that applications import). */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeClientPackage } from './client-package.ts'

const root = join(import.meta.dirname, '..', '..')

function tsc(project: string): void {
  const done = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], {
    cwd: root,
    stdio: 'inherit',
  })
  if (done.status !== 0) process.exit(done.status ?? 1)
}

rmSync(join(root, 'dist'), { recursive: true, force: true })
tsc('tsconfig.build.json')
tsc('tsconfig.client.json')
writeClientPackage(root)
