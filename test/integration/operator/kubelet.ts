import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ensureBinaries } from '../../../hack/binaries/build.ts'
import { startChild, type Child } from '../../../hack/system/child.ts'
import { silent } from '../../../hack/system/log.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { isConflict, isNotFound } from '../../../src/kube/errors.ts'
import { PODS } from '../../../src/kube/resources.ts'
import type { Container, ContainerState, Pod } from '../../../src/kube/types.ts'
import type { TestCluster } from '../kube/control-plane.ts'
import { expectNoCrash } from './crashes.ts'
import { until } from './world.ts'

const SOURCES = join(import.meta.dirname, '../../../src')

/** Flags without which an API server of this version knows no MutatingAdmissionPolicy. */
export const MUTATING_POLICIES = [
  '--feature-gates=MutatingAdmissionPolicy=true',
  '--runtime-config=admissionregistration.k8s.io/v1beta1=true',
]

/** The real Job controller, with those that remove what is finished or has lost its owner. */
export async function startJobController(cluster: TestCluster): Promise<Child> {
  const { kube } = await ensureBinaries(['kube'], silent)
  return startChild({
    name: 'kube-controller-manager',
    command: join(kube, 'kube-controller-manager'),
    args: [
      `--kubeconfig=${cluster.kubeconfigPath}`,
      '--controllers=job-controller,ttl-after-finished-controller,garbage-collector-controller',
      '--leader-elect=false',
      '--secure-port=0',
      '--kube-api-qps=100',
      '--kube-api-burst=200',
    ],
    logFile: join(cluster.dir, 'kube-controller-manager.log'),
    diesWithParent: true,
  })
}

/** A policy that changes what is created in namespaces with this label, in force when this returns. */
export async function mutate(
  cluster: TestCluster,
  policy: { readonly label: string; readonly group: string; readonly plural: 'pods' | 'jobs'; readonly object: string },
): Promise<void> {
  const { label, group, plural, object } = policy
  const apiVersion = 'admissionregistration.k8s.io/v1beta1'
  const items = [
    {
      apiVersion,
      kind: 'MutatingAdmissionPolicy',
      metadata: { name: label },
      spec: {
        failurePolicy: 'Fail',
        reinvocationPolicy: 'Never',
        matchConstraints: {
          namespaceSelector: { matchLabels: { [label]: 'yes' } },
          resourceRules: [{ apiGroups: [group], apiVersions: ['v1'], operations: ['CREATE'], resources: [plural] }],
        },
        mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: object } }],
      },
    },
    {
      apiVersion,
      kind: 'MutatingAdmissionPolicyBinding',
      metadata: { name: label },
      spec: { policyName: label },
    },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `probe-${label}`, labels: { [label]: 'yes' } } },
  ]
  await cluster.kubectl(['apply', '--server-side', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  })
  const spec = { restartPolicy: 'Never', containers: [{ name: 'probe', image: 'probe' }] }
  const probe = {
    apiVersion: group === '' ? 'v1' : `${group}/v1`,
    kind: plural === 'pods' ? 'Pod' : 'Job',
    metadata: { name: 'probe', namespace: `probe-${label}` },
    spec: plural === 'pods' ? spec : { template: { spec } },
  }
  const asked = JSON.stringify(probe)
  const create = ['create', '--dry-run=server', '-o', 'json', '-f', '-']
  const plain = await cluster.kubectl(['create', '--dry-run=server', '-o', 'json', '-n', 'default', '-f', '-'], {
    input: asked.replace(`probe-${label}`, 'default'),
  })
  const size = (text: string): number => JSON.stringify((JSON.parse(text) as { spec: unknown }).spec).length
  await until(async () => size(await cluster.kubectl(create, { input: asked })) !== size(plain))
}

type PodStatus = NonNullable<Pod['status']>

export const EVICTED = {
  phase: 'Failed',
  reason: 'Evicted',
  message: 'The node was low on resource: memory.',
  conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }],
} as const
export const UNSCHEDULED = {
  phase: 'Pending',
  conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes fit' }],
} as const

/** Stands in for kubelet: runs the worker container of each pod as a process, and writes what becomes of it. */
export class Kubelet {
  readonly #client: KubeClient
  readonly #namespace: string
  readonly #taken = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  #output = ''
  /** Worker processes by the name of their Job, in order. */
  readonly workers = new Map<string, ChildProcess[]>()
  /** What a new pod comes to: it runs, or shows this status and is asked about again. */
  admit: (pod: Pod) => 'run' | PodStatus = () => 'run'
  /** How the other containers end once the worker has; undefined: they go on. */
  foreignExit: number | undefined
  /** Jobs whose pod is evicted with the worker that ends next. */
  readonly evicts = new Set<string>()

  constructor(client: KubeClient, namespace: string) {
    this.#client = client
    this.#namespace = namespace
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { items } = await this.#client.list<Pod>(PODS, { namespace: this.#namespace })
      for (const pod of items) {
        const uid = pod.metadata.uid ?? ''
        if (this.#taken.has(uid) || jobOf(pod) === undefined) continue
        const fate = this.admit(pod)
        if (fate === 'run') {
          this.#taken.add(uid)
          const work = this.#execute(pod, signal).finally(() => this.#running.delete(work))
          this.#running.add(work)
        } else {
          if (fate.phase === 'Failed') this.#taken.add(uid)
          await this.#show(pod, fate)
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    for (const child of [...this.workers.values()].flat()) child.kill('SIGKILL')
    await Promise.all(this.#running)
    expectNoCrash(this.#output)
  }

  async #execute(pod: Pod, signal: AbortSignal): Promise<void> {
    const containers = pod.spec?.containers ?? []
    const worker = containers.find(({ name }) => name === 'worker')
    const program = (worker?.['command'] as string[])[1]?.replace('/app/dist/app', SOURCES).replace(/js$/, 'ts') ?? ''
    const startedAt = new Date().toISOString()
    const child = spawn(process.execPath, [program], {
      env: { ...envOf(worker), KEYSHIFT_TERMINATION_LOG: '/dev/null' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    const exited = once(child, 'exit') as Promise<[number | null]>
    const job = jobOf(pod) ?? ''
    this.workers.set(job, [...(this.workers.get(job) ?? []), child])
    const states = (of: (name: string) => ContainerState) => ({
      startTime: startedAt,
      containerStatuses: containers.map(({ name, image = '' }) => ({
        name,
        image,
        imageID: '',
        ready: of(name).running !== undefined,
        restartCount: 0,
        state: of(name),
      })),
    })
    const running = { running: { startedAt } }
    await this.#show(pod, { phase: 'Running', ...states(() => running) })
    const [code] = await exited
    if (signal.aborted) return
    const exit = code ?? 137
    const ended = (exitCode: number): ContainerState => ({
      terminated: { exitCode, finishedAt: new Date().toISOString() },
    })
    if (this.evicts.delete(job)) return this.#show(pod, { ...EVICTED, ...states(() => ended(exit)) })
    const { foreignExit } = this
    const foreign = foreignExit === undefined ? running : ended(foreignExit)
    const whole = containers.length === 1 || foreignExit !== undefined
    const failed = exit !== 0 || (containers.length > 1 && foreignExit !== undefined && foreignExit !== 0)
    await this.#show(pod, {
      phase: whole ? (failed ? 'Failed' : 'Succeeded') : 'Running',
      ...states((name) => (name === 'worker' ? ended(exit) : foreign)),
    })
  }

  /** Writes the status, unless the pod is gone. */
  async #show(pod: Pod, status: PodStatus): Promise<void> {
    const ref = { namespace: this.#namespace, name: pod.metadata.name ?? '' }
    for (;;) {
      try {
        const { metadata } = await this.#client.get<Pod>(PODS, ref)
        if (metadata.uid !== pod.metadata.uid) return
        await this.#client.patchStatus(PODS, ref, status, metadata.resourceVersion ?? '')
        return
      } catch (error) {
        if (isNotFound(error)) return
        if (!isConflict(error)) throw error
      }
    }
  }
}

function jobOf(pod: Pod): string | undefined {
  return pod.metadata.ownerReferences?.find(({ kind }) => kind === 'Job')?.name
}

function envOf(container: Container | undefined): Record<string, string> {
  const env = (container?.['env'] ?? []) as { name: string; value?: string }[]
  return Object.fromEntries(env.map(({ name, value }) => [name, value ?? '']))
}
