import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from '../system/run.ts'

/** What an image says about how it is run, in the words of the image format. */
export type ImageConfig = {
  Entrypoint?: string[]
  Cmd?: string[]
  Env?: string[]
  User?: string
  WorkingDir?: string
}

const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

/**
 * Writes an image as `docker save` would: a tar of manifest.json, the config and one layer. No registry and no builder is
 * needed for it, and `ctr images import` takes it. `fill` puts the files into the folder it is given.
 */
export async function writeImage(
  out: string,
  tag: string,
  config: ImageConfig,
  fill: (root: string) => Promise<void> | void,
) {
  mkdirSync(dirname(out), { recursive: true })
  const draft = mkdtempSync(`${out}.draft-`)
  try {
    const root = join(draft, 'root')
    mkdirSync(root)
    await fill(root)
    const layer = join(draft, 'layer.tar')
    await tar(layer, root, '.')
    const image = {
      architecture: architectures[process.arch] ?? process.arch,
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config,
      // buildah refuses to build on an image whose history does not list its layers.
      history: [{ created: '1970-01-01T00:00:00Z', created_by: 'keyshift hack/image' }],
      rootfs: { type: 'layers', diff_ids: [`sha256:${await sha256(layer)}`] },
    }
    writeFileSync(join(draft, 'config.json'), JSON.stringify(image))
    const manifest = [{ Config: 'config.json', RepoTags: [tag], Layers: ['layer.tar'] }]
    writeFileSync(join(draft, 'manifest.json'), JSON.stringify(manifest))
    const whole = join(draft, 'image.tar')
    await tar(whole, draft, 'manifest.json', 'config.json', 'layer.tar')
    renameSync(whole, out)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** The image at `out` unless an earlier run left it there: the path names its content. */
export async function once(out: string, build: () => Promise<void>): Promise<string> {
  const now = new Date()
  if (existsSync(out))
    utimesSync(out, now, now) // In use: not among the oldest.
  else {
    await build()
    keepNewest(dirname(out), basename(out).replace(/[0-9a-f]+\.tar$/, ''), 3)
  }
  return out
}

/** Every change of the sources gives another archive of 150 MB: the older ones go. */
function keepNewest(folder: string, prefix: string, count: number): void {
  const archives = readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.tar'))
    .map((name) => ({ path: join(folder, name), time: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.time - a.time)
  for (const { path } of archives.slice(count)) rmSync(path, { force: true })
}

/** The same files give the same bytes: no times, no owners. */
async function tar(out: string, folder: string, ...entries: string[]): Promise<void> {
  const stable = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu']
  await run('tar', ['-cf', out, '-C', folder, ...stable, ...entries])
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
