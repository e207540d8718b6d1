import type { Reason } from '../api/reasons.ts'
import { redisPlaceOf } from '../api/resource.ts'
import type { Spec } from '../api/schema.ts'
import { KubeError } from '../kube/errors.ts'
import { KeyshiftError, NotPrimary, Refused, SentinelFailed, TlsFailed, WrongPassword } from '../redis/errors.ts'
import { SecretMissing } from './secrets.ts'

export interface RedisTrouble {
  readonly known: false
  readonly reason: Reason
  readonly message: string
}

/** What a refusal of Redis means, by its code. */
const REFUSALS: Readonly<Partial<Record<string, Reason>>> = {
  READONLY: 'RedisNotPrimary',
  MASTERDOWN: 'RedisNotPrimary',
  LOADING: 'RedisLoading',
  BUSY: 'RedisBusy',
  NOREPLICAS: 'RedisTooFewReplicas',
  OOM: 'RedisOutOfMemory',
  MISCONF: 'RedisCannotSave',
  MAXCLIENTS: 'RedisTooManyClients',
  NOPERM: 'RedisRightsMissing',
  NOAUTH: 'RedisAuthFailed',
}

/**
 * Why Redis could not be read or written, as data. Anything else is a fault of the program and is thrown again.
 * @param redis of the spec: what the server itself says names neither the server nor the db
 */
export function redisTrouble(error: unknown, redis: Pick<Spec['redis'], 'address' | 'sentinel'>): RedisTrouble {
  const at = `${redisPlaceOf(redis)} (spec.redis.${redis.sentinel === undefined ? 'address' : 'sentinel'})`
  const cause = error instanceof Error ? error.cause : undefined
  for (const one of [error, cause]) {
    if (one instanceof WrongPassword) return trouble('RedisAuthFailed', `${at}: ${one.message}`)
    if (one instanceof SecretMissing) return trouble('SecretMissing', one.message)
    if (one instanceof NotPrimary) return trouble('RedisNotPrimary', one.message)
    if (one instanceof SentinelFailed) return trouble('RedisSentinelFailed', one.message)
    if (one instanceof TlsFailed) return trouble('RedisTlsFailed', one.message)
    if (one instanceof Refused) return trouble(REFUSALS[one.redisCode] ?? 'RedisRefused', `${at}: ${one.message}`)
  }
  if (error instanceof KubeError) return trouble('SecretUnreadable', error.message)
  if (error instanceof KeyshiftError) return trouble('RedisUnreachable', error.message)
  throw error
}

function trouble(reason: Reason, message: string): RedisTrouble {
  return { known: false, reason, message }
}
