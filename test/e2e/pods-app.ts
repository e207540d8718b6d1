import { manifests } from '../../demo/deploy.ts'
import type { Images } from '../../demo/target.ts'

export const NAMESPACE = 'pods'
/** A node with nobody behind it: no kubelet ever reports what it runs. */
export const GHOST = 'pods-ghost'
/** A spec that is not held by the pods of an application should the node be lost. */
const TOLERATE_A_LOST_NODE = [{ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 1 }]

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object }
  readonly spec: { readonly containers: readonly Container[]; readonly [field: string]: unknown }
}
type Container = Readonly<Record<string, unknown>>

const client = "await import('/app/examples/small-app/app.js')"
const command = (script: string) => ['node', '--input-type=module', '--eval', script]
/** Registers its client, works for a while, and ends well. */
const ENDS = command(`setTimeout(() => process.kill(process.pid, 'SIGTERM'), 4000); ${client}`)
/** Registers its client, and falls over. */
const CRASHES = command(`setTimeout(() => process.exit(3), 4000); ${client}`)

/** The small app in workloads of each kind, beside programs that know nothing of Keyshift. */
export function workloads(images: Images): readonly object[] {
  const [api] = manifests('small-app/deploy.yaml', images) as [{ spec: { template: PodTemplate } }]
  const { spec } = api.spec.template
  const [app] = spec.containers as [Container]
  const pod = (name: string, container: Container = {}, more: Container = {}): PodTemplate => ({
    metadata: { labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 2, ...spec, ...more, containers: [{ ...app, ...container }] },
  })
  const bare = {
    image: images.redis,
    command: ['redis-server', '--port', '0', '--save', ''],
    workingDir: '/tmp',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    readinessProbe: null,
  }
  const of = (kind: string, name: string, template: PodTemplate, more: object = {}): object => ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name },
    spec: { selector: { matchLabels: { app: name } }, template, ...more },
  })
  const jobs = (name: string, container: Container): object => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name },
    // Never by itself: Jobs are made from it by hand, as people do.
    spec: { schedule: '0 0 29 2 *', jobTemplate: { spec: job(name, container) } },
  })
  const job = (name: string, container: Container): object => ({
    backoffLimit: 0,
    template: pod(name, { readinessProbe: null, ...container }, { restartPolicy: 'Never' }),
  })
  return [
    of('Deployment', 'ai-api', pod('ai-api'), { replicas: 2 }),
    of('StatefulSet', 'ai-state', pod('ai-state'), { replicas: 1, serviceName: 'ai-state' }),
    of('DaemonSet', 'ai-node', pod('ai-node', {}, { nodeSelector: { 'kubernetes.io/os': 'linux' } })),
    of('Deployment', 'ai-crash', pod('ai-crash', { command: CRASHES }), { replicas: 0 }),
    of('Deployment', 'ai-old', pod('ai-old', bare), { replicas: 0 }),
    of('Deployment', 'ai-homeless', pod('ai-homeless', {}, { nodeSelector: { nowhere: 'yes' } }), { replicas: 0 }),
    of('Deployment', 'ai-ghost', pod('ai-ghost', {}, { schedulerName: 'by-hand', tolerations: TOLERATE_A_LOST_NODE }), {
      replicas: 0,
    }),
    jobs('ai-cron', { command: ENDS }),
    jobs('ai-cron-old', { ...bare, command: ['redis-server', '--version'] }),
    { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'ai-once' }, spec: job('ai-once', { command: ENDS }) },
  ]
}

const DEPLOYMENTS = ['ai-api', 'ai-crash', 'ai-old', 'ai-homeless', 'ai-ghost']

/** The resource over all of them. */
export function migration(): object {
  return {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name: 'ai-jobs' },
    spec: {
      targetPhase: 'BackfillVerify',
      keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', idWindow: '0s' },
      redis: { address: 'redis://redis:6379/0' },
      app: {
        joinTimeout: '10s',
        workloads: [
          ...DEPLOYMENTS.map((name) => ({ kind: 'Deployment', name })),
          { kind: 'StatefulSet', name: 'ai-state' },
          { kind: 'DaemonSet', name: 'ai-node' },
          { kind: 'CronJob', name: 'ai-cron' },
          { kind: 'CronJob', name: 'ai-cron-old' },
          { kind: 'Job', name: 'ai-once' },
        ],
      },
      phases: {
        dualWrite: {
          steps: [
            { percent: 10, soak: '1s' },
            { percent: 100, soak: '1s' },
          ],
        },
        readRouting: { steps: [{ percent: 100, soak: '1s' }] },
        backfillVerify: { soak: '24h' },
      },
      slo: { disabled: true },
    },
  }
}
