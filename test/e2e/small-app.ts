import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { awaitRollouts } from '../../demo/deploy.ts'
import { hasArrived } from '../../demo/resource.ts'
import { RedisConnection } from '../../demo/resp.ts'
import { until } from '../../hack/system/wait.ts'
import { awaitMigration, dropNamespaces, makeApp, type Stand } from './support.ts'

const NAMESPACE = 'small'
const minimal = join(process.cwd(), 'examples/minimal.yaml')

/** An app of 30 lines goes by examples/minimal.yaml, as it stands in the design. */
export function smallApp(stand: () => Stand): void {
  describe('a small app by examples/minimal.yaml', () => {
    let redis: RedisConnection

    beforeAll(async () => {
      await makeApp(stand(), NAMESPACE, ['small-app/deploy.yaml'])
      const rollouts = ['redis', 'ai-api'].map((deployment) => ({ namespace: NAMESPACE, deployment }))
      await awaitRollouts(stand().target.kubectl, rollouts, stand().screen)
      const at = await stand().target.reach(NAMESPACE, 'redis', 6379)
      const open = () => RedisConnection.open({ ...at, db: 0 })
      redis = await until('a connection to Redis', open, { limitMs: 20_000, look: NAMESPACE })
      // The operator lists connections that may write jobs: this one looks only, and is gone before ReadRouting.
      await until('the first jobs', async () => ((await keys()).length > 20 ? true : undefined), {
        limitMs: 30_000,
        look: NAMESPACE,
      })
    }, 240_000)

    afterAll(async () => {
      redis?.close()
      await dropNamespaces(stand(), NAMESPACE)
    })

    const keys = async (): Promise<string[]> => {
      const names = (await redis.command('KEYS', 'ai:job:*')) as readonly Buffer[]
      return names.map(String)
    }
    const isTarget = (key: string): boolean => key.split(':').length === 4
    const legacyOf = (target: string): string => `ai:job:${target.split(':')[3]}`
    const value = async (key: string): Promise<string> => {
      const fields = ((await redis.command('HGETALL', key)) as readonly Buffer[]).map(String)
      const pairs = fields.flatMap((field, i) => (i % 2 === 0 ? [`${field}=${fields[i + 1]}`] : []))
      return [...pairs.sort(), await redis.command('PEXPIRETIME', key)].join(' ')
    }

    it('the file is the one that the design prints', () => {
      expect(parse(readFileSync(minimal, 'utf8'))).toEqual({
        apiVersion: 'keyshift.dev/v1alpha1',
        kind: 'JobKeyMigration',
        metadata: { name: 'ai-jobs' },
        spec: {
          targetPhase: 'DualWrite',
          canaryPercentage: 10,
          keys: { legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}' },
          redis: { address: 'redis://redis:6379/0' },
          app: { workloads: [{ kind: 'Deployment', name: 'ai-api' }] },
          slo: { prometheus: { address: 'http://prometheus.monitoring.svc:9090' } },
        },
      })
    })

    it('reaches DualWrite 10 %, with new jobs on both schemas', async () => {
      await stand().target.kubectl(['apply', '-n', NAMESPACE, '-f', minimal])
      const migration = await awaitMigration(
        stand(),
        NAMESPACE,
        'ai-jobs',
        ({ status }) => status?.phase === 'DualWrite' && status.canaryPercentage === 10,
        180_000,
      )
      expect(migration.status?.awaits).not.toBe('')
      const targets = await until(
        'jobs on the target schema',
        async () => {
          const found = (await keys()).filter(isTarget)
          return found.length >= 5 ? found : undefined
        },
        { limitMs: 60_000, look: NAMESPACE },
      )
      for (const target of targets) expect(await value(target)).toBe(await value(legacyOf(target)))
      const all = await keys()
      // A tenth of the jobs of the last seconds, and none of those before: far below a half in any case.
      expect(all.filter(isTarget).length).toBeLessThan(all.length / 4)
    }, 300_000)

    it('reaches BackfillVerify once short soaks are patched in, with every job on both schemas', async () => {
      const soak = '2s'
      const patch = {
        spec: {
          targetPhase: 'BackfillVerify',
          phases: {
            dualWrite: {
              steps: [
                { percent: 10, soak },
                { percent: 100, soak },
              ],
            },
            readRouting: { steps: [{ percent: 50, soak }] },
            backfillVerify: { soak },
          },
        },
      }
      redis.close()
      const args = ['patch', 'jkm', 'ai-jobs', '-n', NAMESPACE, '--type', 'merge', '-p', JSON.stringify(patch)]
      await stand().target.kubectl(args)
      await awaitMigration(
        stand(),
        NAMESPACE,
        'ai-jobs',
        (migration) => migration.status?.phase === 'BackfillVerify' && hasArrived(migration),
        300_000,
      )
      await stand().target.kubectl(['scale', 'deployment', 'ai-api', '-n', NAMESPACE, '--replicas', '0'])
      await stand().target.kubectl([
        'wait',
        'pod',
        '-l',
        'app=ai-api',
        '-n',
        NAMESPACE,
        '--for=delete',
        '--timeout',
        '60s',
      ])
      redis = await RedisConnection.open({ ...(await stand().target.reach(NAMESPACE, 'redis', 6379)), db: 0 })
      const all = await keys()
      const targets = new Set(all.filter(isTarget).map(legacyOf))
      const legacy = all.filter((key) => !isTarget(key))
      expect(legacy.length).toBeGreaterThan(100)
      expect(legacy.filter((key) => !targets.has(key))).toEqual([])
      expect(targets.size).toBe(legacy.length)
      for (const target of all.filter(isTarget).slice(0, 200))
        expect(await value(target)).toBe(await value(legacyOf(target)))
    }, 420_000)
  })
}
