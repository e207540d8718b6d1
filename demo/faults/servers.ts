/** SIGKILL to what the operator and the app lean on. */
import { createHash } from 'node:crypto'
import { KEY_PREFIX, type StoreName } from '../jobs.ts'
import { condition, isCurrent } from '../resource.ts'
import { lasting, seconds, type Fault, type World } from './fault.ts'
import { isLed } from './kills.ts'
import { isBack, isReady, killPod, podsOf, readyPod, type Pod } from './pods.ts'

/** From the two templates alone. */
const TEMPLATES = `${KEY_PREFIX}{job_id}\0${KEY_PREFIX}{workspace_id}:{job_id}`
const CONTROL = `keyshift:${createHash('sha256').update(TEMPLATES).digest('hex').slice(0, 16)}:`

/** Apps of the sample app that are clients of a store. */
export const APPS: Readonly<Record<StoreName, readonly string[]>> = {
  jobs: ['ai-api', 'ai-worker'],
  docs: ['docs-api'],
}

async function onlyPod(world: World, namespace: string, app: string): Promise<Pod | undefined> {
  return (await podsOf(world, namespace, `app=${app}`)).find(isReady)
}

/** Every ready pod of the store's apps has a client with a living lease. */
export async function membersAlive(world: World, store: StoreName): Promise<boolean> {
  const redis = await world.openRedis(store)
  try {
    const flat = ((await redis.command('HGETALL', `${CONTROL}members`)) as readonly Buffer[]).map(String)
    const alive = new Set<string>()
    for (let i = 0; i + 1 < flat.length; i += 2)
      if ((await redis.command('EXISTS', `${CONTROL}lease:${flat[i]}`)) === 1)
        alive.add((JSON.parse(flat[i + 1] ?? '{}') as { podUid?: string }).podUid ?? '')
    const apps = await podsOf(world, world.places.app, `app in (${APPS[store].join(',')})`)
    const here = apps.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    return here.length > 0 && here.every((pod) => isReady(pod) && alive.has(pod.metadata.uid))
  } finally {
    redis.close()
  }
}

export const redisServer = (world: World): Fault => ({
  name: 'kill -9 Redis',
  limitMs: seconds(60),
  async strike() {
    const pod = await readyPod(world, world.places.app, 'redis')
    killPod(world, pod)
    return async () => {
      if (!isBack(pod, await onlyPod(world, world.places.app, 'redis'))) return false
      return (await membersAlive(world, 'jobs')) && membersAlive(world, 'docs')
    }
  },
})

export const prometheusServer = (world: World): Fault => ({
  name: 'kill -9 Prometheus',
  limitMs: seconds(90),
  async strike() {
    const { target, places, watch } = world
    const pod = await readyPod(world, places.monitoring, 'prometheus')
    killPod(world, pod, 'prometheus')
    const { host, port } = await target.reach(places.monitoring, 'prometheus', 9090)
    // Checks are made every two seconds.
    return lasting(3000, async () => {
      if (!isBack(pod, await onlyPod(world, places.monitoring, 'prometheus'))) return false
      const ready = await fetch(`http://${host}:${port}/-/ready`, { signal: AbortSignal.timeout(2000) })
      return ready.ok && (await watch.glance()).every((m) => condition(m, 'SLOHealthy')?.status === 'True')
    })
  },
})

/** Long enough for both to have begun. */
const SUPERVISED_MS = 15_000

export const controlPlane = (world: World): Fault => ({
  name: 'kill -9 the API server and etcd',
  limitMs: seconds(90),
  async strike() {
    world.screen.line('  kill -9 of kube-apiserver and etcd')
    await world.wrecker.restartControlPlane()
    const since = Date.now()
    let supervised = since
    return async () => {
      // An API server that did not find etcd in time has ended again.
      if (Date.now() - supervised > SUPERVISED_MS) {
        world.wrecker.superviseControlPlane()
        supervised = Date.now()
      }
      await world.target.kubectl(['get', '--raw', '/readyz'])
      return (await isLed(world, '', since)) && (await world.watch.look()).every(isCurrent)
    }
  },
})
