import { configMapName } from '../api/resource.ts'
import { documentOf, type Scene } from './scene.ts'
import { timeMs } from './time.ts'
import type { RivalObservation } from './types.ts'
import { verdict, type Verdict } from './verdict.ts'

/**
 * Why this resource must write nothing: another one goes first for a ConfigMap or for keys that both name. First goes whose
 * record or routing document is there; where there is neither, the older one.
 */
export function heldByOther(scene: Scene): Verdict | undefined {
  const [first] = scene.observations.rivals.filter((rival) => goesFirst(scene, rival)).sort(byAge)
  if (first === undefined) return undefined
  const shared = [
    ...(first.sharesKeys ? ['the same keys in the same Redis'] : []),
    ...(first.sharesConfigMap ? [`the same ConfigMap ${configMapName(scene.resource)}`] : []),
  ]
  return verdict(
    'stalled',
    'HeldByOther',
    `JobKeyMigration ${first.owner} manages ${shared.join(' and ')}, and goes first; this one writes nothing meanwhile`,
  )
}

function goesFirst(scene: Scene, rival: RivalObservation): boolean {
  const holder = holderOf(scene, rival)
  if (holder === scene.owner) return false
  return holder === rival.owner || byAge(rival, ageOf(scene)) < 0
}

/** `namespace/name` of who is at work there already. */
function holderOf(scene: Scene, rival: RivalObservation): string | undefined {
  const { record } = scene.redis
  const { cluster, configMap } = scene.observations
  if (rival.sharesKeys && record?.cluster === cluster) return record.owner
  if (!rival.sharesConfigMap || !configMap.known) return undefined
  const name = documentOf(configMap.value.document)?.name
  return name === undefined ? undefined : `${scene.resource.metadata.namespace}/${name}`
}

type Age = Pick<RivalObservation, 'createdAt' | 'uid'>

function ageOf({ resource: { metadata } }: Scene): Age {
  return { createdAt: timeMs(metadata.creationTimestamp) ?? 0, uid: metadata.uid }
}

/** Oldest first. */
function byAge(a: Age, b: Age): number {
  return a.createdAt - b.createdAt || (a.uid < b.uid ? -1 : 1)
}
