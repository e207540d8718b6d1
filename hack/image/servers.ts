import { readFileSync, realpathSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Log, silent, step } from '../system/log.ts'
import { cacheRoot } from '../system/paths.ts'
import { findProgram } from '../system/run.ts'
import { type ImageConfig, once, writeImage } from './archive.ts'
import { contentHash } from './hash.ts'
import { filesOf, place, placeAs, placeBasics, placeFolder, userId } from './rootfs.ts'

/** `name` is what a pod's `image:` says, `tar` what `importImages` takes. */
export type Image = { name: string; tar: string }

export type ImageOptions = { log?: Log }

type Server = {
  name: string
  programs: string[]
  folders: string[]
  writable: string[]
  config: ImageConfig
}

const redis: Server = {
  name: 'redis',
  programs: ['redis-server', 'redis-cli'],
  folders: [],
  writable: ['/data'],
  config: {
    Entrypoint: ['redis-server'],
    // Without it Redis answers only its own pod. A pod that gives args gives this one too.
    Cmd: ['--protected-mode', 'no', '--save', ''],
    WorkingDir: '/data',
    User: `${userId}:${userId}`,
  },
}

const prometheus: Server = {
  name: 'prometheus',
  programs: ['prometheus', 'promtool'],
  folders: ['/usr/share/prometheus'],
  writable: ['/prometheus'],
  config: {
    Entrypoint: ['prometheus'],
    Cmd: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/prometheus'],
    WorkingDir: '/prometheus',
    User: `${userId}:${userId}`,
  },
}

export const buildRedisImage = (options: ImageOptions = {}): Promise<Image> => build(redis, options)

export const buildPrometheusImage = (options: ImageOptions = {}): Promise<Image> => build(prometheus, options)

/** The distribution's own program with the libraries it is linked to. The tag is a hash of them: same tag, same image. */
async function build(server: Server, { log = silent }: ImageOptions): Promise<Image> {
  const programs = server.programs.map((name) => {
    const path = findProgram(name)
    if (path === undefined) throw new Error(`${name} is missing: node hack/packages/main.ts cluster installs it`)
    return path
  })
  const files = [...new Set((await Promise.all(programs.map(filesOf))).flat())].sort()
  const libraries = files.filter((file) => !programs.includes(file))
  const recipe = ['./rootfs.ts', './archive.ts', './servers.ts'].map((file) =>
    readFileSync(new URL(file, import.meta.url), 'utf8'),
  )
  const hash = contentHash(
    [server.name, ...recipe],
    files.map((file) => realpathSync(file)),
  )
  const name = `keyshift-local/${server.name}:${hash}`
  const tar = join(cacheRoot(), 'images', `${server.name}-${hash}.tar`)
  await once(tar, () =>
    step(log, `building the ${server.name} image`, () =>
      writeImage(tar, name, { ...server.config, Env: ['PATH=/usr/local/bin:/usr/bin:/bin'] }, (root) => {
        placeBasics(root, server.writable)
        // Under a name on the PATH of the image, wherever this machine has it.
        programs.forEach((path) => placeAs(root, path, join('/usr/bin', basename(path))))
        place(root, libraries)
        server.folders.forEach((folder) => placeFolder(root, folder))
      }),
    ),
  )
  return { name, tar }
}
