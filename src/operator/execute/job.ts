import { API_VERSION, KIND, type JobKeyMigration } from '../../api/resource.ts'
import type { Job } from '../../kube/types.ts'
import { WORK_ENV, type WorkKind, type WorkSpec } from '../../protocol/work.ts'
import { WORKER_CONTAINER } from '../gather/jobs.ts'
import { LABELS } from '../resources.ts'
import { mountedSecrets } from './job-secrets.ts'

export interface JobInput {
  readonly resource: JobKeyMigration
  readonly work: WorkSpec
  readonly attempt: number
  readonly suspend: boolean
  readonly image: string
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
}

const HOUR_S = 3600
/** Longest life of a Job, retries included. Work resumes from its checkpoint, so a new attempt loses nothing. */
const DEADLINE_S: Readonly<Record<WorkKind, number>> = {
  preflight: 6 * HOUR_S,
  purge: 24 * HOUR_S,
  backfill: 14 * 24 * HOUR_S,
  verify: 3 * 24 * HOUR_S,
  repair: 3 * 24 * HOUR_S,
}

/** The worker Job of one attempt. Its name is settled by the decision, so that AlreadyExists means done. */
export function buildJob(input: JobInput): Job {
  const { resource, work, attempt, suspend, image, pullPolicy } = input
  const { name, namespace, uid } = resource.metadata
  const labels = {
    [LABELS.managedBy]: 'keyshift',
    [LABELS.migration]: name,
    [LABELS.kind]: work.kind,
    [LABELS.attempt]: String(attempt),
  }
  const { volumeMounts, volumes } = mountedSecrets(resource.spec.redis)
  return {
    metadata: {
      name: work.jobName,
      namespace,
      labels,
      // No blockOwnerDeletion: it would need the right to set finalizers on our resource.
      ownerReferences: [{ apiVersion: API_VERSION, kind: KIND, name, uid, controller: true }],
    },
    spec: {
      suspend,
      backoffLimit: 6,
      // An eviction, a drain or a preemption is no fault of the work and uses up no try.
      podFailurePolicy: {
        rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }],
      },
      activeDeadlineSeconds: DEADLINE_S[work.kind],
      // Long enough to be read after a weekend; the result itself lives in Redis.
      ttlSecondsAfterFinished: 3 * 24 * HOUR_S,
      template: {
        metadata: {
          labels: {
            ...labels,
            // A mesh sidecar would keep the pod running for ever.
            'sidecar.istio.io/inject': 'false',
            'kuma.io/sidecar-injection': 'disabled',
          },
          annotations: {
            'sidecar.istio.io/inject': 'false',
            'linkerd.io/inject': 'disabled',
            'consul.hashicorp.com/connect-inject': 'false',
            'cluster-autoscaler.kubernetes.io/safe-to-evict': 'true',
          },
        },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            fsGroup: 65532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: WORKER_CONTAINER,
              image,
              imagePullPolicy: pullPolicy,
              command: ['node', '/app/dist/app/worker/main.js'],
              env: [{ name: WORK_ENV, value: JSON.stringify(work) }],
              resources: resource.spec.worker.resources,
              terminationMessagePolicy: 'FallbackToLogsOnError',
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              ...(volumeMounts.length === 0 ? {} : { volumeMounts }),
            },
          ],
          ...(volumes.length === 0 ? {} : { volumes }),
        },
      },
    },
  }
}
