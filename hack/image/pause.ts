import { copyFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cacheRoot } from '../system/paths.ts'
import { once, writeImage } from './archive.ts'

/** The image of every pod's first process: one static program. `tools` is the folder of the built tools module. */
export function buildPauseImage(tools: string, tag: string): Promise<string> {
  const out = join(cacheRoot(), 'images', `pause-${basename(tools)}.tar`)
  return once(out, () =>
    writeImage(out, tag, { Entrypoint: ['/pause'] }, (root) => copyFileSync(join(tools, 'pause'), join(root, 'pause'))),
  )
}
