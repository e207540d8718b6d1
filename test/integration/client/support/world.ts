import {
  createKeyshiftClient,
  type ClientOptions,
  type Encoding,
  type KeyshiftClient,
} from '../../../../src/client/index.ts'
import type { RoutingDocument } from '../../../../src/protocol/document.ts'
import { legacyKey, targetKey } from '../../../../src/protocol/templates.ts'
import { startTestRedis, type TestRedis } from '../../redis/support/redis.ts'
import { KEYS, LEGACY, MountedDir, TARGET, TEMPLATES } from './routing.ts'

/** What is stored under one key: null where nothing is. */
export type Stored = { readonly type: string; readonly value: unknown; readonly expiresAt: number } | null

/** A Redis, a mounted directory, and clients of them; everything ends with `stop`. */
export class World {
  readonly redis: TestRedis
  readonly dir = new MountedDir()
  readonly #clients: { close(): Promise<void> }[] = []

  constructor(redis: TestRedis) {
    this.redis = redis
  }

  static async start(args: readonly string[] = []): Promise<World> {
    return new World(await startTestRedis(args))
  }

  client<E extends Encoding>(encoding: E, more: Partial<ClientOptions<E>> = {}): KeyshiftClient<E> {
    const client = createKeyshiftClient({
      legacy: LEGACY,
      target: TARGET,
      encoding,
      redis: { address: this.redis.address },
      routingDir: this.dir.path,
      podUid: 'pod-1',
      podName: 'api-1',
      pollMs: 50,
      ...more,
    })
    this.#clients.push(client)
    return client
  }

  /** The directory and the fence as the operator leaves them once `doc` runs everywhere. */
  async settle(doc: RoutingDocument): Promise<void> {
    this.dir.publish(doc)
    await this.redis.raw.set(KEYS.fence, String(doc.epoch))
  }

  /** A client that is ready under `doc` where all is settled; undefined: an unmanaged one. */
  async follow<E extends Encoding>(
    encoding: E,
    doc: RoutingDocument | undefined,
    more: Partial<ClientOptions<E>> = {},
  ): Promise<KeyshiftClient<E>> {
    if (doc === undefined) this.dir.swap(undefined)
    else await this.settle(doc)
    const client = this.client(encoding, more)
    await client.ready()
    return client
  }

  async closeClients(): Promise<void> {
    for (const client of this.#clients.splice(0)) await client.close()
  }

  async stop(): Promise<void> {
    await this.closeClients()
    await this.redis.stop()
    this.dir.remove()
  }

  async stored(key: string): Promise<Stored> {
    const { raw } = this.redis
    const type = await raw.type(key)
    if (type === 'none') return null
    const value = type === 'hash' ? await raw.hgetall(key) : type === 'string' ? await raw.get(key) : type
    return { type, value, expiresAt: Number(await raw.call('PEXPIRETIME', key)) }
  }

  /** Both keys of a job. */
  async pair(workspaceId: string, jobId: string): Promise<{ legacy: Stored; target: Stored }> {
    return {
      legacy: await this.stored(legacyKey(TEMPLATES, jobId)),
      target: await this.stored(targetKey(TEMPLATES, workspaceId, jobId)),
    }
  }
}
