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
  for (const [from, to] of Object.entries(PAGES))
    writeFileSync(join(outDir, to), withLinks(readFileSync(join(root, 'docs', from), 'utf8')))
}

/** Pages of docs/ that the package carries, and what they are named there. */
const PAGES: Readonly<Record<string, string>> = {
  'client.md': 'README.md',
  'client-api.md': 'API.md',
  'redis-users.md': 'redis-users.md',
}

/** Links between its pages work in the package; a link to what it does not carry says where that is. */
function withLinks(markdown: string): string {
  return markdown.replace(
    /\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)/g,
    (_, text: string, file: string, part = '') => {
      const page = PAGES[file]
      return page === undefined ? `${text} (docs/${file} of Keyshift)` : `[${text}](${page}${part})`
    },
  )
}
