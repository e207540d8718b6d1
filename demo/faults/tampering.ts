/** What another hand does to the operator's own objects. */
import { condition, isCurrent, type Migration } from '../resource.ts'
import { seconds, type Fault, type World } from './fault.ts'

interface ConfigMap {
  readonly data?: Readonly<Record<string, string>>
}

/** A resource and its ConfigMap as they were at one time. */
export interface Snapshot {
  readonly migration: Migration
  readonly data: Readonly<Record<string, string>>
}

async function readMigration({ target, places }: World, name: string): Promise<Migration> {
  return JSON.parse(await target.kubectl(['get', 'jkm', name, '-n', places.app, '-o', 'json'])) as Migration
}

async function readConfigMap({ target, places }: World, name: string): Promise<ConfigMap> {
  const args = ['get', 'configmap', `${name}-routing`, '-n', places.app, '-o', 'json']
  return JSON.parse(await target.kubectl(args)) as ConfigMap
}

export async function takeSnapshot(world: World, name: string): Promise<Snapshot> {
  const [migration, { data = {} }] = await Promise.all([readMigration(world, name), readConfigMap(world, name)])
  return { migration, data }
}

/** The ConfigMap holds the routing document of the status, byte for byte, of the epoch that was in force or a later one. */
async function isPublished(world: World, name: string, epoch: number): Promise<boolean> {
  const [migration, { data }] = await Promise.all([readMigration(world, name), readConfigMap(world, name)])
  const { status } = migration
  return isCurrent(migration) && (status?.epoch ?? 0) >= epoch && data?.['routing.json'] === status?.routing
}

async function patchConfigMap(world: World, name: string, data: Readonly<Record<string, string | null>>) {
  const args = ['patch', 'configmap', `${name}-routing`, '-n', world.places.app, '--type', 'merge', '-p']
  await world.target.kubectl([...args, JSON.stringify({ data })])
}

/** `old` is asked for when the time has come. */
export const olderDocument = (world: World, name: string, old: () => Snapshot): Fault => ({
  name: 'an older routing document in the ConfigMap',
  limitMs: seconds(60),
  async strike() {
    const { migration } = await takeSnapshot(world, name)
    const { data } = old()
    world.screen.line(`  ConfigMap ${name}-routing set back to epoch ${old().migration.status?.epoch}`)
    await patchConfigMap(world, name, data)
    return () => isPublished(world, name, migration.status?.epoch ?? 0)
  },
})

export const removedKeys = (world: World, name: string): Fault => ({
  name: 'the keys of the ConfigMap removed',
  limitMs: seconds(60),
  async strike() {
    const { migration, data } = await takeSnapshot(world, name)
    world.screen.line(`  ConfigMap ${name}-routing emptied`)
    await patchConfigMap(world, name, Object.fromEntries(Object.keys(data).map((key) => [key, null])))
    return () => isPublished(world, name, migration.status?.epoch ?? 0)
  },
})

export const oldStatus = (world: World, name: string, old: () => Snapshot): Fault => ({
  name: 'the status set back to an old copy',
  limitMs: seconds(60),
  async strike() {
    const { target, places, screen } = world
    const epoch = (await readMigration(world, name)).status?.epoch ?? 0
    const { status } = old().migration
    screen.line(`  status of ${name} set back from epoch ${epoch} to ${status?.epoch}`)
    // Like a restore, not a person's merge: what came later is gone. The operator may write in between.
    for (let tries = 1; ; tries++) {
      const input = JSON.stringify({ ...(await readMigration(world, name)), status })
      try {
        await target.kubectl(['replace', '--subresource=status', '-f', '-', '-n', places.app], { input })
        break
      } catch (error) {
        if (tries === 10 || !/Conflict|has been modified/.test(String(error))) throw error
      }
    }
    return () => isPublished(world, name, epoch)
  },
})

/** The newest finished Job of this kind. What it proved stands, and it does not run again. */
export const deletedJob = (world: World, name: string, kind: string): Fault => ({
  name: `the finished ${kind} Job deleted`,
  limitMs: seconds(60),
  async strike() {
    const { target, places, screen } = world
    const selector = `keyshift.dev/migration=${name},keyshift.dev/work=${kind}`
    type Job = { metadata: { name: string; creationTimestamp: string }; status: { succeeded?: number } }
    const jobs = async (): Promise<readonly Job[]> => {
      const text = await target.kubectl(['get', 'jobs', '-n', places.app, '-l', selector, '-o', 'json'])
      return (JSON.parse(text) as { items: readonly Job[] }).items
    }
    const done = (await jobs()).filter(({ status }) => status.succeeded === 1)
    const job = done.sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1))[0]
    if (job === undefined) throw new Error(`no finished ${kind} Job of ${name}`)
    const proven = (migration: Migration): boolean => condition(migration, 'BackfillComplete')?.status === 'True'
    const before = await readMigration(world, name)
    screen.line(`  kubectl -n ${places.app} delete job ${job.metadata.name}`)
    await target.kubectl(['delete', 'job', job.metadata.name, '-n', places.app])
    return async () => {
      const now = await readMigration(world, name)
      const again = (await jobs()).filter(
        ({ metadata }) => metadata.creationTimestamp >= job.metadata.creationTimestamp,
      )
      if (again.length > 0) throw new Error(`${again.map((j) => j.metadata.name).join(', ')} was made again`)
      return isCurrent(now) && (!proven(before) || proven(now))
    }
  },
})
