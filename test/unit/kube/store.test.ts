import { Store } from '../../../src/kube/store.ts'
import type { ConfigMap } from '../../../src/kube/types.ts'

const object = (name: string, resourceVersion: string, uid = `uid-${name}`): ConfigMap => ({
  metadata: { namespace: 'ns', name, uid, resourceVersion },
  data: { at: resourceVersion },
})

function setUp() {
  const changes: unknown[] = []
  const store = new Store<ConfigMap>((key, before, after) =>
    changes.push([key, before?.metadata.resourceVersion, after?.metadata.resourceVersion]),
  )
  return { store, changes }
}

describe('Store', () => {
  it('reports a new, a changed and a deleted object', () => {
    const { store, changes } = setUp()
    store.put(object('a', '1'))
    store.put(object('a', '2'))
    store.remove(object('a', '3'))
    expect(changes).toEqual([
      ['ns/a', undefined, '1'],
      ['ns/a', '1', '2'],
      ['ns/a', '2', undefined],
    ])
    expect(store.size).toBe(0)
  })

  it('holds the object before it reports it', () => {
    const held: unknown[] = []
    const store: Store<ConfigMap> = new Store<ConfigMap>((key) => held.push(store.get(key)?.metadata.resourceVersion))
    store.put(object('a', '1'))
    store.remove(object('a', '1'))
    expect(held).toEqual(['1', undefined])
  })

  it('does not report the same version again', () => {
    const { store, changes } = setUp()
    store.put(object('a', '1'))
    store.put(object('a', '1'))
    expect(changes).toHaveLength(1)
  })

  it('does not report the deletion of what it does not hold', () => {
    const { store, changes } = setUp()
    store.remove(object('a', '1'))
    expect(changes).toEqual([])
  })

  it('takes a whole list: reports what is new, changed or missing, and nothing else', () => {
    const { store, changes } = setUp()
    for (const name of ['same', 'changed', 'gone']) store.put(object(name, '1'))
    changes.length = 0
    store.replace([object('same', '1'), object('changed', '2'), object('new', '3')])
    expect(changes).toEqual([
      ['ns/gone', '1', undefined],
      ['ns/changed', '1', '2'],
      ['ns/new', undefined, '3'],
    ])
    expect(store.keys()).toEqual(['ns/same', 'ns/changed', 'ns/new'])
  })

  it('reports a namesake created anew even at the same version', () => {
    const { store, changes } = setUp()
    store.put(object('a', '1'))
    store.replace([object('a', '1', 'another')])
    expect(changes).toHaveLength(2)
  })

  it('gives out objects nobody can change', () => {
    const { store } = setUp()
    store.put(object('a', '1'))
    const held = store.get('ns/a') as { data: Record<string, string> }
    expect(() => {
      held.data.at = 'changed'
    }).toThrow(TypeError)
  })
})
