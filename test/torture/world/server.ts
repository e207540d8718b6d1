import { join } from 'node:path'
import { RedisConnection } from '../../../demo/resp.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { until } from '../../../hack/system/wait.ts'

// Every write is on disk before it is answered: what a kill takes, nobody was told of.
const AOF = [
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
  '--maxmemory',
  '512mb',
  '--maxmemory-policy',
  'noeviction',
]

/** The one Redis of a torture. */
export class Server {
  readonly #dir: string
  #redis: LocalRedis

  private constructor(dir: string, redis: LocalRedis) {
    this.#dir = dir
    this.#redis = redis
  }

  static async start(dir: string): Promise<Server> {
    const folder = join(dir, 'redis')
    return new Server(folder, await startRedis({ dir: folder, args: AOF }))
  }

  get port(): number {
    return this.#redis.port
  }

  /** Ends it as a crash does, and starts it again on the same data. */
  async crash(awayMs: number): Promise<void> {
    await this.#redis.stop('KILL')
    await new Promise((resolve) => setTimeout(resolve, awayMs))
    this.#redis = await startRedis({ dir: this.#dir, args: AOF, port: this.port })
  }

  pause(): void {
    process.kill(this.#redis.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.#redis.pid, 'SIGCONT')
  }

  /** A plain connection, once it answers. */
  async connect(): Promise<RedisConnection> {
    return until('a connection to Redis', () => RedisConnection.open({ host: '127.0.0.1', port: this.port, db: 0 }), {
      limitMs: 30_000,
      everyMs: 50,
      look: this.#redis.logFile,
    })
  }

  async stop(): Promise<void> {
    await this.#redis.stop('KILL')
  }
}
