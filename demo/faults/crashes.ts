import type { World } from './fault.ts'
import { containersOf, podsOf, type ContainerStatus, type Pod } from './pods.ts'

/** What Node or our own guard says of a mistake that nobody handled. */
export const UNHANDLED = /unhandled ?rejection|uncaught ?exception|UnhandledPromiseRejection|^Node\.js v\d/im

/**
 * Looks at every container of the operator, the app and the worker Jobs that ended although nobody killed it: each must
 * have said why, and none by an error that nobody handled. Returns what is wrong, in words; each end is looked at once.
 */
export async function unexplainedEnds(world: World, seen: Set<string>): Promise<readonly string[]> {
  const { places } = world
  const pods = (await Promise.all([places.operator, places.app].map((namespace) => podsOf(world, namespace)))).flat()
  const found = await Promise.all(pods.flatMap((pod) => containersOf(pod).map((c) => judge(world, seen, pod, c))))
  return found.filter((line) => line !== undefined)
}

async function judge(world: World, seen: Set<string>, pod: Pod, status: ContainerStatus): Promise<string | undefined> {
  const current = status.state.terminated
  const ended = current ?? status.lastState.terminated
  const id = ended?.containerID
  if (ended === undefined || id === undefined || seen.has(id)) return undefined
  seen.add(id)
  if (world.killed.has(id) || ended.exitCode === 0) return undefined
  const { name, namespace } = pod.metadata
  const args = ['logs', name, '-n', namespace, '-c', status.name, '--tail', '50']
  const log = await world.target.kubectl(current === undefined ? [...args, '-p'] : args).catch(() => '')
  const said = log.trim().split('\n').slice(-3).join('\n')
  const what = `${namespace}/${name} (${status.name}) ended with code ${ended.exitCode}`
  if (UNHANDLED.test(log)) return `${what} by an error that nobody handled:\n${said}`
  const why = ended.message?.trim() || lastError(log)
  if (why === undefined) return `${what} and did not say why:\n${said}`
  world.screen.line(`  ${what}: ${why.split('\n')[0]?.slice(0, 200)}`)
  return undefined
}

/** The message of the last line of a JSON log that is an error. */
function lastError(log: string): string | undefined {
  for (const line of log.trim().split('\n').reverse()) {
    try {
      const { level, message } = JSON.parse(line) as { level?: string; message?: string }
      if (level === 'error') return message
    } catch {
      // Not every line is JSON.
    }
  }
  return undefined
}

/** Errors that nobody handled, in the logs of what still runs. */
export async function unhandledErrors(world: World): Promise<readonly string[]> {
  const found: string[] = []
  for (const namespace of [world.places.operator, world.places.app])
    for (const pod of await podsOf(world, namespace)) {
      const args = ['logs', pod.metadata.name, '-n', namespace, '--all-containers']
      const log = await world.target.kubectl(args).catch(() => '')
      const line = log.split('\n').find((text) => UNHANDLED.test(text))
      if (line !== undefined) found.push(`${namespace}/${pod.metadata.name}: ${line.slice(0, 300)}`)
    }
  return found
}
