import { apply, awaitRollouts } from '../../demo/deploy.ts'
import { RedisConnection, type Command } from '../../demo/resp.ts'
import { until } from '../../hack/system/wait.ts'
import { awaitCondition, awaitMigration, events, dropNamespaces, makeApp, read, type Stand } from './support.ts'

const NAMESPACE = 'bad'
const PROMETHEUS = { address: 'http://prometheus.monitoring.svc:9090' }

interface Spec {
  readonly [field: string]: unknown
}

/** A resource over a db of its own, so that the cases do not meet, with soaks that never end by themselves. */
function migration(name: string, spec: Spec): object {
  const keys = { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', idWindow: '1s' }
  return {
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name },
    spec: {
      targetPhase: 'DualWrite',
      canaryPercentage: 10,
      keys,
      app: {
        workloads: [{ kind: 'Deployment', name: 'ai-api' }],
        joinTimeout: '10s',
        configMapName: `${name}-routing`,
      },
      slo: { prometheus: PROMETHEUS },
      ...spec,
    },
  }
}

/** What is wrong with a resource, the workload or the world around it is said in its status and Events; no data changes. */
export function badInput(stand: () => Stand): void {
  describe('bad input', () => {
    let redis: RedisConnection
    const db = (n: number) => ({ address: `redis://redis:6379/${n}` })

    const put = async (name: string, spec: Spec): Promise<void> => {
      await apply(stand().target.kubectl, NAMESPACE, [migration(name, spec)])
    }
    const remove = async (name: string): Promise<void> => {
      await stand().target.kubectl(['delete', 'jkm', name, '-n', NAMESPACE, '--ignore-not-found'])
    }
    /** Values and expiries of every job in a db, as one text. */
    const jobsIn = async (n: number): Promise<string> => {
      await redis.command('SELECT', n)
      const names = ((await redis.command('KEYS', 'ai:job:*')) as readonly Buffer[]).map(String).sort()
      const reads: Command[] = names.flatMap((key) => [
        ['DUMP', key],
        ['PEXPIRETIME', key],
      ])
      return [names.join(), ...(await redis.pipeline(reads)).map((reply) => String(reply))].join()
    }
    const seed = async (n: number): Promise<void> => {
      await redis.command('SELECT', n)
      const jobs = Array.from({ length: 50 }, (_, i) => ['HSET', `ai:job:${i}`, 'workspace_id', `w-${i % 3}`, 'v', '0'])
      await redis.pipeline(jobs)
    }

    beforeAll(async () => {
      await makeApp(stand(), NAMESPACE, ['small-app/deploy.yaml'])
      const { kubectl } = stand().target
      const rollouts = ['redis', 'ai-api'].map((deployment) => ({ namespace: NAMESPACE, deployment }))
      await awaitRollouts(kubectl, rollouts, stand().screen)
      const at = await stand().target.reach(NAMESPACE, 'redis', 6379)
      const open = () => RedisConnection.open({ ...at, db: 0 })
      redis = await until('a connection to Redis', open, { limitMs: 20_000, look: NAMESPACE })
      for (const n of [1, 2, 3, 4, 5]) await seed(n)
    }, 240_000)

    afterAll(async () => {
      redis?.close()
      await dropNamespaces(stand(), NAMESPACE, `${NAMESPACE}-other`)
    })

    it('a pod of the workload that runs an image without the client holds phase 0, named with its image', async () => {
      const { kubectl } = stand().target
      // The small app's Redis image stands for any program that knows nothing of Keyshift.
      const bare = { name: 'bare', image: stand().images.redis, command: ['redis-server', '--port', '0', '--save', ''] }
      const hardened = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }
      const labels = { app: 'bare' }
      const pod = {
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [{ ...bare, securityContext: hardened, workingDir: '/tmp' }],
      }
      const deployment = {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'bare' },
        spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } },
      }
      await apply(kubectl, NAMESPACE, [deployment])
      const before = await jobsIn(1)
      const workloads = [{ kind: 'Deployment', name: 'bare' }]
      await put('no-client', {
        redis: db(1),
        app: { workloads, joinTimeout: '5s', configMapName: 'no-client-routing' },
      })
      const name = (await kubectl(['get', 'pods', '-n', NAMESPACE, '-l', 'app=bare', '-o', 'name']))
        .trim()
        .replace('pod/', '')
      const seen = await awaitCondition(stand(), NAMESPACE, 'no-client', 'Converged', 'False', /UnawarePod/)
      const text = JSON.stringify(seen.status?.conditions)
      expect(text).toContain(name)
      expect(text).toContain(stand().images.redis)
      expect(seen.status?.phase).toBe('Legacy')
      expect(await jobsIn(1)).toBe(before)
      expect((await events(stand(), NAMESPACE, 'no-client')).join('\n')).toMatch(/UnawarePod/)
      await remove('no-client')
    }, 150_000)

    it.each([
      {
        when: 'its Secret is missing',
        name: 'no-secret',
        redis: { address: 'redis://redis:6379/2', credentialsSecretRef: { name: 'nowhere' } },
        says: /SecretMissing: .*nowhere/,
      },
      {
        when: 'its workload is missing',
        name: 'no-workload',
        redis: { address: 'redis://redis:6379/2' },
        app: { workloads: [{ kind: 'Deployment', name: 'nobody' }], configMapName: 'no-workload-routing' },
        says: /WorkloadMissing: .*nobody/,
      },
      {
        when: 'Redis is not there',
        name: 'no-redis',
        redis: { address: 'redis://nowhere:6379/2' },
        says: /RedisUnreachable: .*nowhere/,
      },
    ])(
      '$when: Ready is False and says so, with an Event, and nothing is changed',
      async ({ name, says, when: _, ...spec }) => {
        const before = await jobsIn(2)
        await put(name, spec)
        await awaitCondition(stand(), NAMESPACE, name, 'Ready', 'False', says)
        expect((await events(stand(), NAMESPACE, name)).join('\n')).toMatch(says)
        expect(await jobsIn(2)).toBe(before)
        await remove(name)
      },
      120_000,
    )

    it('a wrong password: Ready is False and says so, with an Event; the right one heals it', async () => {
      const { kubectl } = stand().target
      const secret = (password: string) => ({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'redis-auth' },
        stringData: { username: 'keyshift', password },
      })
      await redis.command('ACL', 'SETUSER', 'keyshift', 'on', '>right', '~*', '&*', '+@all')
      await apply(kubectl, NAMESPACE, [secret('wrong')])
      const before = await jobsIn(3)
      await put('wrong-password', { redis: { ...db(3), credentialsSecretRef: { name: 'redis-auth' } } })
      await awaitCondition(stand(), NAMESPACE, 'wrong-password', 'Ready', 'False', /RedisAuthFailed/)
      expect((await events(stand(), NAMESPACE, 'wrong-password')).join('\n')).toMatch(/RedisAuthFailed/)
      expect(await jobsIn(3)).toBe(before)
      await apply(kubectl, NAMESPACE, [secret('right')])
      await awaitMigration(stand(), NAMESPACE, 'wrong-password', ({ status }) => (status?.epoch ?? 0) >= 1)
      await remove('wrong-password')
    }, 180_000)

    it('Prometheus is not there: the check is an error, which holds phase 0 and rolls nothing back', async () => {
      const before = await jobsIn(4)
      const slo = { prometheus: { address: 'http://nowhere:9090' } }
      await put('no-prometheus', { redis: db(4), slo })
      const seen = await awaitCondition(stand(), NAMESPACE, 'no-prometheus', 'SLOHealthy', 'Unknown', /CheckError/)
      expect(seen.status?.phase).toBe('Legacy')
      expect(seen.status?.failed).toBeUndefined()
      expect(await jobsIn(4)).toBe(before)
      await remove('no-prometheus')
    }, 120_000)

    it('a second resource on the same keys is refused and publishes nothing, also from another namespace', async () => {
      await put('first', { redis: db(5), targetPhase: 'Legacy' })
      await awaitMigration(stand(), NAMESPACE, 'first', ({ status }) => status?.epoch === 1)
      const before = await jobsIn(5)
      const other = `${NAMESPACE}-other`
      await makeApp(stand(), other, ['small-app/deploy.yaml'])
      const second = migration('second', { redis: { address: `redis://redis.${NAMESPACE}.svc:6379/5` } })
      await apply(stand().target.kubectl, other, [second])
      const seen = await awaitCondition(stand(), other, 'second', 'Stalled', 'True', /HeldByOther: .*bad\/first/)
      expect(seen.status?.epoch ?? 0).toBe(0)
      expect((await read(stand(), NAMESPACE, 'first')).status?.epoch).toBe(1)
      expect(await jobsIn(5)).toBe(before)
    }, 150_000)
  })
}
