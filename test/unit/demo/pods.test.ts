import type { World } from '../../../demo/faults/fault.ts'
import { readyPod, type Pod } from '../../../demo/faults/pods.ts'

const pod = (name: string, ready: boolean, deletionTimestamp?: string): Pod => ({
  metadata: { name, namespace: 'demo', uid: name, ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }) },
  status: {
    phase: 'Running',
    containerStatuses: [{ name: 'app', ready, restartCount: 0, state: {}, lastState: {} }],
  },
})

/** Tells the lists one after the other, and the last one for ever. */
function worldOf(...lists: (readonly Pod[])[]) {
  const asked: (readonly string[])[] = []
  const kubectl = (args: readonly string[]): Promise<string> => {
    asked.push(args)
    return Promise.resolve(JSON.stringify({ items: lists[Math.min(asked.length, lists.length) - 1] }))
  }
  return { asked, world: { target: { kubectl } } as unknown as World }
}

describe('a pod that is to be killed', () => {
  it.each<[string, (readonly Pod[])[]]>([
    ['there is one', [[], [pod('a', true)]]],
    ['it is ready', [[pod('a', false)], [pod('a', true)]]],
    [
      'the others are ready too',
      [
        [pod('a', true), pod('b', false)],
        [pod('a', true), pod('b', true)],
      ],
    ],
  ])('is waited for until %s', async (_, lists) => {
    const { world, asked } = worldOf(...lists)
    expect((await readyPod(world, 'demo', 'api')).metadata.name).toBe('a')
    expect(asked).toHaveLength(2)
  })

  it('is none that ends, and one that ends keeps nobody waiting', async () => {
    const { world, asked } = worldOf([pod('old', false, '2026-01-01T00:00:00Z'), pod('a', true)])
    expect((await readyPod(world, 'demo', 'api')).metadata.name).toBe('a')
    expect(asked).toEqual([['get', 'pods', '-n', 'demo', '-l', 'app=api', '-o', 'json']])
  })
})
