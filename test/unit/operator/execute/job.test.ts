import { buildJob } from '../../../../src/operator/execute/job.ts'
import { observeJobs } from '../../../../src/operator/gather/jobs.ts'
import { WORK_KINDS } from '../../../../src/protocol/work.ts'
import { resource, work } from '../objects.ts'

const build = (changes: Partial<Parameters<typeof buildJob>[0]> = {}) =>
  buildJob({
    resource: resource(),
    work: work(),
    attempt: 3,
    suspend: false,
    image: 'keyshift:1',
    pullPolicy: 'IfNotPresent',
    ...changes,
  })
type Fields = Record<string, unknown>
const podOf = (job: ReturnType<typeof build>) => job.spec?.template.spec as unknown as Fields & { containers: Fields[] }

describe('a worker Job', () => {
  it('belongs to its resource, under the name that the decision gave it', () => {
    expect(build().metadata).toMatchObject({
      name: 'jobs-preflight-1',
      namespace: 'app',
      ownerReferences: [{ kind: 'JobKeyMigration', name: 'jobs', uid: 'uid-1', controller: true }],
    })
  })

  it('reads back as what it was made for', () => {
    for (const kind of WORK_KINDS) {
      const made = build({ work: work({ kind }) })
      expect(observeJobs([made], [], 'uid-1', 0)).toMatchObject([
        { kind, attempt: 3, state: 'Active', suspended: false },
      ])
    }
    expect(observeJobs([build({ suspend: true })], [], 'uid-1', 0)).toMatchObject([{ suspended: true }])
  })

  it('runs the worker of the image with its work, and nothing else of the cluster', () => {
    const pod = podOf(build())
    expect(pod.containers).toHaveLength(1)
    expect(pod.containers[0]).toMatchObject({
      image: 'keyshift:1',
      imagePullPolicy: 'IfNotPresent',
      command: ['node', '/app/dist/app/worker/main.js'],
    })
    expect(pod.containers[0]?.['env']).toEqual([{ name: 'KEYSHIFT_WORK', value: JSON.stringify(work()) }])
    expect(pod).toMatchObject({ automountServiceAccountToken: false, restartPolicy: 'Never' })
    expect(pod['volumes']).toBeUndefined()
  })

  it('meets the Pod Security level restricted, with a read-only root', () => {
    const pod = podOf(build())
    expect(pod['securityContext']).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(pod.containers[0]?.['securityContext']).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  })

  it('gets the Redis Secret as files, where there is one', () => {
    const pod = podOf(
      build({
        resource: resource({ spec: { redis: { address: 'redis://r:1/0', credentialsSecretRef: { name: 'auth' } } } }),
      }),
    )
    expect(pod['volumes']).toMatchObject([{ secret: { secretName: 'auth', defaultMode: 0o440 } }])
    expect(pod.containers[0]?.['volumeMounts']).toMatchObject([
      { mountPath: '/var/run/keyshift/redis', readOnly: true },
    ])
    expect(JSON.stringify(pod.containers[0]?.['env'])).not.toContain('auth')
  })

  it('gets the Secrets of Sentinels and of TLS as files, the CA under one name whatever its key', () => {
    const redis = {
      sentinel: { masterName: 'm', addresses: ['s'], db: 0, credentialsSecretRef: { name: 'sentinel-auth' } },
      tls: { caSecretRef: { name: 'ca', key: 'root.pem' }, clientCertSecretRef: { name: 'cert' } },
    }
    const pod = podOf(build({ resource: resource({ spec: { redis } }) }))
    expect(pod['volumes']).toMatchObject([
      { secret: { secretName: 'sentinel-auth' } },
      { secret: { secretName: 'ca', items: [{ key: 'root.pem', path: 'ca.crt' }] } },
      { secret: { secretName: 'cert' } },
    ])
    expect(pod.containers[0]?.['volumeMounts']).toMatchObject([
      { mountPath: '/var/run/keyshift/sentinel' },
      { mountPath: '/var/run/keyshift/redis-ca' },
      { mountPath: '/var/run/keyshift/redis-cert' },
    ])
  })

  it('ends: a deadline, a bound on retries, and a life after the end that is long enough to be read', () => {
    const { spec } = build()
    expect(spec?.['activeDeadlineSeconds']).toBeGreaterThan(0)
    expect(spec?.backoffLimit).toBeGreaterThan(0)
    expect(spec?.ttlSecondsAfterFinished).toBeGreaterThanOrEqual(86_400)
  })

  it('keeps sidecars out (O8)', () => {
    expect(build().spec?.template.metadata?.labels).toMatchObject({ 'sidecar.istio.io/inject': 'false' })
    expect(build().spec?.template.metadata?.annotations).toMatchObject({ 'linkerd.io/inject': 'disabled' })
  })

  it('takes its resources from the spec', () => {
    const resources = { limits: { memory: '1Gi' }, requests: { cpu: '1' } }
    expect(
      podOf(build({ resource: resource({ spec: { worker: { resources } } }) })).containers[0]?.['resources'],
    ).toEqual(resources)
  })
})
