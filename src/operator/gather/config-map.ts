import type { ConfigMapObservation } from '../../decision/types.ts'
import type { ConfigMap, ManagedFieldsEntry } from '../../kube/types.ts'
import { ROUTING_FILE } from '../../protocol/document.ts'
import { FIELD_MANAGER } from '../resources.ts'

export function observeConfigMap(configMap: ConfigMap | undefined): ConfigMapObservation {
  if (configMap === undefined) return { exists: false, immutable: false }
  const document = configMap.data?.[ROUTING_FILE]
  const foreignManager = foreignManagerOf(configMap)
  return {
    exists: true,
    immutable: configMap.immutable === true,
    ...(document === undefined ? {} : { document }),
    ...(foreignManager === undefined ? {} : { foreignManager }),
  }
}

/**
 * Who last wrote routing.json, where it is not the operator. A manager that took the key away leaves no trace at the key:
 * then it is the one that wrote the object last.
 */
function foreignManagerOf(configMap: ConfigMap): string | undefined {
  const entries = configMap.metadata.managedFields ?? []
  const owners = entries.filter(ownsRouting)
  if (owners.length > 0 && owners.some(({ manager }) => manager === FIELD_MANAGER)) return undefined
  const last = (owners.length > 0 ? owners : entries)
    .filter(({ manager }) => manager !== FIELD_MANAGER)
    .reduce<ManagedFieldsEntry | undefined>(
      (newest, entry) => (newest === undefined || (entry.time ?? '') >= (newest.time ?? '') ? entry : newest),
      undefined,
    )
  return last?.manager
}

function ownsRouting({ fieldsV1 }: ManagedFieldsEntry): boolean {
  const data = fieldsV1?.['f:data'] as Readonly<Record<string, unknown>> | undefined
  return data !== undefined && `f:${ROUTING_FILE}` in data
}
