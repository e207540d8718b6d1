import { jest } from '@jest/globals'
import type { KubeObject, Pod, ResourceType } from '../../../src/kube/types.ts'
import { CONFIG_MAPS, JOBS, PODS } from '../../../src/kube/resources.ts'
import type { RunningOperator } from './world.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type Member, type World } from './world.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import { JobRunner } from './job-runner.ts'
import { connectAsOperator } from './service-account.ts'

jest.setTimeout(60_000)

const POLICIES: ResourceType = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'validatingadmissionpolicies',
  kind: 'ValidatingAdmissionPolicy',
  namespaced: false,
}
const BINDINGS: ResourceType = {
  ...POLICIES,
  plural: 'validatingadmissionpolicybindings',
  kind: 'ValidatingAdmissionPolicyBinding',
}
const CLUSTER_ROLES: ResourceType = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural: 'clusterroles',
  kind: 'ClusterRole',
  namespaced: false,
}

let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})
const run: typeof runOperator = (...args) => {
  const running = runOperator(...args)
  stops.push(() => running.stop())
  return running
}
function background(work: (signal: AbortSignal) => Promise<void>): void {
  const stop = new AbortController()
  const done = work(stop.signal)
  stops.push(async () => {
    stop.abort()
    await done
  })
}

interface Stage {
  readonly app: App
  readonly running: RunningOperator
  readonly spec: ReturnType<App['spec']>
  readonly member: Member
  /** Jobs that are made get their workers. */
  readonly jobs: JobRunner
}

/** An application at DualWrite 10 %, epoch 2, with one member that follows. */
async function inDualWrite(name: string, joinTimeout = '2s'): Promise<Stage> {
  const app = await App.create(world, name)
  await world.redis.hset(`${name}:job:j1`, { workspace_id: 'w1' })
  const running = run(world, name)
  const spec = app.spec({
    targetPhase: 'DualWrite',
    canaryPercentage: 10,
    redis: { address: `redis://127.0.0.1:${world.redisServer.port}/0`, assume: { maxmemory: 1_000_000_000 } },
    app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout },
    phases: {
      dualWrite: {
        steps: [
          { percent: 10, soak: '0s' },
          { percent: 100, soak: '0s' },
        ],
      },
    },
  })
  const jobs = new JobRunner(app.client, name)
  background((signal) => jobs.run(signal))
  await app.apply(spec)
  await until(async () => (await app.document())?.epoch === 1)
  const member = await app.join(await app.startPod())
  background((signal) => member.follow(signal))
  await arrived(app)
  return { app, running, spec, member, jobs }
}

/** The target of the spec as it stands now is reached. */
const arrived = (app: App): Promise<void> =>
  until(async () => {
    const { metadata, status } = await app.resource()
    const reached = status?.conditions?.find(({ type }) => type === 'TargetReached')
    return status?.observedGeneration === metadata.generation && reached?.status === 'True'
  })
const awaits = async (app: App): Promise<string> => (await app.resource()).status?.awaits ?? ''
async function says(app: App, type: string, text: RegExp): Promise<void> {
  let said: unknown
  const matches = async () => {
    said = await app.condition(type)
    const { status, reason, message } = (said ?? {}) as Record<string, string>
    return text.test(`${status} ${reason}: ${message}`)
  }
  const end = Date.now() + 30_000
  while (!(await matches())) {
    if (Date.now() > end) throw new Error(`${type} does not say ${text}: ${JSON.stringify(said)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const refTo = ({ namespace }: App, { metadata }: Pod) => ({ namespace, name: metadata.name ?? '' })

async function setStatus(app: App, pod: Pod, status: object): Promise<void> {
  const ref = refTo(app, pod)
  const { metadata } = await app.client.get(PODS, ref)
  await app.client.patchStatus(PODS, ref, status, metadata.resourceVersion ?? '')
}

describe('a pod in trouble', () => {
  it('is named with its image and what to do, and holds the way forward alone', async () => {
    const { app, spec } = await inDualWrite('trouble', '1h')
    const waiting = (reason: string) => ({
      containerStatuses: [
        { name: 'api', ready: false, restartCount: 0, image: 'x', imageID: '', state: { waiting: { reason } } },
      ],
    })
    const pulling = await app.startPod('api:9', 'bbb')
    await setStatus(app, pulling, { phase: 'Pending', ...waiting('ErrImagePull') })
    const homeless = await app.startPod('api:1', 'ccc')
    const unscheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }
    await setStatus(app, homeless, { phase: 'Pending', containerStatuses: null, conditions: [unscheduled] })
    const crashing = await app.startPod('api:8', 'eee')
    const container = { name: 'api', ready: false, restartCount: 7, image: 'x', imageID: '' }
    const lastState = { terminated: { exitCode: 2, reason: 'Error' } }
    await setStatus(app, crashing, {
      phase: 'Running',
      containerStatuses: [{ ...container, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState }],
    })
    await says(
      app,
      'Converged',
      /api-eee-\d \(.*image api:8; container api keeps ending \(exit code 2, Error\): see its logs/,
    )
    await app.client.delete(PODS, refTo(app, crashing))
    const held = await app.startPod('api:1', 'ddd')
    await app.client.mergePatch(PODS, refTo(app, held), { metadata: { finalizers: ['example.com/held'] } })
    await app.client.delete(PODS, refTo(app, held))
    await says(
      app,
      'Converged',
      /False PodsJoining: 3 pods .*api-bbb-\d \(Deployment\/api, image api:9; the image of container api cannot be pulled.*api-ccc-\d \(.*image api:1; not scheduled: 0\/1 nodes\).*api-ddd-\d \(.*held by finalizer example\.com\/held/,
    )
    await app.apply({ ...spec, canaryPercentage: 100 })
    await until(async () => /^PodsJoining: .*api-bbb-\d/.test(await awaits(app)))
    expect((await app.document())?.epoch).toBe(2)
    await app.apply({ ...spec, targetPhase: 'Legacy' })
    await until(async () => (await app.document())?.phase === 'Legacy')
    await app.client.mergePatch(PODS, refTo(app, held), { metadata: { finalizers: null } })
  })

  it('whose client lives and does not follow holds a step back for joinTimeout and no longer', async () => {
    const { app, spec } = await inDualWrite('deaf')
    // Its routing directory is not mounted: it stays at the epoch that it runs.
    await app.join(await app.startPod())
    await app.apply({ ...spec, canaryPercentage: 100 })
    await says(
      app,
      'Converged',
      /^False MembersBehind: 1 client not on epoch 3 yet: api-aaa-2 \(epoch 2, image api:1\)/,
    )
    await app.apply({ ...spec, targetPhase: 'Legacy' })
    await until(async () => /^SteppingBack: .*api-aaa-2 \(epoch 2, image api:1\)/.test(await awaits(app)))
    await until(async () => (await app.document())?.phase === 'Legacy')
    expect((await app.resource()).status?.failed).toBeUndefined()
  })
})

describe('in ReadRouting', () => {
  /** All reads on the target schema, verified, epoch 4. */
  async function inReadRouting(name: string, joinTimeout?: string): Promise<Stage> {
    const stage = await inDualWrite(name, joinTimeout)
    const spec: Stage['spec'] = {
      ...stage.spec,
      targetPhase: 'ReadRouting',
      canaryPercentage: 100,
      redis: { ...stage.spec.redis, observers: ['*'] },
      phases: { ...stage.spec.phases, readRouting: { steps: [{ percent: 100, soak: '0s' }] } },
    }
    await stage.app.apply(spec)
    await arrived(stage.app)
    return { ...stage, spec }
  }
  const statusOf = async (app: App) => (await app.resource()).status ?? {}

  it('a release that crashes before its client registers, and is taken away, walks back to DualWrite, is named, and holds until answered', async () => {
    const { app } = await inReadRouting('crash-gone')
    const bad = await app.startPod('api:bad', 'bad')
    await until(async () => (await statusOf(app)).newcomers?.some(({ name }) => name === bad.metadata.name) === true)
    await app.client.delete(PODS, refTo(app, bad))
    await until(async () => (await app.document())?.phase === 'DualWrite')
    expect((await app.document())?.createTarget).toBe(100)
    expect((await statusOf(app)).failed).toMatchObject({
      reason: 'UnawarePod',
      phase: 'ReadRouting',
      message: expect.stringMatching(/api-bad-\d \(Deployment\/api, image api:bad/) as string,
    })
    const annotations = { 'keyshift.dev/retry': 'mended' }
    await app.client.mergePatch(MIGRATIONS, { namespace: app.namespace, name: 'jobs' }, { metadata: { annotations } })
    await until(async () => (await app.document())?.phase === 'ReadRouting')
    expect((await statusOf(app)).failed).toBeUndefined()
  })

  it('a node that is gone with its pod voids nothing, and holds the step forward for joinTimeout at most', async () => {
    const { app, spec } = await inReadRouting('node-gone', '6s')
    const lost = await app.join(await app.startPod())
    await says(app, 'Converged', /^True/)
    const { evidence } = await statusOf(app)
    // Its pod stands in the API as Running until somebody evicts it; its client is heard of no more.
    await lost.lapse()
    await app.apply({ ...spec, targetPhase: 'BackfillVerify' })
    await says(app, 'Converged', /^False PodsLapsed: .*api-aaa-2/)
    expect((await app.document())?.phase).toBe('ReadRouting')
    await until(async () => (await app.document())?.phase === 'BackfillVerify')
    const after = await statusOf(app)
    expect(after.evidence?.verifiedTarget).toEqual(evidence?.verifiedTarget)
    expect(after.failed).toBeUndefined()
    expect(await app.events()).not.toContain('Warning EvidenceVoid')
  })
})

describe('a StatefulSet, a DaemonSet and a Job', () => {
  const APPS = { group: 'apps', version: 'v1', namespaced: true } as const
  const KINDS: readonly (readonly [string, ResourceType, string])[] = [
    ['StatefulSet', { ...APPS, plural: 'statefulsets', kind: 'StatefulSet' }, 'apps/v1'],
    ['DaemonSet', { ...APPS, plural: 'daemonsets', kind: 'DaemonSet' }, 'apps/v1'],
    ['Job', JOBS, 'batch/v1'],
  ]
  it.each(KINDS)(
    '%s: another pod of a template that was a member is joining, one of another is unaware',
    async (kind, type, apiVersion) => {
      const app = await App.create(world, `kind-${kind.toLowerCase()}`)
      const labels = { app: 'api' }
      const spec = { restartPolicy: kind === 'Job' ? 'Never' : 'Always', containers: [{ name: 'api', image: 'api:1' }] }
      const template = { metadata: { labels }, spec }
      const selector = kind === 'Job' ? {} : { selector: { matchLabels: labels } }
      const workload = await app.client.create(type, {
        metadata: { name: 'work', namespace: app.namespace },
        spec: { ...selector, template, ...(kind === 'StatefulSet' ? { serviceName: 'x' } : {}) },
      } as KubeObject)
      const owner = { apiVersion, kind, name: 'work', uid: workload.metadata.uid ?? '', controller: true }
      const start = async (name: string, hash: string, image = 'api:1'): Promise<Pod> => {
        const pod = await app.client.create<Pod>(PODS, {
          metadata: {
            name,
            namespace: app.namespace,
            // The pods of a Job carry no hash of their template.
            labels: kind === 'Job' ? labels : { ...labels, 'controller-revision-hash': hash },
            ownerReferences: [owner],
          },
          spec: { ...spec, containers: [{ name: 'api', image }] },
        })
        const startedAt = new Date().toISOString()
        const running = {
          name: 'api',
          ready: true,
          restartCount: 0,
          image,
          imageID: '',
          state: { running: { startedAt } },
        }
        await setStatus(app, pod, { phase: 'Running', startTime: startedAt, containerStatuses: [running] })
        return pod
      }
      run(world, app.namespace)
      await app.apply(app.spec({ app: { workloads: [{ kind: kind as 'Job', name: 'work' }], joinTimeout: '2s' } }))
      await until(async () => (await app.document())?.epoch === 1)
      const member = await app.join(await start('first', 'one'))
      background((signal) => member.follow(signal))
      await says(app, 'Converged', /^True/)
      await start('second', 'one')
      await says(app, 'Converged', new RegExp(`^False PodsJoining: .*second \\(${kind}/work`))
      await start('stranger', 'two', 'api:0')
      await says(
        app,
        'Converged',
        new RegExp(`^False UnawarePod: 1 pod without .*stranger \\(${kind}/work, image api:0`),
      )
    },
  )
})

describe('what the operator may not do', () => {
  it('reading Jobs and workloads: it says which verb on what is missing, and goes back all the same', async () => {
    const { app, running, spec } = await inDualWrite('blind')
    await running.stop()
    const connection = await connectAsOperator(world.cluster, app.namespace)
    stops.push(async () => connection.close())
    const role = { name: 'keyshift' }
    const { rules } = await app.client.get<KubeObject & { rules: { resources: string[] }[] }>(CLUSTER_ROLES, role)
    const granted = rules.map(({ resources, ...rule }) => ({
      ...rule,
      resources: resources.filter((one) => one !== 'jobs' && one !== 'deployments'),
    }))
    const left = granted.filter(({ resources }) => resources.length > 0)
    await app.client.mergePatch(CLUSTER_ROLES, role, { rules: left })
    const blind = run(world, app.namespace, {}, connection)
    await says(app, 'Converged', /^Unknown WorkloadsUnknown: .*cannot get resource "deployments"/)
    await says(app, 'Ready', /^False JobsUnknown: .*cannot list resource "jobs"/)
    expect(await awaits(app)).toMatch(/^JobsUnknown: .*Role of the operator/)
    await app.apply({ ...spec, targetPhase: 'Legacy' })
    await until(async () => (await app.document())?.phase === 'Legacy')
    await app.client.mergePatch(CLUSTER_ROLES, role, { rules })
    await says(app, 'Converged', /^True/)
    await until(async () => (await app.condition('Ready'))?.reason !== 'JobsUnknown')
    expect(blind.operator.healthy()).toBeUndefined()
  })

  it('reading what it cannot do without: status says which right is missing, and goes on once it is granted', async () => {
    const app = await App.create(world, 'unnamed')
    const connection = await connectAsOperator(world.cluster, app.namespace)
    stops.push(async () => connection.close())
    const role = { name: 'keyshift-cluster' }
    const { rules } = await app.client.get<KubeObject & { rules: { resources: string[] }[] }>(CLUSTER_ROLES, role)
    const left = rules.filter(({ resources }) => !resources.includes('namespaces'))
    expect(left.length).toBeLessThan(rules.length)
    await app.client.mergePatch(CLUSTER_ROLES, role, { rules: left })
    run(world, app.namespace, {}, connection)
    await app.apply(app.spec())
    await says(app, 'Stalled', /^True KubernetesRightsMissing: .*cannot get resource "namespaces".*"kube-system"/)
    expect(await awaits(app)).toMatch(/^KubernetesRightsMissing: .*kube-system.*helm upgrade/)
    await until(async () => (await app.events()).includes('Warning KubernetesRightsMissing'))
    await app.client.mergePatch(CLUSTER_ROLES, role, { rules })
    await until(async () => (await app.document())?.epoch === 1)
    await says(app, 'Stalled', /^False/)
  })

  const forbid = async (name: string, resource: string, group: string): Promise<() => Promise<void>> => {
    const rule = { apiGroups: [group], apiVersions: ['*'], operations: ['CREATE', 'UPDATE'], resources: [resource] }
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': name } }
    await app().client.create(POLICIES, {
      metadata: { name },
      spec: {
        matchConstraints: { namespaceSelector, resourceRules: [rule] },
        validations: [{ expression: 'false', message: `nobody makes ${resource} on a Friday` }],
      },
    } as KubeObject)
    await app().client.create(BINDINGS, {
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    } as KubeObject)
    return async () => {
      await app().client.delete(BINDINGS, { name })
      await app().client.delete(POLICIES, { name })
    }
  }
  let stage: Stage
  const app = () => stage.app
  /** Policies take a moment: until one is seen at work nothing is tried. */
  const atWork = async (type: ResourceType, probe: object, namespace: string): Promise<void> => {
    await until(() =>
      app()
        .client.create(type, { metadata: { name: 'probe', namespace }, ...probe })
        .then(
          async () => {
            await app().client.delete(type, { namespace, name: 'probe' })
            return false
          },
          (error: unknown) => /on a Friday/.test(String(error)),
        ),
    )
  }

  it('making a Job that a policy denies: it stands in status until it goes through, and holds no way back', async () => {
    stage = await inDualWrite('policy-jobs')
    const allow = await forbid('policy-jobs', 'jobs', 'batch')
    const pod = { restartPolicy: 'Never', containers: [{ name: 'x', image: 'x' }] }
    await atWork(JOBS, { spec: { suspend: true, template: { spec: pod } } }, 'policy-jobs')
    await app().apply({ ...stage.spec, canaryPercentage: 100 })
    await says(
      app(),
      'Ready',
      /^False ActionRefused: CreateJob was refused: .*nobody makes jobs on a Friday.*; besides: .*verify/,
    )
    expect(await awaits(app())).toMatch(/^ActionRefused: CreateJob was refused/)
    await until(async () => (await app().events()).includes('Warning ActionRefused'))
    await allow()
    await says(app(), 'TargetReached', /^True/)
    expect(await awaits(app())).not.toMatch(/refused/)
  })

  it('writing a ConfigMap that a policy denies: it stands in status until it goes through', async () => {
    stage = await inDualWrite('policy-maps')
    const allow = await forbid('policy-maps', 'configmaps', '')
    await atWork(CONFIG_MAPS, {}, 'policy-maps')
    await app().apply({ ...stage.spec, targetPhase: 'Legacy' })
    await says(
      app(),
      'Ready',
      /^False ActionRefused: ApplyConfigMap was refused: .*nobody makes configmaps on a Friday/,
    )
    expect((await app().document())?.phase).toBe('DualWrite')
    await allow()
    await until(async () => (await app().document())?.phase === 'Legacy')
    await until(async () => !/refused/.test(await awaits(app())))
  })

  it('writing into a namespace that is going away: it says so and does nothing else; the process lives', async () => {
    stage = await inDualWrite('going')
    const { running } = stage
    // Without a namespace controller it stays like this.
    await world.cluster.kubectl(['delete', 'namespace', 'going', '--wait=false'])
    await app().client.delete(CONFIG_MAPS, { namespace: 'going', name: 'jobs-routing' })
    await says(app(), 'Ready', /^False ActionRefused: ApplyConfigMap was refused: .*because it is being terminated/)
    expect(running.operator.healthy()).toBeUndefined()
    expect(running.lines.filter((line) => line.startsWith('fatal') || line.startsWith('error'))).toEqual([])
  })
})
