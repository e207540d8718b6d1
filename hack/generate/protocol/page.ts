import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SCRIPTS } from '../../../src/redis/scripts.generated.ts'
import { blocks, CLIENT_SCRIPTS } from './tables.ts'

const BLOCK = /<!-- from the code: ([a-z ]+) -->\n[\s\S]*?<!-- end -->/g

/** `docs/protocol.md` as it is, with every block between its marks as the code has it. */
export function protocolPage(root: string): string {
  const made = blocks(root)
  const used = new Set<string>()
  const page = readFileSync(join(root, 'docs/protocol.md'), 'utf8').replace(BLOCK, (_, name: string) => {
    const text = made[name]
    if (text === undefined) throw new Error(`docs/protocol.md asks for "${name}", which the code does not give`)
    used.add(name)
    return `<!-- from the code: ${name} -->\n${text}\n<!-- end -->`
  })
  const lacking = Object.keys(made).filter((name) => !used.has(name))
  if (lacking.length > 0) throw new Error(`docs/protocol.md has no block for ${lacking.join(', ')}`)
  return page
}

const DIR = 'docs/protocol-scripts'

/** The scripts that a client calls, as files whose SHA-1 is the one to call. A file of a script that is gone has no text. */
export function scriptFiles(root: string): Record<string, string | undefined> {
  const old = existsSync(join(root, DIR)) ? readdirSync(join(root, DIR)) : []
  return {
    ...Object.fromEntries(old.map((file) => [`${DIR}/${file}`, undefined])),
    ...Object.fromEntries(CLIENT_SCRIPTS.map((name) => [`${DIR}/${name}.lua`, SCRIPTS[name].source])),
  }
}
