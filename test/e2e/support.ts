import { apply, makeNamespace, manifests } from '../../demo/deploy.ts'
import { startLocal } from '../../demo/local.ts'
import { condition, type Migration } from '../../demo/resource.ts'
import { Screen } from '../../demo/screen.ts'
import { localTarget, type Images, type Target } from '../../demo/target.ts'
import type { Cluster } from '../../hack/cluster/handle.ts'
import { sleep } from '../../hack/system/wait.ts'

/** What every end-to-end test stands on: the cluster named `test`, with the images in it. */
export interface Stand {
  readonly cluster: Cluster
  readonly target: Target
  readonly images: Images
  readonly screen: Screen
}

/** A cluster needs root: without it the tests are skipped and say why, and in CI that is a failure. */
export function asRoot(tests: () => void): void {
  const why = 'the end-to-end suite starts a cluster of its own, which needs root: run it as root'
  if (process.getuid?.() === 0) tests()
  else if (process.env['CI'] === 'true') it('has root', () => expect(`skipped: ${why}`).toBe('run'))
  else it.skip(why, () => {})
}

export async function makeStand(): Promise<Stand> {
  const screen = new Screen(process.stderr)
  const signal = new AbortController().signal
  const { cluster, images } = await screen.phase('cluster and images', () =>
    startLocal({ name: 'test', keep: false, screen, signal }),
  )
  return { cluster, target: localTarget(cluster), images, screen }
}

/** A namespace with a Redis of its own, and whatever manifests are asked for. */
export async function makeApp(stand: Stand, namespace: string, files: readonly string[]): Promise<void> {
  const { target, images } = stand
  await makeNamespace(target.kubectl, namespace)
  for (const file of ['redis.yaml', ...files]) await apply(target.kubectl, namespace, manifests(file, images))
}

/** The node is small: what one part leaves must not take the room of the next. */
export async function dropNamespaces({ target }: Stand, ...names: readonly string[]): Promise<void> {
  await target.kubectl(['delete', 'namespace', ...names, '--ignore-not-found', '--wait=false'])
}

export async function read({ target }: Stand, namespace: string, name: string): Promise<Migration> {
  return JSON.parse(await target.kubectl(['get', 'jkm', name, '-n', namespace, '-o', 'json'])) as Migration
}

/** Reads a resource again and again until it is as wanted; ends with its state in words when that takes too long. */
export async function awaitMigration(
  stand: Stand,
  namespace: string,
  name: string,
  wanted: (migration: Migration) => boolean,
  limitMs = 90_000,
): Promise<Migration> {
  const end = Date.now() + limitMs
  for (;;) {
    const migration = await read(stand, namespace, name)
    if (wanted(migration)) return migration
    if (Date.now() > end)
      throw new Error(
        `${namespace}/${name} is not as wanted after ${limitMs / 1000} s: ${JSON.stringify(migration.status)}`,
      )
    await sleep(500)
  }
}

/** Waits for a condition with that status whose reason and message together match. */
export async function awaitCondition(
  stand: Stand,
  namespace: string,
  name: string,
  type: string,
  status: 'True' | 'False' | 'Unknown',
  text: RegExp,
): Promise<Migration> {
  return awaitMigration(stand, namespace, name, (migration) => {
    const found = condition(migration, type)
    return found?.status === status && text.test(`${found.reason}: ${found.message}`)
  })
}

/** `reason: message` of every Event about a resource. */
export async function events({ target }: Stand, namespace: string, name: string): Promise<readonly string[]> {
  const selector = `involvedObject.kind=JobKeyMigration,involvedObject.name=${name}`
  const text = await target.kubectl(['get', 'events', '-n', namespace, '--field-selector', selector, '-o', 'json'])
  const { items } = JSON.parse(text) as { items: readonly { reason: string; message: string }[] }
  return items.map(({ reason, message }) => `${reason}: ${message}`)
}
