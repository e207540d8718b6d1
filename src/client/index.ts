/** Keyshift client: a dual-write job store and queue over ioredis that follows the routing document of a migration. */
export { createKeyshiftClient } from './client.ts'
export type * from './types.ts'
export * from './errors.ts'
export {
  KeyshiftError,
  NotPrimary,
  NotReady,
  Refused,
  SentinelFailed,
  StaleEpoch,
  TlsFailed,
  UnknownOutcome,
  WrongPassword,
  type Retry,
} from '../redis/errors.ts'
export type { Credentials, RedisConstructor, TlsOptions } from '../redis/connection.ts'
