import { apply, awaitRollouts } from '../../demo/deploy.ts'
import { condition, type Migration } from '../../demo/resource.ts'
import { RedisConnection } from '../../demo/resp.ts'
import { until } from '../../hack/system/wait.ts'
import { controlKeys } from '../../src/protocol/control-keys.ts'
import { controlPrefix } from '../../src/protocol/templates.ts'
import { GHOST, migration, NAMESPACE, workloads } from './pods-app.ts'
import { awaitCondition, awaitMigration, makeApp, read, type Stand } from './support.ts'

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }
  readonly status?: { readonly phase?: string }
}

/** Pods under the real controllers, scheduler and kubelet: what they do to a walk, and what they may not do to it. */
export function podClasses(stand: () => Stand): void {
  describe('the pods of an application', () => {
    const name = 'ai-jobs'
    const kubectl = (...args: string[]) => stand().target.kubectl([...args, '-n', NAMESPACE])
    const patch = (target: string, body: object, ...more: string[]) =>
      kubectl('patch', ...target.split('/'), '--type=merge', '-p', JSON.stringify(body), ...more)
    const scale = (deployment: string, replicas: number) =>
      // As an autoscaler does.
      patch(`deployment/${deployment}`, { spec: { replicas } }, '--subresource=scale')
    const rolledOut = (deployment: string) =>
      awaitRollouts(stand().target.kubectl, [{ namespace: NAMESPACE, deployment }], stand().screen)
    const pods = async (app: string): Promise<readonly Pod[]> =>
      (JSON.parse(await kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json')) as { items: readonly Pod[] }).items
    const eventually = (wanted: (seen: Migration) => boolean, limitMs?: number) =>
      awaitMigration(stand(), NAMESPACE, name, wanted, limitMs)
    const says = (type: string, status: 'True' | 'False' | 'Unknown', text: RegExp) =>
      awaitCondition(stand(), NAMESPACE, name, type, status, text)
    const soakEnd = async () => (await read(stand(), NAMESPACE, name)).status?.soakEndsAt
    const soaksIn = (phase: string, limitMs?: number) =>
      eventually(({ status }) => status?.phase === phase && status.soakEndsAt !== undefined, limitMs)

    beforeAll(async () => {
      await makeApp(stand(), NAMESPACE, [])
      await apply(stand().target.kubectl, '', [{ apiVersion: 'v1', kind: 'Node', metadata: { name: GHOST } }])
      await apply(stand().target.kubectl, NAMESPACE, workloads(stand().images))
      await Promise.all(['redis', 'ai-api'].map(rolledOut))
    }, 180_000)

    afterAll(() => stand().target.kubectl(['delete', 'node', GHOST, '--ignore-not-found']))

    it('a quota of 0 Jobs stands in status until it is gone', async () => {
      const quota = {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'none' },
        spec: { hard: { 'count/jobs.batch': '0' } },
      }
      // One that ended before epoch 1 is no concern of the walk.
      await kubectl('create', 'job', 'before', '--from=cronjob/ai-cron-old')
      await kubectl('wait', 'job/before', 'job/ai-once', '--for=condition=Complete', '--timeout=60s')
      await apply(stand().target.kubectl, NAMESPACE, [quota])
      await kubectl('wait', 'resourcequota/none', '--for=jsonpath={.status.hard}', '--timeout=30s')
      await apply(stand().target.kubectl, NAMESPACE, [migration()])
      await says('Ready', 'False', /ActionRefused: CreateJob was refused: .*exceeded quota: none/)
      await kubectl('delete', 'resourcequota', 'none')
      await soaksIn('BackfillVerify', 120_000)
      await says('Verified', 'True', /./)
    }, 180_000)

    it('a rolling update and an autoscaler neither reset nor pause the soak', async () => {
      const before = await soakEnd()
      await scale('ai-api', 3)
      await patch('deployment/ai-api', { spec: { template: { metadata: { annotations: { rolled: 'yes' } } } } })
      await rolledOut('ai-api')
      await scale('ai-api', 1)
      await kubectl('wait', 'deployment/ai-api', '--for=jsonpath={.status.replicas}=1', '--timeout=60s')
      await says('Converged', 'True', /./)
      const { status } = await read(stand(), NAMESPACE, name)
      expect([status?.failed, status?.soakEndsAt]).toEqual([undefined, before])
    }, 180_000)

    it('an image that cannot be pulled, a crash loop, a scale to zero and back, and Jobs with the client void nothing', async () => {
      const before = await soakEnd()
      await kubectl('create', 'job', 'with-client', '--from=cronjob/ai-cron')
      await kubectl('set', 'image', 'deployment/ai-api', 'app=nowhere.invalid/ai-api:9')
      await says(
        'Converged',
        'False',
        /PodsJoining: .*ai-api-\S+ \(Deployment\/ai-api, image nowhere\.invalid\/ai-api:9; the image of container app cannot be pulled/,
      )
      await kubectl('rollout', 'undo', 'deployment/ai-api')
      await scale('ai-crash', 1)
      // Its client registers each time before it falls over.
      const restarts = 'jsonpath={.items[0].status.containerStatuses[0].restartCount}'
      await until(
        'a crash',
        async () => Number(await kubectl('get', 'pods', '-l', 'app=ai-crash', '-o', restarts)) > 0 || undefined,
        {
          limitMs: 60_000,
          look: NAMESPACE,
        },
      )
      await scale('ai-crash', 0)
      await scale('ai-api', 0)
      await kubectl('wait', 'pod', '-l', 'app in (ai-api, ai-crash)', '--for=delete', '--timeout=60s')
      await scale('ai-api', 2)
      await rolledOut('ai-api')
      await kubectl('wait', 'job/with-client', '--for=condition=Complete', '--timeout=60s')
      await says('Converged', 'True', /./)
      const { status } = await read(stand(), NAMESPACE, name)
      expect([status?.failed, status?.soakEndsAt]).toEqual([undefined, before])
    }, 240_000)

    it('a pod of an old image in phase 3 voids what was proven and goes back; without it and answered, the walk goes on', async () => {
      await scale('ai-old', 1)
      const gone = await eventually(({ status }) => status?.failed !== undefined)
      const [old] = await pods('ai-old')
      expect(gone.status?.failed).toMatchObject({
        reason: 'UnawarePod',
        phase: 'BackfillVerify',
        destination: 'DualWrite',
      })
      await eventually(({ status }) => status?.phase === 'DualWrite' && status.canaryPercentage === 100)
      const stalled = await says('Stalled', 'True', /UnawarePod/)
      expect(condition(stalled, 'Verified')?.status).toBe('False')
      for (const word of [old?.metadata.name ?? '', stand().images.redis])
        expect(stalled.status?.awaits).toContain(word)
      await scale('ai-old', 0)
      await kubectl('wait', 'pod', '-l', 'app=ai-old', '--for=delete', '--timeout=60s')
      await says('Converged', 'True', /./)
      // It is latched: only a person lets it go on.
      expect((await read(stand(), NAMESPACE, name)).status).toMatchObject({ phase: 'DualWrite' })
      await kubectl('annotate', 'jkm', name, 'keyshift.dev/retry=1')
      await soaksIn('BackfillVerify', 120_000)
      await says('Verified', 'True', /./)
    }, 240_000)

    it('a rollback waits for no pod that is stuck, however long joinTimeout is', async () => {
      // On a node that nobody runs: one whose client had registered, one that never started.
      await scale('ai-ghost', 2)
      const [first, second] = await eventuallyTwo(() => pods('ai-ghost'))
      for (const { metadata } of [first, second]) await bind(metadata.name)
      await startByHand(first)
      // Its node is dead, so that it is told to go and does not.
      await kubectl(
        'wait',
        `pod/${first.metadata.name}`,
        '--for=jsonpath={.metadata.deletionTimestamp}',
        '--timeout=90s',
      )
      const [held] = await pods('ai-api')
      await patch(`pod/${held?.metadata.name}`, { metadata: { finalizers: ['example.com/held'] } })
      await kubectl('delete', 'pod', held?.metadata.name ?? '', '--wait=false')
      await kubectl('set', 'image', 'deployment/ai-api', 'app=nowhere.invalid/ai-api:9')
      for (const app of ['ai-crash', 'ai-homeless', 'ai-old']) await scale(app, 1)
      await says('Converged', 'False', /./)
      await patch(`jkm/${name}`, { spec: { targetPhase: 'Legacy', app: { joinTimeout: '1h' } } })
      const { status } = await eventually(({ status }) => status?.phase === 'Legacy', 90_000)
      expect(status?.failed).toBeUndefined()
    }, 300_000)

    it('Legacy says which pod is stuck, and why; what is put right and a node that is deleted leave nothing', async () => {
      await says('Converged', 'False', /ai-\S+ \(Deployment\/ai-/)
      await kubectl('rollout', 'undo', 'deployment/ai-api')
      for (const app of ['ai-crash', 'ai-homeless', 'ai-old']) await scale(app, 0)
      await says('Converged', 'False', /ai-ghost-\S+ \(.*; being deleted: .*delete the node/)
      await stand().target.kubectl(['delete', 'node', GHOST])
      await scale('ai-ghost', 0)
      await kubectl('wait', 'pod', '-l', 'app=ai-ghost', '--for=delete', '--timeout=120s')
      // One whose containers have ended holds nothing, though its finalizer keeps it in every list.
      await says('Converged', 'True', /./)
      const held = (await pods('ai-api')).find(({ metadata }) => metadata.deletionTimestamp !== undefined)
      await patch(`pod/${held?.metadata.name}`, { metadata: { finalizers: null } })
    }, 300_000)

    it('a namespace that goes takes the resource with it, and nothing holds it', async () => {
      await stand().target.kubectl(['delete', 'namespace', NAMESPACE, '--wait=false'])
      await kubectl('wait', `jkm/${name}`, '--for=delete', '--timeout=90s')
      await stand().target.kubectl(['wait', `namespace/${NAMESPACE}`, '--for=delete', '--timeout=120s'])
    }, 240_000)

    const eventuallyTwo = async (look: () => Promise<readonly Pod[]>): Promise<readonly [Pod, Pod]> => {
      await kubectl('wait', 'deployment/ai-ghost', '--for=jsonpath={.status.replicas}=2', '--timeout=30s')
      const [first, second] = await look()
      if (first === undefined || second === undefined) throw new Error('ai-ghost has no two pods')
      return [first, second]
    }

    const bind = async (pod: string) => {
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: pod, namespace: NAMESPACE },
        target: { kind: 'Node', name: GHOST },
      }
      const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}/binding`
      await stand().target.kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(binding) })
    }

    /** What a kubelet and a client would have said before the node was lost. */
    const startByHand = async ({ metadata }: Pod) => {
      const at = new Date().toISOString()
      const running = {
        name: 'app',
        ready: true,
        restartCount: 0,
        image: 'x',
        imageID: '',
        state: { running: { startedAt: at } },
      }
      const status = { phase: 'Running', startTime: at, containerStatuses: [running] }
      await patch(`pod/${metadata.name}`, { status }, '--subresource=status')
      const keys = controlKeys(controlPrefix('ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}'))
      const member = { podUid: metadata.uid, podName: metadata.name, version: '0.1.0', registeredAt: Date.now() }
      const redis = await RedisConnection.open({ ...(await stand().target.reach(NAMESPACE, 'redis', 6379)), db: 0 })
      await redis.command('HSET', keys.members, `${metadata.name}-1`, JSON.stringify(member))
      redis.close()
    }
  })
}
