import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Header {
  /** First line of the script. */
  readonly shebang: string
  /** What it does: the comment up to KEYS. */
  readonly about: string
  /** The lines from KEYS on, as they stand. */
  readonly contract: readonly string[]
}

/** The comment with which a script, or the part that several begin with, says how it is called. */
export function headerOf(dir: string, name: string): Header {
  const lines = readFileSync(join(dir, `${name}.lua`), 'utf8').split('\n')
  const shebang = lines[0]?.startsWith('#!') === true ? lines[0] : ''
  const comment = lines.filter((line) => !line.startsWith('--- @include') && !line.startsWith('#!'))
  const end = comment.findIndex((line) => !line.startsWith('--'))
  const text = comment.slice(0, end).map((line) => line.replace(/^-- ?/, ''))
  const at = text.findIndex((line) => line.startsWith('KEYS'))
  if (at < 0) throw new Error(`${name}.lua does not name its KEYS in its header`)
  return { shebang, about: text.slice(0, at).join(' '), contract: text.slice(at) }
}
