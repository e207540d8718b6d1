import { InvalidArgument } from './errors.ts'
import type {
  ClientOptions,
  CreateOptions,
  DequeueOptions,
  MetricsOptions,
  OperationOptions,
  WriteOptions,
} from './types.ts'
import type { TlsOptions } from '../redis/connection.ts'

/** Every name that options of type `T` have. */
type Names<T> = Readonly<Record<keyof T, true>>
type Redis = ClientOptions['redis']

export const CALL: Names<OperationOptions> = { deadlineMs: true, signal: true }
export const WRITE: Names<WriteOptions> = { ...CALL, operationId: true }
/** A read may be given the options of the writes beside it: it is safe to repeat as it is. */
export const READ: Names<OperationOptions> = WRITE
export const CREATE: Names<CreateOptions> = { ...WRITE, ttlMs: true, expiresAt: true, queue: true }
export const DEQUEUE: Names<DequeueOptions> = { ...CALL, waitMs: true, leaseMs: true }
const CLIENT: Names<ClientOptions> = {
  legacy: true,
  target: true,
  encoding: true,
  workspaceField: true,
  redis: true,
  routingDir: true,
  podUid: true,
  podName: true,
  deadlineMs: true,
  operationTtlMs: true,
  pollMs: true,
  metrics: true,
  codec: true,
  trace: true,
  log: true,
}
const REDIS: Names<Redis> = { address: true, sentinel: true, tls: true, credentials: true, Redis: true }
const SENTINEL: Names<NonNullable<Redis['sentinel']>> = {
  masterName: true,
  addresses: true,
  db: true,
  credentials: true,
}
const TLS: Names<TlsOptions> = { ca: true, cert: true, key: true, serverName: true, caFrom: true }
const METRICS: Names<MetricsOptions> = { registry: true, prefix: true, rename: true }

/**
 * The options of a call, none where there are none. A name that it does not take is a slip that would go unheard: a job
 * with `ttl` never expires, an update with `expected` compares nothing.
 * @throws InvalidArgument
 */
export function optionsOf<T extends OperationOptions>(call: string, names: Names<T>, given: T | undefined): T {
  if (given === undefined) return {} as T
  checkNames(call, given, names)
  if (given.signal !== undefined && typeof (given.signal as Partial<AbortSignal>).throwIfAborted !== 'function')
    throw new InvalidArgument(`signal of ${call} is the signal of an AbortController`)
  return given
}

/** What the constructor is given, by name and kind. @throws InvalidArgument */
export function checkClientOptions(options: ClientOptions): void {
  checkNames('createKeyshiftClient', options, CLIENT)
  const { redis, metrics, codec } = options
  if (typeof (redis as { connect?: unknown } | undefined)?.connect === 'function')
    throw new InvalidArgument('redis is no connection: the client makes its own, give redis.address or redis.sentinel')
  checkNames('redis', redis, REDIS)
  const { sentinel, tls } = redis
  if (sentinel !== undefined) checkNames('redis.sentinel', sentinel, SENTINEL)
  if (tls !== undefined && typeof tls !== 'function') checkNames('redis.tls', tls, TLS)
  if (metrics !== undefined) {
    checkNames('metrics', metrics, METRICS)
    checkMethods('metrics.registry', metrics.registry, ['getSingleMetric', 'registerMetric'])
  }
  if (codec !== undefined) checkMethods('codec', codec, ['parse', 'stringify'])
  checkFunction('redis.credentials', redis.credentials)
  checkFunction('redis.sentinel.credentials', sentinel?.credentials)
  checkFunction('redis.Redis', redis.Redis)
  checkFunction('trace', options.trace)
  checkFunction('log', options.log)
}

function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') throw new InvalidArgument(`${name} must be a function`)
}

function checkMethods(name: string, of: unknown, methods: readonly string[]): void {
  for (const method of methods)
    checkFunction(`${name}.${method}`, (of as Readonly<Record<string, unknown>> | undefined)?.[method] ?? null)
}

function checkNames(what: string, given: unknown, names: Readonly<Record<string, true>>): void {
  const takes = `it takes ${Object.keys(names).join(', ')}`
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InvalidArgument(`the options of ${what} are an object: ${takes}`)
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(names, name))
  if (unknown !== undefined) throw new InvalidArgument(`${what} has no option ${JSON.stringify(unknown)}: ${takes}`)
}
