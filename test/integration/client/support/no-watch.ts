import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** As where the limit of inotify instances is reached. */
fs.watch = () => {
  throw Object.assign(new Error('EMFILE: too many open files, watch'), { code: 'EMFILE' })
}
syncBuiltinESMExports()
