import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import type { ConfigMap } from '../../../src/kube/types.ts'
import { openConnection, type OpenRedis } from '../../../src/operator/redis-pool.ts'
import { ROUTING_FILE } from '../../../src/protocol/document.ts'
import type { Connection } from '../../../src/redis/connection.ts'
import { isWrite, record } from './recorder.ts'

/** Before the write is sent, or after it was done and before its answer came. */
export type Moment = 'before' | 'after'

const WRITE_SCRIPTS = /^control-(?!read)/
/** Neither moves the walk. */
const ASIDE = /events|leases/

/**
 * What an operator process has of the world, until it dies at a given write: of status, record, fence, ConfigMap, Jobs. From then on
 * nothing that it asks arrives.
 */
export class Mortal {
  readonly client: KubeClient
  readonly openRedis: OpenRedis
  /** The write at which it died. */
  readonly died: Promise<string>
  /** Called with each document that it is about to publish. */
  publishing: (document: string) => Promise<void> = () => Promise.resolve()
  readonly #moment: Moment
  readonly #isLast: (place: string) => boolean
  /** The epoch of the status that it last read or wrote. */
  #epoch = 0
  #dead = false
  #die: (write: string) => void = () => undefined

  /** Dies at the first write of which `isLast` says so; it gets the write's name and epoch: `control-write-record 2`. */
  constructor(client: KubeClient, moment: Moment, isLast: (place: string) => boolean) {
    this.#moment = moment
    this.#isLast = isLast
    this.died = new Promise((resolve) => (this.#die = resolve))
    const recorder = record(client)
    recorder.around = (right, args, call) => this.#kube(right, args, () => call(args))
    this.client = recorder.client
    this.openRedis = (...args) => this.#redis(openConnection(...args))
  }

  async #kube(right: string, args: readonly unknown[], call: () => unknown): Promise<unknown> {
    const gone = () => new KubeError({ status: 0, reason: 'ConnectionFailed', message: 'the process is dead' })
    if (this.#dead) throw gone()
    if (right === 'get jobkeymigrations.keyshift.dev') {
      const resource = (await call()) as JobKeyMigration
      this.#epoch = resource.status?.epoch ?? 0
      return resource
    }
    if (!isWrite(right) || ASIDE.test(right)) return call()
    if (right.endsWith('/status')) this.#epoch = (args[2] as Status).epoch ?? this.#epoch
    return this.#write(right, gone, async () => {
      const document = right === 'patch configmaps' ? (args[1] as ConfigMap).data?.[ROUTING_FILE] : undefined
      if (document !== undefined) await this.publishing(document)
      return call()
    })
  }

  #redis(connection: Connection): Connection {
    const gone = () => new Error('the process is dead')
    const guard = (name: string, isWriting: boolean, call: () => Promise<unknown>): Promise<unknown> => {
      if (this.#dead) return Promise.reject(gone())
      return isWriting ? this.#write(name, gone, call) : call()
    }
    return new Proxy(connection, {
      get: (target, field) => {
        if (field === 'runScript')
          return (...args: Parameters<Connection['runScript']>) =>
            guard(args[0], WRITE_SCRIPTS.test(args[0]), () => target.runScript(...args))
        if (field === 'call')
          return (...args: Parameters<Connection['call']>) =>
            guard(args[0][0], args[0][0] === 'DEL', () => target.call(...args))
        const value: unknown = Reflect.get(target, field, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }

  async #write(name: string, gone: () => Error, call: () => unknown): Promise<unknown> {
    const place = `${name} ${this.#epoch}`
    const fatal = this.#isLast(place)
    if (fatal && this.#moment === 'before') return this.#end(place, gone())
    const answer = await call()
    return fatal ? this.#end(place, gone()) : answer
  }

  #end(place: string, error: Error): never {
    this.#dead = true
    this.#die(place)
    throw error
  }
}
