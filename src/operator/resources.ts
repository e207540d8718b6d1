import { GROUP, KIND, PLURAL, VERSION } from '../api/resource.ts'
import type { ResourceType } from '../kube/types.ts'

/** Our own resource. */
export const MIGRATIONS: ResourceType = { group: GROUP, version: VERSION, plural: PLURAL, kind: KIND, namespaced: true }

export const REPLICA_SETS: ResourceType = {
  group: 'apps',
  version: 'v1',
  plural: 'replicasets',
  kind: 'ReplicaSet',
  namespaced: true,
}

/** Field manager of everything the operator writes. */
export const FIELD_MANAGER = 'keyshift'

/** Labels of the objects that the operator makes. */
export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  migration: `${GROUP}/migration`,
  kind: `${GROUP}/work`,
  attempt: `${GROUP}/attempt`,
} as const
export const MANAGED = `${LABELS.managedBy}=keyshift`
