import type { Spec } from '../api/schema.ts'
import { CONNECTION_NAME } from '../protocol/control-keys.ts'
import { Connection, formatRedisAddress, type ConnectionOptions, type ConnectionState } from '../redis/connection.ts'
import { resolveRedis } from './address.ts'
import { RedisSecrets } from './redis-secrets.ts'
import type { SecretReader } from './secrets.ts'

type OpenOptions = Pick<ConnectionOptions, 'address' | 'credentials' | 'sentinelCredentials' | 'tls'>

interface Entry {
  readonly connection: Connection
  /** Versions of the Secrets that it last connected with, by name. */
  readonly versions: Map<string, string>
  readonly users: Set<string>
}

/** One connection for each address and Secret, shared by the resources that name the same. */
export class RedisPool {
  readonly #secrets: SecretReader
  readonly #onChange: (user: string) => void
  readonly #open: OpenRedis
  readonly #entries = new Map<string, Entry>()

  /** `onChange` gets each resource whose connection was lost, or is there again: the next look may be minutes away. */
  constructor(secrets: SecretReader, onChange: (user: string) => void, open: OpenRedis = openConnection) {
    this.#secrets = secrets
    this.#onChange = onChange
    this.#open = open
  }

  /**
   * The connection for a resource (`namespace/name`); it need not be up. A changed Secret gives a new one.
   * @throws SecretMissing, KubeError
   */
  async connectionFor(user: string, namespace: string, redis: Spec['redis']): Promise<Connection> {
    const address = resolveRedis(redis, namespace)
    const secrets = new RedisSecrets(this.#secrets, namespace, redis)
    const versions = await secrets.versions()
    const refs = [redis.credentialsSecretRef, redis.sentinel?.credentialsSecretRef, redis.tls]
    const key = JSON.stringify([formatRedisAddress(address), versions.size === 0 ? '' : namespace, refs])
    // From here on without waiting: another pass that shares the entry must not open a second one beside it.
    this.#release(user, key)
    const known = this.#entries.get(key)
    if (known !== undefined && [...versions].every(([name, version]) => known.versions.get(name) === version)) {
      known.users.add(user)
      return known.connection
    }
    // One that has found the new Secret by itself is not closed for it.
    const providers = secrets.providers((name, version) => entry.versions.set(name, version))
    const connection = this.#open({ address, ...providers })
    const entry: Entry = { connection, versions: new Map(versions), users: new Set([...(known?.users ?? []), user]) }
    this.#entries.set(key, entry)
    this.#watch(entry)
    void known?.connection.close()
    return connection
  }

  /** The resource is gone. */
  forget(user: string): void {
    this.#release(user, '')
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ connection }) => connection.close()))
    this.#entries.clear()
  }

  #watch({ connection, users }: Entry): void {
    let wasUp = false
    connection.onState((state) => {
      const isUp = state === 'ready'
      if (isUp === wasUp || state === 'closed') return
      wasUp = isUp
      for (const user of users) this.#onChange(user)
    })
  }

  #release(user: string, keep: string): void {
    for (const [key, entry] of this.#entries) {
      if (key === keep || !entry.users.delete(user) || entry.users.size > 0) continue
      this.#entries.delete(key)
      void entry.connection.close()
    }
  }
}

/**
 * Resolves when the connection is up. One that has just failed is told at once: it goes on trying by itself, and a pass must not
 * wait for it. @throws NotReady with the cause
 */
export async function usable(connection: Connection, limitMs: number): Promise<void> {
  connection.connect()
  const tried = new Promise<void>((resolve) => {
    const settled = (state: ConnectionState): boolean => state !== 'connecting' && state !== 'idle'
    if (settled(connection.state)) return resolve()
    const remove = connection.onState((state) => {
      if (!settled(state)) return
      remove()
      resolve()
    })
  })
  await Promise.race([tried, connection.ready({ deadlineMs: limitMs })])
  await connection.ready({ deadlineMs: 1 })
}

/** Opens the operator's connection to a Redis. */
export type OpenRedis = (options: OpenOptions) => Connection

export const openConnection: OpenRedis = (options) =>
  new Connection({ ...options, name: CONNECTION_NAME.operator, connectTimeoutMs: 5000 })
