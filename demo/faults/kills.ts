/** SIGKILL to pods of the operator, the sample app and a worker Job. */
import { until } from '../../hack/system/wait.ts'
import { STORES } from '../jobs.ts'
import { condition } from '../resource.ts'
import { seconds, type Fault, type World } from './fault.ts'
import { isBack, killPod, podsOf, readyPod, type Pod } from './pods.ts'

interface Lease {
  /** `<pod>_<uuid of the process>`. */
  readonly holder: string
  readonly renewedAt: number
}

async function operatorLease({ target, places }: World): Promise<Lease> {
  const text = await target.kubectl(['get', 'lease', '-n', places.operator, '-o', 'json'])
  type Item = { spec: { holderIdentity?: string; renewTime?: string } }
  const [lease] = (JSON.parse(text) as { items: readonly Item[] }).items
  return { holder: lease?.spec.holderIdentity ?? '', renewedAt: Date.parse(lease?.spec.renewTime ?? '') || 0 }
}

const operators = (world: World): Promise<readonly Pod[]> =>
  podsOf(world, world.places.operator, 'app.kubernetes.io/component=operator')

/** A process other than `old` holds the lease, renewed it after `since`, and has ended a reconcile without an error. */
export async function isLed(world: World, old: string, since: number): Promise<boolean> {
  const { holder, renewedAt } = await operatorLease(world)
  if (holder === '' || holder === old || renewedAt < since) return false
  const pod = (await operators(world)).find(({ metadata }) => metadata.name === holder.split('_')[0])
  return pod !== undefined && (await reconciles(pod)) > 0
}

/** Reconciles that the process in this pod has ended well, as its metrics say. */
async function reconciles({ status }: Pod): Promise<number> {
  const answer = await fetch(`http://${status.podIP}:8080/metrics`, { signal: AbortSignal.timeout(2000) })
  const text = await answer.text()
  return Number(/^keyshift_reconcile_seconds_count\{result="ok"\} (\d+)/m.exec(text)?.[1] ?? 0)
}

export const operatorLeader = (world: World): Fault => ({
  name: "kill -9 the operator's leader",
  limitMs: seconds(45),
  async strike() {
    const { holder } = await operatorLease(world)
    const pod = (await operators(world)).find(({ metadata }) => metadata.name === holder.split('_')[0])
    if (pod === undefined) throw new Error(`no pod of the operator is "${holder}", who holds the lease`)
    const since = Date.now()
    killPod(world, pod)
    return () => isLed(world, holder, since)
  },
})

export const bothOperators = (world: World): Fault => ({
  name: 'kill -9 both operators',
  limitMs: seconds(90),
  async strike() {
    const { holder } = await operatorLease(world)
    const pods = await operators(world)
    const since = Date.now()
    for (const pod of pods) killPod(world, pod)
    return async () => {
      const now = await operators(world)
      const back = pods.every((pod) =>
        isBack(
          pod,
          now.find(({ metadata }) => metadata.uid === pod.metadata.uid),
        ),
      )
      return back && (await isLed(world, holder, since))
    }
  },
})

/** One pod of a Deployment of the sample app, by its label. */
export const appPod = (world: World, app: string): Fault => ({
  name: `kill -9 one pod of ${app}`,
  limitMs: seconds(60),
  async strike() {
    const pods = (): Promise<readonly Pod[]> => podsOf(world, world.places.app, `app=${app}`)
    const pod = await readyPod(world, world.places.app, app)
    killPod(world, pod)
    return async () =>
      isBack(
        pod,
        (await pods()).find(({ metadata }) => metadata.uid === pod.metadata.uid),
      )
  },
})

/** The pod of the backfill Job of the hash jobs, while it copies. */
export const backfillPod = (world: World): Fault => ({
  name: 'kill -9 the backfill pod',
  limitMs: seconds(60),
  async strike() {
    const resource = STORES.jobs.resource
    const selector = `keyshift.dev/migration=${resource},keyshift.dev/work=backfill`
    const pods = (): Promise<readonly Pod[]> => podsOf(world, world.places.app, selector)
    const running = async (): Promise<Pod | undefined> =>
      (await pods()).find(({ status }) => (status.containerStatuses ?? []).some((c) => c.state.running !== undefined))
    const pod = await until('a running backfill pod', running, { limitMs: seconds(60), look: `pods with ${selector}` })
    killPod(world, pod)
    return async () => {
      const others = (await pods()).filter(({ metadata }) => metadata.uid !== pod.metadata.uid)
      if (others.some(({ status }) => status.phase === 'Running' || status.phase === 'Succeeded')) return true
      const migration = (await world.watch.glance()).find(({ metadata }) => metadata.name === resource)
      return migration !== undefined && condition(migration, 'BackfillComplete')?.status === 'True'
    }
  },
})
