import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const INCLUDE = /^--- @include "([a-z0-9/-]+)"$/gm

/** TypeScript module with every Lua script of `dir`, includes resolved once each, in the order of their mention. */
export function scriptsModule(dir: string): string {
  const files = readdirSync(dir)
    .filter((f) => f.endsWith('.lua'))
    .sort()
  const entries = files.map((file) => {
    const source = expand(dir, file, new Set()).trimEnd() + '\n'
    if (!/^#!lua( flags=[a-z-,]+)?\n/.test(source))
      throw new Error(`${file}: line 1 must be "#!lua" or "#!lua flags=..."`)
    const sha1 = createHash('sha1').update(source, 'utf8').digest('hex')
    return `  ${JSON.stringify(file.slice(0, -4))}: {\n    sha1: '${sha1}',\n    source: ${quote(source)},\n  },`
  })
  return [
    '// Do not edit: made from src/redis/lua by `npm run generate`.',
    'export interface Script {',
    '  /** SHA-1 of the source, for EVALSHA. */',
    '  readonly sha1: string',
    '  readonly source: string',
    '}',
    'export const SCRIPTS = {',
    ...entries,
    '} as const satisfies Record<string, Script>',
    'export type ScriptName = keyof typeof SCRIPTS',
    '',
  ].join('\n')
}

function expand(dir: string, file: string, seen: Set<string>): string {
  return readFileSync(join(dir, file), 'utf8').replace(INCLUDE, (_, name: string) => {
    if (seen.has(name)) return ''
    seen.add(name)
    return expand(dir, `${name}.lua`, seen).trimEnd()
  })
}

// One array of lines, so that a changed script reads as a changed line in a diff.
function quote(source: string): string {
  return `[\n${source
    .split('\n')
    .map((line) => `      ${JSON.stringify(line)},`)
    .join('\n')}\n    ].join('\\n')`
}
