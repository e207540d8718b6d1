import { until } from '../../hack/system/wait.ts'
import { seconds, type World } from './fault.ts'

interface Terminated {
  readonly exitCode: number
  readonly signal?: number
  readonly reason?: string
  readonly message?: string
  readonly containerID?: string
}

export interface ContainerStatus {
  readonly name: string
  readonly containerID?: string
  readonly ready: boolean
  readonly restartCount: number
  readonly state: { readonly running?: object; readonly terminated?: Terminated }
  readonly lastState: { readonly terminated?: Terminated }
}

export interface Pod {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly labels?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
  }
  readonly status: {
    readonly phase: string
    readonly podIP?: string
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

export async function podsOf({ target }: World, namespace: string, selector?: string): Promise<readonly Pod[]> {
  const labels = selector === undefined ? [] : ['-l', selector]
  const text = await target.kubectl(['get', 'pods', '-n', namespace, ...labels, '-o', 'json'])
  return (JSON.parse(text) as { items: readonly Pod[] }).items
}

export const containersOf = (pod: Pod): readonly ContainerStatus[] => pod.status.containerStatuses ?? []

/** All containers run and are ready, and nobody has asked it to end. */
export const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  containersOf(pod).length > 0 &&
  containersOf(pod).every((c) => c.ready)

/**
 * A pod of an app that may be killed: all of its pods are ready. Kubelet is late to tell that a probe failed during the fault
 * before, and of two pods the other one must serve meanwhile.
 */
export async function readyPod(world: World, namespace: string, app: string): Promise<Pod> {
  const selector = `app=${app}`
  const ready = async (): Promise<Pod | undefined> => {
    const pods = await podsOf(world, namespace, selector)
    const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    return staying.every(isReady) ? staying[0] : undefined
  }
  return until(`every pod of ${app} is ready`, ready, { limitMs: seconds(30), look: `pods with ${selector}` })
}

/** SIGKILL to one container of the pod, or to all. */
export function killPod({ wrecker, killed, screen }: World, pod: Pod, container?: string): void {
  for (const { name, containerID } of containersOf(pod)) {
    if (containerID === undefined || (container !== undefined && name !== container)) continue
    killed.add(containerID)
    wrecker.killContainer(containerID)
    screen.line(`  kill -9 of container ${name} in pod ${pod.metadata.name}`)
  }
}

/** The pod as it is now has started this container anew, and is ready. */
export const isBack = (before: Pod, now: Pod | undefined): boolean => {
  const restarts = (pod: Pod): number => containersOf(pod).reduce((sum, c) => sum + c.restartCount, 0)
  return now !== undefined && isReady(now) && restarts(now) > restarts(before)
}
