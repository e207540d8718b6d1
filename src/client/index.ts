/** Keyshift client: a dual-write job store and queue over ioredis that follows the routing document of a migration. */
export { createKeyshiftClient } from './client.ts'
export type * from './types.ts'
export * from './errors.ts'
export {
  KeyshiftError,
  NotPrimary,
  NotReady,
  Refused,
  StaleEpoch,
  UnknownOutcome,
  WrongPassword,
} from '../redis/errors.ts'
export type { Credentials, RedisConstructor } from '../redis/connection.ts'
