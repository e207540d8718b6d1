import { ANNOTATIONS, configMapName, redisPlaceOf } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import { ROUTING_FILE, type RoutingDocument } from '../protocol/document.ts'
import { orderOf } from './orders.ts'
import { isAhead, isReadable, type ReadableRecord } from './revision.ts'
import { documentOf, type Scene } from './scene.ts'

/** Which of status, record and ConfigMap is to be believed. */
export type Truth =
  /** No document and no fence anywhere. */
  | { readonly kind: 'nothing' }
  /** Status holds the document in force. `behind`: what is to be written again from it. */
  | {
      readonly kind: 'status'
      readonly document: RoutingDocument
      readonly behind: boolean
      /** An adoption that was cut short: the record of another resource or cluster gives way. */
      readonly takeOver: boolean
    }
  /** The record is ahead of status, in epoch or in revision: status is rebuilt from it. */
  | { readonly kind: 'record'; readonly document: RoutingDocument; readonly record: ReadableRecord }
  /** A person adopts this document; it is published anew as `epoch`, which lies above everything seen. */
  | { readonly kind: 'adopted'; readonly document: RoutingDocument; readonly epoch: number }
  | { readonly kind: 'conflict'; readonly message: string }

export function findTruth(scene: Scene, status: Status): Truth {
  const { record, fence } = scene.redis
  const { configMap } = scene.observations
  const own = documentOf(status.routing)
  const recorded = documentOf(record?.document)
  const mounted = configMap.known ? documentOf(configMap.value.document) : undefined
  if (own === undefined && record === undefined && fence === undefined && mounted === undefined) {
    const unread = unreadable(scene, status)
    return unread === undefined ? { kind: 'nothing' } : { kind: 'conflict', message: unread }
  }

  const contradiction = contradictionIn(scene, status, own, mounted)
  if (contradiction !== undefined) {
    const others = Math.max(record?.epoch ?? 0, mounted?.epoch ?? 0, fence ?? 0)
    if (own !== undefined && own.epoch > others && isAdopted(scene, status, own))
      return { kind: 'status', document: own, behind: true, takeOver: true }
    const highest = Math.max(own?.epoch ?? 0, others)
    // Of equal epochs the record's document counts: it is the one that workers obey.
    const [best] = [recorded, own, mounted].filter((doc) => doc !== undefined).sort((a, b) => b.epoch - a.epoch)
    if (best === undefined)
      return {
        kind: 'conflict',
        message: `${contradiction}; no routing document is left to adopt: put back the ConfigMap ${configMapName(scene.resource)}`,
      }
    if (!Number.isSafeInteger(highest + 1))
      return { kind: 'conflict', message: `${contradiction}, which is no epoch: put it right by hand` }
    const isAsked = orderOf(scene, 'adopt') === String(highest)
    // Given when nothing was to be adopted, it was refused: it does not wait for a conflict to come.
    const isStale = status.orders?.adopt === String(highest)
    if (isAsked && !isStale) return { kind: 'adopted', document: best, epoch: highest + 1 }
    return {
      kind: 'conflict',
      message: `${contradiction}; nothing is published. If this resource shall go on from ${best.phase} (epoch ${best.epoch}), annotate it ${ANNOTATIONS.adopt}: "${highest}"${isAsked ? ', after taking off the one that is there from before' : ''}`,
    }
  }
  if (recorded !== undefined && isReadable(record) && isAhead(record, status))
    return { kind: 'record', document: recorded, record }
  if (own === undefined) return { kind: 'nothing' }
  return { kind: 'status', document: own, behind: own.epoch > (record?.epoch ?? 0), takeOver: false }
}

function contradictionIn(
  scene: Scene,
  status: Status,
  own: RoutingDocument | undefined,
  mounted: RoutingDocument | undefined,
): string | undefined {
  const { record, fence } = scene.redis
  const { cluster, configMap } = scene.observations
  const epoch = Math.max(own?.epoch ?? 0, record?.epoch ?? 0)
  if (record !== undefined && record.cluster !== cluster)
    return `Redis holds the record of ${record.owner} in another cluster (${record.cluster}), at epoch ${record.epoch}`
  if (record !== undefined && record.owner !== scene.owner)
    return `these keys in this Redis database are managed by ${record.owner} (epoch ${record.epoch}): one database and pair of templates takes one resource, make sure that it is deleted before this one takes over`
  if (record?.later === true)
    return `a later version of Keyshift has written the record in Redis (epoch ${record.epoch}): run that version, this one would forget what it does not know`
  if (
    record !== undefined &&
    (own === undefined || isAhead(record, status)) &&
    (documentOf(record.document)?.epoch !== record.epoch || !isReadable(record))
  )
    return `the record in Redis (epoch ${record.epoch}) is ahead of status and cannot be read`
  if (own !== undefined && record?.epoch === own.epoch && record.hash !== own.hash)
    return `status and the record in Redis hold different documents of epoch ${own.epoch}`
  if (own !== undefined && hasMoved(scene, status) && record?.hash !== own.hash)
    return `redis.address or redis.sentinel has changed, and the Redis there does not hold the record of epoch ${own.epoch}`
  const foreign = configMap.known && configMap.value.foreignManager !== undefined
  // Somebody who puts an old document back is answered as such; an operator wrote this one.
  if (mounted !== undefined && mounted.name !== scene.name && !foreign && !isAdopted(scene, status, own))
    return `ConfigMap ${configMapName(scene.resource)} carries the routing of JobKeyMigration ${mounted.name}, epoch ${mounted.epoch}: make sure that it is deleted before this one takes over`
  if (fence !== undefined && fence > epoch) return `the fence in Redis stands at ${fence}, above epoch ${epoch}`
  if (mounted !== undefined && mounted.epoch > epoch)
    return `ConfigMap ${configMapName(scene.resource)} holds epoch ${mounted.epoch}, above epoch ${epoch}`
  return undefined
}

/** Where all that is left is a text that cannot be read, it may be of a migration on its way: nothing begins anew over it. */
function unreadable(scene: Scene, status: Status): string | undefined {
  const { configMap } = scene.observations
  const { namespace, name } = scene.resource.metadata
  if (status.routing !== undefined && status.routing !== '')
    return `status.routing cannot be read, and Redis holds no record: put one of them back, or delete the resource and apply it again to begin anew`
  const text = configMap.known ? (configMap.value.document ?? '').trim() : ''
  if (text === '' || text === '{}') return undefined
  return `ConfigMap ${configMapName(scene.resource)} holds a ${ROUTING_FILE} that cannot be read, and neither status nor Redis know of ${namespace}/${name}: put it right, or take that key out to begin anew`
}

/** The document in status is the one that the annotation asked for. */
function isAdopted(scene: Scene, { history }: Status, own: RoutingDocument | undefined): boolean {
  const last = history?.at(-1)
  if (own === undefined || last?.reason !== 'Adopted' || last.epoch !== own.epoch) return false
  return orderOf(scene, 'adopt') === String(own.epoch - 1)
}

function hasMoved(scene: Scene, status: Status): boolean {
  return status.redisSeen !== undefined && status.redisSeen.address !== redisPlaceOf(scene.spec.redis)
}
