import { jest } from '@jest/globals'
import { CHART, helm, HELM_LIMIT_MS, render, type Manifest } from './helm.ts'
import { RIGHTS } from './rights.ts'

jest.setTimeout(60_000)
beforeAll(() => helm('version'), HELM_LIMIT_MS)

interface Rule {
  readonly apiGroups: string[]
  readonly resources: string[]
  readonly resourceNames?: string[]
  readonly verbs: string[]
}
type Json = Record<string, unknown>

const named = (manifests: readonly Manifest[], kind: string) => manifests.filter((one) => one.kind === kind)
const one = (manifests: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = named(manifests, kind).find(({ metadata }) => metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}
const rights = (role: Manifest): string[] =>
  (role['rules'] as Rule[])
    .flatMap(({ apiGroups, resources, verbs }) =>
      verbs.flatMap((verb) =>
        apiGroups.flatMap((group) =>
          resources.map((resource) => {
            const [plural = '', ...sub] = resource.split('/')
            return `${verb} ${[group === '' ? plural : `${plural}.${group}`, ...sub].join('/')}`
          }),
        ),
      ),
    )
    .sort()
const podOf = (manifests: readonly Manifest[]) => {
  const deployment = one(manifests, 'Deployment', 'keyshift')
  const { template } = deployment['spec'] as { template: { spec: Json & { containers: (Json & { env: Json[] })[] } } }
  return template.spec
}

it('passes helm lint', async () => {
  expect(await helm('lint', '--strict', CHART)).toMatchObject({ code: 0 })
})

describe('rights', () => {
  it('are those that the operator uses, in all namespaces', async () => {
    const manifests = await render('ks')
    expect(rights(one(manifests, 'ClusterRole', 'keyshift'))).toEqual([...RIGHTS.watched].sort())
    expect(rights(one(manifests, 'Role', 'keyshift-lease'))).toEqual([...RIGHTS.own].sort())
    expect(rights(one(manifests, 'ClusterRole', 'keyshift-cluster'))).toEqual([...RIGHTS.cluster].sort())
    expect(one(manifests, 'Role', 'keyshift-lease').metadata.namespace).toBe('ks')
  })

  it('end at the namespaces listed, where some are', async () => {
    const manifests = await render('ks', 'watchNamespaces=["a","b"]')
    expect(named(manifests, 'ClusterRole').map(({ metadata }) => metadata.name)).toEqual(['keyshift-cluster'])
    const roles = named(manifests, 'Role').filter(({ metadata }) => metadata.name === 'keyshift')
    expect(roles.map(({ metadata }) => metadata.namespace)).toEqual(['a', 'b'])
    for (const role of roles) expect(rights(role)).toEqual([...RIGHTS.watched].sort())
    const bindings = named(manifests, 'RoleBinding').filter(({ metadata }) => metadata.name === 'keyshift')
    expect(bindings.map(({ metadata }) => metadata.namespace)).toEqual(['a', 'b'])
    for (const binding of bindings)
      expect(binding['subjects']).toEqual([{ kind: 'ServiceAccount', name: 'keyshift', namespace: 'ks' }])
    expect(podOf(manifests).containers[0]?.env).toContainEqual({ name: 'KEYSHIFT_NAMESPACES', value: 'a,b' })
  })

  it('name what is read of the cluster, one object each', async () => {
    const rules = one(await render('ks'), 'ClusterRole', 'keyshift-cluster')['rules'] as Rule[]
    expect(rules.map(({ resourceNames }) => resourceNames)).toEqual([
      ['kube-system'],
      ['jobkeymigrations.keyshift.dev'],
    ])
  })

  it('are left out on request', async () => {
    const kinds = (await render('ks', 'rbac.create=false', 'serviceAccount.create=false')).map(({ kind }) => kind)
    expect(kinds.filter((kind) => /Role|ServiceAccount/.test(kind))).toEqual([])
  })
})

describe('the Deployment', () => {
  it('meets the Pod Security level restricted, with a read-only root', async () => {
    const spec = podOf(await render('ks'))
    expect(spec['securityContext']).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(spec.containers).toHaveLength(1)
    expect(spec.containers[0]?.['securityContext']).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(spec['hostNetwork']).toBeUndefined()
    expect(spec['volumes']).toBeUndefined()
  })

  it('runs two replicas that may lose one, spread where possible', async () => {
    const manifests = await render('ks')
    expect(one(manifests, 'Deployment', 'keyshift')['spec']).toMatchObject({ replicas: 2 })
    expect(one(manifests, 'PodDisruptionBudget', 'keyshift')['spec']).toMatchObject({ maxUnavailable: 1 })
    const spread = podOf(manifests)['topologySpreadConstraints'] as { whenUnsatisfiable: string }[]
    expect(spread.map(({ whenUnsatisfiable }) => whenUnsatisfiable)).toEqual(['ScheduleAnyway', 'ScheduleAnyway'])
    expect(named(await render('ks', 'replicas=1'), 'PodDisruptionBudget')).toEqual([])
  })

  it('gives its workers its own image, by digest where there is one', async () => {
    const digest = `sha256:${'a'.repeat(64)}`
    const table = [
      [['image.tag="2"'], 'keyshift:2'],
      [['image.repository="reg/ks"', `image.digest="${digest}"`], `reg/ks@${digest}`],
    ] as const
    for (const [values, image] of table) {
      const [container] = podOf(await render('ks', ...values)).containers
      expect(container?.['image']).toBe(image)
      expect(container?.env).toContainEqual({ name: 'KEYSHIFT_IMAGE', value: image })
    }
  })

  it('locks on the lease that its Role names', async () => {
    const manifests = await render('ks', 'fullnameOverride="other"')
    const rules = one(manifests, 'Role', 'other-lease')['rules'] as Rule[]
    const spec = one(manifests, 'Deployment', 'other')['spec'] as {
      template: { spec: { containers: { env: Json[] }[] } }
    }
    expect(spec.template.spec.containers[0]?.env).toContainEqual({ name: 'KEYSHIFT_LEASE', value: 'other-operator' })
    expect(rules.flatMap(({ resourceNames }) => resourceNames ?? [])).toEqual(['other-operator'])
  })
})

it('makes a ServiceMonitor on request', async () => {
  expect(named(await render('ks'), 'ServiceMonitor')).toEqual([])
  const monitor = one(
    await render('ks', 'serviceMonitor={"enabled":true,"labels":{"release":"prom"}}'),
    'ServiceMonitor',
    'keyshift',
  )
  expect(monitor.metadata.labels).toMatchObject({ release: 'prom' })
})

describe('the schema refuses', () => {
  const table: readonly (readonly [string, string, RegExp])[] = [
    ['a value that does not exist', 'replicaCount=3', /replicaCount/],
    ['a field that does not exist', 'image.name="x"', /name/],
    ['no replicas', 'replicas=0', /replicas/],
    ['four replicas', 'replicas=4', /replicas/],
    ['a text for a number', 'replicas="2"', /replicas/],
    ['an unknown level', 'logLevel="verbose"', /logLevel/],
    ['a namespace that is none', 'watchNamespaces=["Not_Ok"]', /watchNamespaces/],
    ['namespaces as one text', 'watchNamespaces="a,b"', /watchNamespaces/],
    ['half a digest', 'image.digest="sha256:12"', /digest/],
    ['an unknown pull policy', 'image.pullPolicy="Sometimes"', /pullPolicy/],
    ['an amount that is none', 'resources.limits={"memory":"lots"}', /memory/],
    ['a port out of range', 'service.port=70000', /port/],
  ]
  it.each(table)('%s', async (_, value, message) => {
    await expect(render('ks', value)).rejects.toThrow(message)
  })
})
