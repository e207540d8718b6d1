import { isForbidden, isNotFound } from '../kube/errors.ts'
import type { KubeClient } from '../kube/client.ts'
import { SECRETS } from '../kube/resources.ts'
import type { Secret } from '../kube/types.ts'
import type { Clock } from '../runtime/clock.ts'

/** Thrown where a Secret or a key in it cannot be had; the message names it and says what to do. */
export class SecretMissing extends Error {
  override readonly name = 'SecretMissing'
}

export interface SecretValues {
  /** Changes with the Secret. */
  readonly version: string
  /** Value of a key, undefined when the Secret has no such key. `open`: it is no secret, so log lines may show it. */
  get(key: string, kind?: 'open'): string | undefined
}

/** A changed Secret is seen within this time, a refused one at once, ms. */
const FRESH_MS = 30_000

/** Reads Secrets by name and keeps them for half a minute. */
export class SecretReader {
  readonly #client: Pick<KubeClient, 'get'>
  readonly #clock: Clock
  readonly #onValue: (value: string) => void
  readonly #known = new Map<string, { readonly at: number; readonly values: SecretValues }>()

  /** `onValue` gets every value used, so that the log can take it out of its lines. */
  constructor(client: Pick<KubeClient, 'get'>, clock: Clock, onValue: (value: string) => void) {
    this.#client = client
    this.#clock = clock
    this.#onValue = onValue
  }

  /** `fresh: true` asks the API server whatever is kept: what was read before has been refused. @throws SecretMissing, KubeError */
  async read(namespace: string, name: string, fresh = false): Promise<SecretValues> {
    const key = `${namespace}/${name}`
    const known = this.#known.get(key)
    const now = this.#clock.monotonic()
    if (!fresh && known !== undefined && now - known.at < FRESH_MS) return known.values
    const values = await this.#fetch(namespace, name)
    this.#known.set(key, { at: now, values })
    return values
  }

  async #fetch(namespace: string, name: string): Promise<SecretValues> {
    try {
      const secret = await this.#client.get<Secret>(SECRETS, { namespace, name })
      const data = Object.entries(secret.data ?? {})
      const texts = new Map(data.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]))
      const version = `${secret.metadata.uid ?? ''}/${secret.metadata.resourceVersion ?? ''}`
      return {
        version,
        get: (key, kind) => {
          const value = texts.get(key)
          // Only what is used: the rest may be a host or a db, which log lines should show.
          if (value !== undefined && kind !== 'open') this.#onValue(value)
          return value
        },
      }
    } catch (error) {
      this.#known.delete(`${namespace}/${name}`)
      if (isNotFound(error)) throw new SecretMissing(`Secret ${name} does not exist in namespace ${namespace}`)
      if (isForbidden(error))
        throw new SecretMissing(`the operator may not read Secret ${name} in namespace ${namespace}: check its Role`)
      throw error
    }
  }
}
