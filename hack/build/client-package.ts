import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SCRIPTS } from '../../src/redis/scripts.generated.ts'

/** Versions of the peers that the client works with. */
export const CLIENT_PEERS = { ioredis: '>=5.4 <7', 'prom-client': '>=14 <16' } as const

/**
 * Makes `dist/client` a package of its own: package.json, README and LICENSE beside what `tsc -p tsconfig.client.json` wrote
 * there. `outDir` is the folder with the compiled files, `dist/client` by default.
 */
export function writeClientPackage(root: string, outDir: string = join(root, 'dist/client')): void {
  const { version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string>
  const manifest = {
    name: '@keyshift/client',
    version,
    description:
      'Dual-write job store and queue over ioredis that follows the routing document of a Keyshift migration',
    license,
    type: 'module',
    engines: { node: '>=20' },
    sideEffects: false,
    main: './client/index.js',
    types: './client/index.d.ts',
    exports: {
      '.': { types: './client/index.d.ts', default: './client/index.js' },
      './package.json': './package.json',
    },
    peerDependencies: CLIENT_PEERS,
  }
  writeFileSync(join(outDir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  // The operator's and the worker's scripts are of no use to an application.
  const used = Object.entries(SCRIPTS).filter(([name]) => /^(job|queue|member)-/.test(name))
  writeFileSync(
    join(outDir, 'redis/scripts.generated.js'),
    `export const SCRIPTS = ${JSON.stringify(Object.fromEntries(used), null, 1)}\n`,
  )
  copyFileSync(join(root, 'LICENSE'), join(outDir, 'LICENSE'))
  copyFileSync(join(root, 'docs/client.md'), join(outDir, 'README.md'))
  copyFileSync(join(root, 'docs/redis-users.md'), join(outDir, 'redis-users.md'))
}
