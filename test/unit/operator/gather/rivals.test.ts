import type { SpecInput } from '../../../../src/api/schema.ts'
import { Rivals } from '../../../../src/operator/gather/rivals.ts'
import type { KubeObject, ObjectMeta } from '../../../../src/kube/types.ts'
import { LEGACY, resource, TARGET } from '../objects.ts'

const made = (name: string, changes: Partial<SpecInput> = {}, metadata: ObjectMeta = {}): KubeObject => {
  const one = resource({ spec: changes })
  return { ...one, metadata: { ...one.metadata, name, uid: `uid-${name}`, ...metadata } }
}
const workloads: SpecInput['app']['workloads'] = [{ kind: 'Deployment', name: 'api' }]
const other = { legacy: 'other:{job_id}', target: 'other:{workspace_id}:{job_id}' }
const one = made('one')

describe('which resources would write what another one writes', () => {
  test.each<[string, KubeObject, string]>([
    ['the same keys in the same Redis', made('two'), 'keys'],
    [
      'the same keys under another name of the same Redis',
      made('two', { redis: { address: 'redis://redis.app.svc:6379/0' } }),
      'keys',
    ],
    [
      'the same keys, from another namespace',
      made('two', { redis: { address: 'redis://redis.app.svc:6379/0' } }, { namespace: 'b' }),
      'keys',
    ],
    ['the same keys in another db', made('two', { redis: { address: 'redis://redis:6379/1' } }), ''],
    ['other keys', made('two', { keys: other }), ''],
    [
      'a ConfigMap by its name',
      made('two', { keys: other, app: { workloads, configMapName: 'one-routing' } }),
      'configMap',
    ],
    [
      'both',
      made('two', { keys: { legacy: LEGACY, target: TARGET }, app: { workloads, configMapName: 'one-routing' } }),
      'configMap keys',
    ],
    [
      'a ConfigMap of that name in another namespace',
      made('two', { keys: other, app: { workloads, configMapName: 'one-routing' } }, { namespace: 'b' }),
      '',
    ],
    [
      'one that is being deleted, which writes no more',
      made('two', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      '',
    ],
    ['one whose spec cannot be obeyed', { ...made('two'), spec: {} } as KubeObject, ''],
    ['itself', one, ''],
  ])('%s', (_, second, shares) => {
    const [found] = new Rivals(() => [one, second]).of(one)
    const texts = [
      ...(found?.sharesConfigMap === true ? ['configMap'] : []),
      ...(found?.sharesKeys === true ? ['keys'] : []),
    ]
    expect(texts.join(' ')).toBe(shares)
    if (shares !== '') expect(found).toMatchObject({ uid: 'uid-two', owner: `${second.metadata.namespace ?? ''}/two` })
  })

  test('a change tells those who share something with what it was or is, and a new status tells nobody', () => {
    const rivals = new Rivals(() => [one, made('two'), made('three', { keys: other })])
    expect(rivals.touched(one, undefined)).toEqual(['app/two'])
    expect(rivals.touched(undefined, one)).toEqual(['app/two'])
    expect(rivals.touched(one, made('one', { keys: other }, { generation: 2 }))).toEqual(['app/two', 'app/three'])
    expect(rivals.touched(one, made('one', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }))).toEqual(['app/two'])
    expect(rivals.touched(one, made('one', {}, { resourceVersion: '11' }))).toEqual([])
  })
})
