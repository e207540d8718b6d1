import { configMapName, keysOf, type JobKeyMigration } from '../../api/resource.ts'
import { SpecSchema } from '../../api/schema.ts'
import type { RivalObservation } from '../../decision/types.ts'
import { objectKey, refOf, type KubeObject } from '../../kube/types.ts'
import { formatRedisAddress } from '../../redis/address.ts'
import { resolveRedis } from '../address.ts'

/** What of the world a resource writes. */
interface Claims {
  /** `namespace/name` */
  readonly configMap: string
  /** Redis, db and control prefix, as one text. */
  readonly keys: string
}

/** Finds resources that would write what another one writes, among those that the operator watches. */
export class Rivals {
  readonly #all: () => readonly KubeObject[]
  /** Objects of the watch are never changed: what one claims is worked out once. */
  readonly #claims = new WeakMap<KubeObject, { readonly claims: Claims | undefined }>()

  /** `all`: the resources as last seen. */
  constructor(all: () => readonly KubeObject[]) {
    this.#all = all
  }

  of(resource: KubeObject): readonly RivalObservation[] {
    const own = this.#claimsOf(resource)
    if (own === undefined) return []
    return this.#all().flatMap((other): RivalObservation[] => {
      const { uid = '', creationTimestamp = '' } = other.metadata
      const claims = uid === resource.metadata.uid ? undefined : this.#claimsOf(other)
      const sharesConfigMap = claims?.configMap === own.configMap
      const sharesKeys = claims?.keys === own.keys
      if (!sharesConfigMap && !sharesKeys) return []
      const createdAt = Date.parse(creationTimestamp) || 0
      return [{ owner: objectKey(refOf(other)), uid, createdAt, sharesConfigMap, sharesKeys }]
    })
  }

  /** Resources (`namespace/name`) that may be held by this change, or no more. */
  touched(before: KubeObject | undefined, after: KubeObject | undefined): readonly string[] {
    const { generation, deletionTimestamp } = after?.metadata ?? {}
    const same = before?.metadata.generation === generation && before?.metadata.deletionTimestamp === deletionTimestamp
    if (same && before !== undefined) return []
    const rivals = [before, after].flatMap((object) => (object === undefined ? [] : this.of(object)))
    return [...new Set(rivals.map(({ owner }) => owner))]
  }

  #claimsOf(object: KubeObject): Claims | undefined {
    const known = this.#claims.get(object) ?? { claims: claimsOf(object as JobKeyMigration) }
    this.#claims.set(object, known)
    return known.claims
  }
}

/** Nothing where the resource is written for no more, or cannot be obeyed. */
function claimsOf({ metadata, spec }: JobKeyMigration): Claims | undefined {
  const { namespace, deletionTimestamp } = metadata
  const read = SpecSchema.safeParse(spec)
  if (deletionTimestamp !== undefined || !read.success) return undefined
  try {
    const redis = formatRedisAddress(resolveRedis(read.data.redis, namespace))
    const { controlPrefix } = keysOf(read.data).templates
    return {
      configMap: `${namespace}/${configMapName({ metadata, spec: read.data })}`,
      keys: `${redis} ${controlPrefix}`,
    }
  } catch {
    return undefined
  }
}
