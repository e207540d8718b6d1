/** What happens to an application in the middle of a migration: it is deployed again, and it is scaled. */
import { until } from '../../hack/system/wait.ts'
import { condition } from '../resource.ts'
import { seconds, type Fault, type World } from './fault.ts'
import { isReady, podsOf } from './pods.ts'
import { APPS, membersAlive } from './servers.ts'

const ALL = [...APPS.jobs, ...APPS.docs]

/** Every pod is of the newest template, none too many, each a member; and the resources say so. */
async function isSteady(world: World, replicas: number, apps: readonly string[]): Promise<boolean> {
  const text = await world.target.kubectl(['get', 'deployments', ...apps, '-n', world.places.app, '-o', 'json'])
  type Deployment = {
    metadata: { generation: number }
    status: { observedGeneration?: number; updatedReplicas?: number; replicas?: number; availableReplicas?: number }
  }
  const steady = (JSON.parse(text) as { items: readonly Deployment[] }).items.every(({ metadata, status }) =>
    [status.updatedReplicas, status.replicas, status.availableReplicas].every(
      (n) => status.observedGeneration === metadata.generation && n === replicas,
    ),
  )
  if (!steady || !(await membersAlive(world, 'jobs')) || !(await membersAlive(world, 'docs'))) return false
  return (await world.watch.glance()).every((migration) => condition(migration, 'Converged')?.status === 'True')
}

export const rollingUpdate = (world: World): Fault => ({
  name: 'deploy the sample app again',
  limitMs: seconds(120),
  async strike() {
    const { target, places, screen } = world
    screen.line(`  kubectl -n ${places.app} rollout restart deployment ${ALL.join(' ')}`)
    await target.kubectl(['rollout', 'restart', 'deployment', ...ALL, '-n', places.app])
    return () => isSteady(world, 2, ALL)
  },
})

export const scaling = (world: World): Fault => ({
  name: 'scale the sample app 2 -> 4 -> 2',
  limitMs: seconds(120),
  async strike() {
    const { target, places, screen } = world
    const apps = ['ai-api', 'ai-worker']
    const scale = async (replicas: number): Promise<void> => {
      screen.line(`  kubectl -n ${places.app} scale deployment ${apps.join(' ')} --replicas ${replicas}`)
      await target.kubectl(['scale', 'deployment', ...apps, '-n', places.app, '--replicas', String(replicas)])
    }
    const four = async (): Promise<true | undefined> => {
      const pods = await podsOf(world, places.app, `app in (${apps.join(',')})`)
      return pods.filter(isReady).length === 8 ? true : undefined
    }
    await scale(4)
    await until('four ready pods of each', four, { limitMs: seconds(90), everyMs: 500, look: places.app })
    await scale(2)
    return () => isSteady(world, 2, apps)
  },
})
