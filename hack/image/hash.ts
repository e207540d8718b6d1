import { createHash } from 'node:crypto'
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Names an image by all that goes into it: texts, and files or folders with everything below that is not `skipped`. */
export function contentHash(
  texts: readonly string[],
  paths: readonly string[],
  skipped = (_name: string) => false,
): string {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(text).update('\0')
  const visit = (path: string, name: string) => {
    const stat = lstatSync(path)
    hash.update(`${name}\0${stat.mode & 0o111}\0`)
    if (stat.isSymbolicLink()) hash.update(readlinkSync(path))
    else if (!stat.isDirectory()) hash.update(readFileSync(path))
    else for (const entry of readdirSync(path).sort()) if (!skipped(entry)) visit(join(path, entry), `${name}/${entry}`)
  }
  paths.forEach((path, index) => visit(path, String(index)))
  return hash.digest('hex').slice(0, 12)
}
