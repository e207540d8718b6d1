import { PLACES } from '../../../demo/deploy.ts'
import { Breaker, type Plan } from '../../../demo/faults/breaker.ts'
import type { Fault, World } from '../../../demo/faults/fault.ts'
import { lasting } from '../../../demo/faults/fault.ts'
import { Watch } from '../../../demo/resource.ts'
import { Screen } from '../../../demo/screen.ts'

interface Ended {
  readonly exitCode: number
  readonly message?: string
  readonly log?: string
  /** The demo killed it. */
  readonly killed?: boolean
}

const ID = `containerd://${'a'.repeat(64)}`

/** A cluster with one pod of the operator, whose container has restarted once if it `ended`. */
function world(ended?: Ended): World {
  const terminated = ended && { exitCode: ended.exitCode, message: ended.message, containerID: ID }
  const status = { name: 'operator', ready: true, restartCount: 1, state: { running: {} }, lastState: { terminated } }
  const pod = {
    metadata: { name: 'keyshift-1', namespace: PLACES.operator, uid: 'u' },
    status: { phase: 'Running', containerStatuses: [status] },
  }
  const kubectl = (args: readonly string[]): Promise<string> => {
    if (args[0] === 'logs') return Promise.resolve(args.includes('-p') ? (ended?.log ?? '') : '')
    const items = args.includes('pods') && args.includes(PLACES.operator) ? [pod] : []
    return Promise.resolve(JSON.stringify({ items }))
  }
  const signal = new AbortController().signal
  const refuse = (): never => {
    throw new Error('not in this test')
  }
  return {
    target: { kubectl, helm: kubectl, reach: refuse, howToReach: [], disconnect: () => {} },
    wrecker: { killContainer: refuse, restartControlPlane: refuse, superviseControlPlane: refuse },
    places: PLACES,
    watch: new Watch([], { kubectl, namespace: PLACES.app, signal, onChange: () => {} }),
    screen: new Screen({ write: () => true }),
    signal,
    requests: () => ({ retried: 0, unknown: 0 }),
    openRedis: refuse,
    killed: new Set(ended?.killed === true ? [ID] : []),
  }
}

const fault = (recovered: () => Promise<boolean>): Fault => ({
  name: 'pull the plug',
  limitMs: 50,
  strike: () => Promise.resolve(recovered),
})
const planOf = (made: Fault): Plan => ({ walk: [{ moment: 'it begins', hasCome: () => true, fault: made }] })
const heals = planOf(fault(() => Promise.resolve(true)))
const breaker = (plan: Plan, ended?: Ended): Breaker => new Breaker(world(ended), plan, () => Promise.resolve())

it('keeps the name of each fault and how long its recovery took', async () => {
  const running = breaker(heals)
  await running.during('another phase')
  expect(running.times).toEqual([])
  await running.during('walk')
  expect(running.times).toEqual([{ name: 'pull the plug', recoveredSeconds: expect.any(Number) as number }])
  await running.end()
})

it.each([
  { when: 'it never says yes', recovered: () => Promise.resolve(false), says: /pull the plug: recovery: not within/ },
  { when: 'it cannot be asked', recovered: () => Promise.reject(new Error('gone')), says: /pull the plug.*\(gone\)/ },
])('fails and names the fault whose recovery did not come in time: $when', async ({ recovered, says }) => {
  await expect(breaker(planOf(fault(recovered))).during('walk')).rejects.toThrow(says)
})

it('fails at the end when a fault of the plan was never made', async () => {
  await expect(breaker(heals).end()).rejects.toThrow('never made: pull the plug')
})

const error = (message: string): string => JSON.stringify({ level: 'error', message })
it.each<{ when: string; ended: Ended; says: RegExp }>([
  {
    when: 'a rejection that nobody handled',
    ended: { exitCode: 1, log: error('unhandledRejection') },
    says: /keyshift-1 .*an error that nobody handled/,
  },
  {
    when: 'an exception that Node printed, also where Kubernetes has a message of it',
    ended: { exitCode: 1, message: 'x', log: 'Error: boom\n    at f\n\nNode.js v24.1.0' },
    says: /an error that nobody handled/,
  },
  { when: 'a code without a word', ended: { exitCode: 137 }, says: /ended with code 137 and did not say why/ },
  { when: 'a log without an error', ended: { exitCode: 1, log: '{"level":"info","message":"hm"}' }, says: /say why/ },
])('fails and names a process that ended by itself with $when', async ({ ended, says }) => {
  await expect(breaker(heals, ended).during('walk')).rejects.toThrow(says)
})

it.each<{ when: string; ended: Ended }>([
  { when: 'was killed on purpose', ended: { exitCode: 137, killed: true } },
  { when: 'ended well', ended: { exitCode: 0 } },
  { when: 'logged why', ended: { exitCode: 1, log: `${error('lease lost')}\n` } },
  { when: 'left a termination message', ended: { exitCode: 1, message: 'lease lost: not renewed' } },
])('accepts a process that $when', async ({ ended }) => {
  await expect(breaker(heals, ended).during('walk')).resolves.toBeUndefined()
})

it('a recovery that must last begins anew where it was interrupted', async () => {
  const answers = [true, false, true]
  const asked: boolean[] = []
  const last = lasting(0, () => {
    const answer = answers.shift() ?? true
    asked.push(answer)
    return Promise.resolve(answer)
  })
  expect([await last(), await last(), await last()]).toEqual([true, false, true])
  const never = lasting(3_600_000, () => Promise.resolve(true))
  expect([await never(), await never()]).toEqual([false, false])
})
