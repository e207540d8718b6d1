import { jest } from '@jest/globals'
import { ANNOTATIONS } from '../../../src/api/resource.ts'
import { isNotFound } from '../../../src/kube/errors.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import type { Status } from '../../../src/api/status.ts'
import { startTestCluster, START_LIMIT_MS, until, type TestCluster } from '../kube/control-plane.ts'
import { CHART, helm, HELM_LIMIT_MS, render } from './helm.ts'

jest.setTimeout(60_000)

let cluster: TestCluster
const release = (...args: string[]) => helm(...args, '--kubeconfig', cluster.kubeconfigPath, '--namespace', 'ks')

beforeAll(async () => {
  cluster = await startTestCluster()
  expect(await release('install', 'keyshift', CHART, '--create-namespace')).toMatchObject({ code: 0 })
  await until(() =>
    cluster.client.list(MIGRATIONS, { namespace: 'default' }).then(
      () => true,
      (error: unknown) => !isNotFound(error),
    ),
  )
  // The API server takes a policy up a moment after it was made.
  await put('probe', { phase: 'DualWrite' })
  await until(async () => (await remove('probe', '--dry-run=server')) !== 'deleted')
}, START_LIMIT_MS + HELM_LIMIT_MS)
afterAll(() => cluster.stop())

async function put(name: string, status: Status, annotations = {}, namespace = 'default'): Promise<void> {
  const resource = {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name, namespace, annotations },
    spec: {
      targetPhase: 'DualWrite',
      keys: { legacy: `${name}:{job_id}`, target: `${name}:{workspace_id}:{job_id}` },
      redis: { address: 'redis://redis:6379/0' },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }] },
      slo: { disabled: true },
    },
  }
  const made = await cluster.client.apply<KubeObject>(MIGRATIONS, resource, { fieldManager: 'test', force: true })
  await cluster.client.patchStatus(MIGRATIONS, resource.metadata, status, made.metadata.resourceVersion ?? '')
}

/** `deleted`, or what the API server says. */
async function remove(name: string, ...args: string[]): Promise<string> {
  return cluster.kubectl(['delete', 'jkm', name, '-n', 'default', '--wait=false', ...args]).then(
    () => 'deleted',
    (error: unknown) => String(error),
  )
}

describe('deleting a resource', () => {
  const time = new Date(0).toISOString()
  const table: readonly (readonly [string, Status, 'is denied' | 'goes through'])[] = [
    ['that nobody has begun', {}, 'goes through'],
    ['in Legacy at its first epoch', { phase: 'Legacy', epoch: 1 }, 'goes through'],
    ['in DualWrite', { phase: 'DualWrite', epoch: 2, convergedAt: time }, 'is denied'],
    ['in ReadRouting', { phase: 'ReadRouting', epoch: 5 }, 'is denied'],
    ['in BackfillVerify', { phase: 'BackfillVerify', epoch: 7 }, 'is denied'],
    ['back in Legacy, which pods do not run yet', { phase: 'Legacy', epoch: 8 }, 'is denied'],
    ['back in Legacy, which every pod runs', { phase: 'Legacy', epoch: 8, convergedAt: time }, 'goes through'],
  ]
  it.each(table)('%s', async (title, status, outcome) => {
    const name = title
      .replace(/[^a-z]+/gi, '-')
      .toLowerCase()
      .slice(0, 40)
      .replace(/-$/, '')
    await put(name, status)
    const said = await remove(name)
    if (outcome === 'goes through') expect(said).toBe('deleted')
    else expect(said).toMatch(/stands in phase .* Lower spec\.targetPhase to Legacy .* kubectl annotate jkm -n default/)
  })

  it('all at once is denied for those on their way, and says what to do (O4)', async () => {
    await put('walks', { phase: 'DualWrite', epoch: 2 })
    await put('rests', { phase: 'Legacy', epoch: 1 })
    const said = await cluster.kubectl(['delete', 'jkm', '--all', '-n', 'default', '--wait=false']).catch(String)
    expect(said).toMatch(/walks/)
    const left = (await cluster.client.list(MIGRATIONS, { namespace: 'default' })).items.map(
      ({ metadata }) => metadata.name,
    )
    expect(left).toContain('walks')
    expect(left).not.toContain('rests')
  })

  it('on its way goes through with the annotation, by the very command of the message', async () => {
    await put('abandoned', { phase: 'DualWrite', epoch: 2 })
    const said = await remove('abandoned')
    const command = /kubectl (annotate jkm \S+ \S+ \S+ \S+)/.exec(said)?.[1] ?? ''
    expect(command).toContain(`${ANNOTATIONS.abandon}=true`)
    await cluster.kubectl(command.split(' '))
    expect(await remove('abandoned')).toBe('deleted')
  })

  it.each(['false', '', 'yes'])('is denied with the annotation %p', async (value) => {
    await put('kept', { phase: 'DualWrite', epoch: 2 }, { [ANNOTATIONS.abandon]: value })
    expect(await remove('kept')).toMatch(/stands in phase DualWrite/)
  })

  it('goes through for the namespace controller, and for nobody else of the controllers', async () => {
    await put('owned', { phase: 'DualWrite', epoch: 2 })
    const as = (name: string) => ['--as', `system:serviceaccount:kube-system:${name}`, '--as-group', 'system:masters']
    expect(await remove('owned', ...as('generic-garbage-collector'))).toMatch(/stands in phase DualWrite/)
    expect(await remove('owned', ...as('namespace-controller'))).toBe('deleted')
  })

  it('goes through in a namespace that is being deleted', async () => {
    await cluster.kubectl(['create', 'namespace', 'leaving'])
    await put('guest', { phase: 'DualWrite', epoch: 2 }, {}, 'leaving')
    const removal = () =>
      cluster.kubectl(['delete', 'jkm', 'guest', '-n', 'leaving', '--wait=false']).then(
        () => true,
        () => false,
      )
    expect(await removal()).toBe(false)
    await cluster.kubectl(['delete', 'namespace', 'leaving', '--wait=false'])
    await until(removal)
  })
})

describe('the chart', () => {
  it('leaves the policy out on request', async () => {
    const kinds = async (...values: string[]) => (await render('ks', ...values)).map(({ kind }) => kind)
    expect(await kinds()).toEqual(
      expect.arrayContaining(['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']),
    )
    expect((await kinds('deletionPolicy.enabled=false')).filter((kind) => kind.startsWith('Validating'))).toEqual([])
  })

  it('guards the namespaces that it watches, and no other', async () => {
    const binding = (await render('ks', 'watchNamespaces=["a","b"]')).find(({ kind }) => kind.endsWith('PolicyBinding'))
    expect(binding?.['spec']).toMatchObject({
      matchResources: {
        namespaceSelector: {
          matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: ['a', 'b'] }],
        },
      },
    })
  })

  // Last: the policy is gone after it.
  it('is uninstalled while a migration is on its way, and leaves it', async () => {
    expect(await release('uninstall', 'keyshift')).toMatchObject({ code: 0 })
    expect((await cluster.client.get(MIGRATIONS, { namespace: 'default', name: 'probe' })).metadata.name).toBe('probe')
    await until(async () => (await remove('probe', '--dry-run=server')) === 'deleted')
  })
})
