import { mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Log, silent, step } from '../system/log.ts'
import { cacheRoot, repoRoot } from '../system/paths.ts'
import { findProgram, run, tryRun } from '../system/run.ts'
import { once, writeImage } from './archive.ts'
import { contextEntries, type Entry, hashOf, layOut } from './context.ts'
import { contentHash } from './hash.ts'
import { filesOf, place, placeAs, placeBasics } from './rootfs.ts'
import type { Image } from './servers.ts'

export type KeyshiftImageOptions = {
  /** Paths in the repository that the image holds besides, at the same paths below /app: e.g. `['examples/sample-app']`. */
  include?: readonly string[]
  log?: Log
}

/** Builds the Dockerfile with buildah on a base made of this machine's own files: no registry takes part. */
export async function buildKeyshiftImage({ include = [], log = silent }: KeyshiftImageOptions = {}): Promise<Image> {
  const stage = include.length > 0 ? 'demo' : 'keyshift'
  const entries = contextEntries(include)
  const base = await buildBase(log)
  const hash = hashOf(entries, [base, stage])
  const name = `keyshift-local/keyshift:${hash}`
  const tar = join(imageCache(), `keyshift-${hash}.tar`)
  await once(tar, () => step(log, 'building the Keyshift image', () => buildah({ entries, base, stage, name, tar })))
  return { name, tar }
}

const imageCache = (): string => join(cacheRoot(), 'images')

/** Node 24 as the npm package `node` brings it, and the libraries it is linked to. */
async function buildBase(log: Log): Promise<string> {
  const node = join(repoRoot, 'node_modules/node/bin/node')
  const files = await filesOf(node)
  const recipe = ['./rootfs.ts', './archive.ts', './keyshift.ts'].map((file) =>
    readFileSync(new URL(file, import.meta.url), 'utf8'),
  )
  const hash = contentHash(
    recipe,
    files.map((file) => realpathSync(file)),
  )
  const tar = join(imageCache(), `base-${hash}.tar`)
  return once(tar, () =>
    step(log, 'building the base image', () =>
      writeImage(tar, 'localhost/keyshift-base:1', { Env: ['PATH=/usr/local/bin:/usr/bin:/bin'] }, (root) => {
        placeBasics(root)
        placeAs(root, node, '/usr/local/bin/node')
        place(
          root,
          files.filter((file) => file !== node),
        )
      }),
    ),
  )
}

type Build = { entries: readonly Entry[]; base: string; stage: string; name: string; tar: string }

async function buildah({ entries, base, stage, name, tar }: Build): Promise<void> {
  const program = findProgram('buildah')
  if (program === undefined) throw new Error('buildah is missing: node hack/packages/main.ts cluster installs it')
  mkdirSync(imageCache(), { recursive: true })
  const draft = mkdtempSync(`${tar}.draft-`)
  try {
    const context = join(draft, 'context')
    layOut(entries, context)
    const policy = join(draft, 'policy.json')
    writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}') // The files are this machine's own.
    // Its own store, thrown away with the draft: nothing is kept that a later build could take for its base.
    const store = await chooseStore(program, draft)
    const options = { limitMs: 300_000, env: { ...process.env, TMPDIR: draft } }
    const bud = ['bud', '--signature-policy', policy, '--isolation', 'chroot', '--pull-never', '--timestamp', '0']
    const args = ['--build-arg', `BASE=docker-archive:${base}`, '--target', stage, '-t', 'localhost/keyshift', context]
    await run(program, [...store, ...bud, ...args], options)
    const out = join(draft, 'image.tar')
    await run(
      program,
      [...store, 'push', '--signature-policy', policy, 'localhost/keyshift', `docker-archive:${out}:${name}`],
      options,
    )
    renameSync(out, tar)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** overlay is three times as quick; vfs works on any file system. */
async function chooseStore(program: string, draft: string): Promise<string[]> {
  const store = (driver: string) => [
    '--storage-driver',
    driver,
    '--root',
    join(draft, driver),
    '--runroot',
    join(draft, 'run'),
  ]
  const overlay = await tryRun(program, [...store('overlay'), 'images'])
  return store(overlay.code === 0 ? 'overlay' : 'vfs')
}
