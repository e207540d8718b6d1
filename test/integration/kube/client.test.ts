import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { parse } from 'yaml'
import { createKubeClient } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isInvalid,
  isNotFound,
  isUnauthorized,
} from '../../../src/kube/errors.ts'
import type { KubeError } from '../../../src/kube/errors.ts'
import { createEventRecorder } from '../../../src/kube/events.ts'
import { mergePatchBetween } from '../../../src/kube/merge-patch.ts'
import { CONFIG_MAPS, DEPLOYMENTS, EVENTS } from '../../../src/kube/resources.ts'
import type { ConfigMap, KubeEvent, Workload } from '../../../src/kube/types.ts'
import { refOf } from '../../../src/kube/types.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { START_LIMIT_MS, startTestCluster } from './control-plane.ts'
import type { TestCluster } from './control-plane.ts'

jest.setTimeout(60_000)

let cluster: TestCluster
beforeAll(async () => (cluster = await startTestCluster()), START_LIMIT_MS)
afterAll(() => cluster.stop())

let count = 0
const named = (data?: Record<string, string>): ConfigMap => ({
  metadata: { namespace: 'default', name: `cm-${++count}` },
  ...(data === undefined ? {} : { data }),
})
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as KubeError,
  )

describe('objects on a real API server', () => {
  it('are created, read, patched and deleted', async () => {
    const { client } = cluster
    const made = await client.create(CONFIG_MAPS, named({ a: '1', b: '2' }))
    const ref = refOf(made)
    expect(await client.get(CONFIG_MAPS, ref)).toEqual(made)
    const patched = await client.mergePatch<ConfigMap>(CONFIG_MAPS, ref, { data: { a: null, c: '3' } })
    expect(patched.data).toEqual({ b: '2', c: '3' })
    await client.delete(CONFIG_MAPS, ref)
    expect(isNotFound(await failureOf(client.get(CONFIG_MAPS, ref)))).toBe(true)
  })

  it('refuse what is wrong with an error of its own each', async () => {
    const { client } = cluster
    const made = await client.create(CONFIG_MAPS, named())
    const again = await failureOf(client.create(CONFIG_MAPS, { metadata: { ...refOf(made) } } as ConfigMap))
    expect(isAlreadyExists(again)).toBe(true)
    expect(isConflict(again)).toBe(false)
    const invalid = await failureOf(client.create(CONFIG_MAPS, { metadata: { namespace: 'default', name: 'NOT OK' } }))
    expect(isInvalid(invalid)).toBe(true)
    expect(invalid?.causes[0]).toMatchObject({ field: 'metadata.name' })
    const absent = await failureOf(client.delete(CONFIG_MAPS, { namespace: 'default', name: 'never-was' }))
    expect(isNotFound(absent)).toBe(true)
  })

  it('are not deleted in place of a namesake', async () => {
    const { client } = cluster
    const first = await client.create(CONFIG_MAPS, named())
    await client.delete(CONFIG_MAPS, refOf(first), { uid: first.metadata.uid })
    const second = await client.create(CONFIG_MAPS, { metadata: { ...refOf(first) } } as ConfigMap)
    const refused = await failureOf(client.delete(CONFIG_MAPS, refOf(first), { uid: first.metadata.uid }))
    expect(isConflict(refused)).toBe(true)
    expect((await client.get(CONFIG_MAPS, refOf(first))).metadata.uid).toBe(second.metadata.uid)
  })

  it('are listed over several pages', async () => {
    const { client } = cluster
    const make = (i: number) => ({
      metadata: { namespace: 'kube-public', name: `many-${i}`, labels: { many: 'yes' } },
    })
    for (let from = 0; from < 520; from += 40) {
      await Promise.all(Array.from({ length: 40 }, (_, i) => client.create(CONFIG_MAPS, make(from + i))))
    }
    const list = await client.list(CONFIG_MAPS, { namespace: 'kube-public', labelSelector: 'many=yes' })
    expect(new Set(list.items.map((item) => item.metadata.name)).size).toBe(520)
    expect(list.items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' })
  })
})

describe('server-side apply', () => {
  it('owns its fields only: foreign keys stay, own keys go when no longer applied', async () => {
    const { client } = cluster
    const made = await client.create(CONFIG_MAPS, named({ app: 'theirs' }), { fieldManager: 'helm' })
    const metadata = { ...refOf(made) } as ConfigMap['metadata']
    const apply = (data: Record<string, string>) =>
      client.apply<ConfigMap>(CONFIG_MAPS, { metadata, data }, { fieldManager: 'keyshift', force: false })
    expect((await apply({ routing: 'v1', extra: 'x' })).data).toEqual({ app: 'theirs', routing: 'v1', extra: 'x' })
    const after = await apply({ routing: 'v2' })
    expect(after.data).toEqual({ app: 'theirs', routing: 'v2' })
    const managers = after.metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`)
    expect(managers?.sort()).toEqual(['helm Update', 'keyshift Apply'])
  })

  it('changes nothing, not even the version, when nothing differs', async () => {
    const { client } = cluster
    const object = named({ routing: 'v1' })
    const options = { fieldManager: 'keyshift', force: true }
    const first = await client.apply(CONFIG_MAPS, object, options)
    const second = await client.apply(CONFIG_MAPS, object, options)
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
  })

  it('meets a conflict that names field and manager, and wins by force', async () => {
    const { client } = cluster
    const object = named({ routing: 'v1' })
    await client.apply(CONFIG_MAPS, object, { fieldManager: 'keyshift', force: false })
    const other = { ...object, data: { routing: 'rolled back' } }
    const refused = await failureOf(client.apply(CONFIG_MAPS, other, { fieldManager: 'flux', force: false }))
    expect(isConflict(refused)).toBe(true)
    expect(refused?.causes).toEqual([
      { reason: 'FieldManagerConflict', field: '.data.routing', message: 'conflict with "keyshift"' },
    ])
    const forced = await client.apply<ConfigMap>(CONFIG_MAPS, other, { fieldManager: 'flux', force: true })
    expect(forced.data).toEqual({ routing: 'rolled back' })
  })
})

describe('status', () => {
  const deployment = (name: string): Workload =>
    ({
      metadata: { namespace: 'default', name },
      spec: {
        selector: { matchLabels: { app: name } },
        template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    }) satisfies Workload

  it('is written under an optimistic lock: a writer with old knowledge is refused', async () => {
    const { client } = cluster
    const made = await client.create<Workload>(DEPLOYMENTS, deployment('locked'))
    const version = made.metadata.resourceVersion as string
    const written = await client.patchStatus<Workload>(DEPLOYMENTS, refOf(made), { replicas: 3 }, version)
    expect(written.status?.replicas).toBe(3)
    const late = await failureOf(client.patchStatus(DEPLOYMENTS, refOf(made), { replicas: 9 }, version))
    expect(isConflict(late)).toBe(true)
    expect((await client.get<Workload>(DEPLOYMENTS, refOf(made))).status?.replicas).toBe(3)
  })

  it('is brought to the wanted state by the patch between old and new, spec untouched', async () => {
    const { client } = cluster
    const made = await client.create<Workload>(DEPLOYMENTS, deployment('patched'))
    const condition = { type: 'Available', status: 'True' as const, reason: 'R', message: 'm' }
    const from = { replicas: 2, readyReplicas: 2, conditions: [condition] }
    const first = await client.patchStatus<Workload>(
      DEPLOYMENTS,
      refOf(made),
      from,
      made.metadata.resourceVersion ?? '',
    )
    const to = { replicas: 2, updatedReplicas: 1 }
    const patch = mergePatchBetween(first.status ?? {}, to) ?? {}
    const second = await client.patchStatus<Workload>(
      DEPLOYMENTS,
      refOf(made),
      patch,
      first.metadata.resourceVersion ?? '',
    )
    expect(second.status).toEqual(to)
    expect(second.metadata.generation).toBe(made.metadata.generation)
  })

  it('is applied server-side without touching the spec', async () => {
    const { client } = cluster
    const made = await client.create<Workload>(DEPLOYMENTS, deployment('applied'))
    const object: Workload = { metadata: { ...refOf(made) } as Workload['metadata'], status: { replicas: 4 } }
    const after = await client.applyStatus(DEPLOYMENTS, object, { fieldManager: 'keyshift', force: true })
    expect(after.status?.replicas).toBe(4)
    expect(after.spec).toEqual(made.spec)
  })
})

describe('watch', () => {
  it('ends by itself after the time asked for', async () => {
    const { client } = cluster
    const { resourceVersion } = await client.list(CONFIG_MAPS)
    const types: string[] = []
    const query = { resourceVersion, timeoutSeconds: 2 }
    for await (const event of client.watch(CONFIG_MAPS, query, new AbortController().signal)) types.push(event.type)
    expect(types.filter((type) => type !== 'BOOKMARK')).toEqual([])
  })
})

describe('credentials', () => {
  it('a refused token is told as our own 401, and a new one on disk is used at once', async () => {
    await cluster.kubectl(['create', 'serviceaccount', 'tester'])
    const token = await cluster.kubectl(['create', 'token', 'tester'])
    const tokenFile = join(cluster.dir, 'token')
    writeFileSync(tokenFile, 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2VjcmV0c2ln')
    const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } }
    const { connection, client } = connectAs(user, { 'insecure-skip-tls-verify': true })
    const refused = await failureOf(client.list(CONFIG_MAPS))
    expect(isUnauthorized(refused)).toBe(true)
    expect(refused?.message).toContain("this process's own credential")
    expect(refused?.message).not.toContain('c2VjcmV0c2ln')
    writeFileSync(tokenFile, token)
    const forbidden = await failureOf(client.list(CONFIG_MAPS))
    connection.close()
    expect(isForbidden(forbidden)).toBe(true)
    expect(forbidden?.message).toContain('system:serviceaccount:default:tester')
  })
})

describe('the CA of the server', () => {
  it('is read again when it is replaced on disk', async () => {
    const config = parse(readFileSync(cluster.kubeconfigPath, 'utf8')) as Kubeconfig
    const caFile = join(cluster.dir, 'ca.crt')
    const user = config.users[0]?.user ?? {}
    writeFileSync(caFile, Buffer.from(user['client-certificate-data'] ?? '', 'base64'))
    const { connection, client } = connectAs(user, { 'certificate-authority': caFile })
    const distrust = await failureOf(client.list(CONFIG_MAPS, {}, { retry: false }))
    expect(distrust).toMatchObject({ status: 0, reason: 'ConnectionFailed' })
    writeFileSync(caFile, Buffer.from(config.clusters[0]?.cluster['certificate-authority-data'] ?? '', 'base64'))
    expect((await client.list(CONFIG_MAPS)).resourceVersion).not.toBe('')
    connection.close()
  })
})

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[]
}

function connectAs(user: object, trust: object) {
  const path = join(cluster.dir, 'other-kubeconfig')
  const config = {
    clusters: [{ name: 'c', cluster: { server: cluster.server, ...trust } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'c',
  }
  writeFileSync(path, JSON.stringify(config))
  const connection = connect({ from: 'file', path })
  return { connection, client: createKubeClient(connection) }
}

describe('events', () => {
  it('of repeats are one object with a count', async () => {
    const { client } = cluster
    const target = await client.create(CONFIG_MAPS, named())
    const errors: unknown[] = []
    const recorder = createEventRecorder({
      client,
      clock: systemClock,
      component: 'keyshift',
      instance: 'keyshift-0',
      onError: (error) => errors.push(error),
    })
    for (let i = 0; i < 5; i++) recorder.record(target, 'Warning', 'Stalled', 'fence lost')
    recorder.record(target, 'Normal', 'PhaseChanged', '🚚'.repeat(1000))
    await recorder.flush(30_000)
    expect(errors).toEqual([])
    const fieldSelector = `involvedObject.uid=${target.metadata.uid}`
    const { items } = await client.list<KubeEvent>(EVENTS, { namespace: 'default', fieldSelector })
    expect(items.map(({ reason, count }) => [reason, count]).sort()).toEqual([
      ['PhaseChanged', 1],
      ['Stalled', 5],
    ])
    const described = await cluster.kubectl(['describe', 'configmap', target.metadata.name ?? ''])
    expect(described).toMatch(/Warning\s+Stalled\s+.*\(x5 over .*\)\s+keyshift\s+fence lost/)
  })
})
