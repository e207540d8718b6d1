import type { ResourceType } from './types.ts'

const resource = (group: string, version: string, plural: string, kind: string, namespaced = true): ResourceType =>
  Object.freeze({ group, version, plural, kind, namespaced })

export const PODS = resource('', 'v1', 'pods', 'Pod')
export const CONFIG_MAPS = resource('', 'v1', 'configmaps', 'ConfigMap')
export const SECRETS = resource('', 'v1', 'secrets', 'Secret')
export const EVENTS = resource('', 'v1', 'events', 'Event')
export const NAMESPACES = resource('', 'v1', 'namespaces', 'Namespace', false)
export const PERSISTENT_VOLUME_CLAIMS = resource('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim')
export const JOBS = resource('batch', 'v1', 'jobs', 'Job')
export const CRON_JOBS = resource('batch', 'v1', 'cronjobs', 'CronJob')
export const DEPLOYMENTS = resource('apps', 'v1', 'deployments', 'Deployment')
export const STATEFUL_SETS = resource('apps', 'v1', 'statefulsets', 'StatefulSet')
export const DAEMON_SETS = resource('apps', 'v1', 'daemonsets', 'DaemonSet')
export const LEASES = resource('coordination.k8s.io', 'v1', 'leases', 'Lease')
export const CRDS = resource(
  'apiextensions.k8s.io',
  'v1',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  false,
)

/** `v1`, `apps/v1`: what an object of this type carries as apiVersion. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`
}
