import type { Reason } from '../api/reasons.ts'
import { KubeError } from '../kube/errors.ts'
import { KeyshiftError, NotPrimary, Refused, SentinelFailed, TlsFailed, WrongPassword } from '../redis/errors.ts'
import { SecretMissing } from './secrets.ts'

export interface RedisTrouble {
  readonly known: false
  readonly reason: Reason
  readonly message: string
}

const NO_PRIMARY =
  'this Redis is no primary: point redis.address at the primary, or name its Sentinels in redis.sentinel'

/** What a refusal of Redis means, by its code, and what a person does about it. */
const REFUSALS: Readonly<Partial<Record<string, { readonly reason: Reason; readonly advice: string }>>> = {
  READONLY: { reason: 'RedisNotPrimary', advice: NO_PRIMARY },
  MASTERDOWN: { reason: 'RedisNotPrimary', advice: NO_PRIMARY },
  LOADING: { reason: 'RedisLoading', advice: 'Redis loads its data after a restart: wait' },
  BUSY: {
    reason: 'RedisBusy',
    advice: 'a long script that is not of Keyshift holds Redis: wait, or end it with SCRIPT KILL',
  },
  NOREPLICAS: {
    reason: 'RedisTooFewReplicas',
    advice: 'Redis has fewer replicas than min-replicas-to-write: bring them back, or lower it',
  },
  OOM: { reason: 'RedisOutOfMemory', advice: 'Redis is over its maxmemory: raise it, or free memory' },
  MISCONF: {
    reason: 'RedisCannotSave',
    advice: 'Redis takes no writes because it cannot save its data: see its log and its disk',
  },
  MAXCLIENTS: {
    reason: 'RedisTooManyClients',
    advice: 'Redis takes no more connections: raise maxclients, or close some',
  },
  NOPERM: {
    reason: 'RedisRightsMissing',
    advice: 'the Redis user lacks rights: grant what is named here, docs/redis-users.md has all of them',
  },
  NOAUTH: {
    reason: 'RedisAuthFailed',
    advice: 'Redis asks for a password: name its Secret in redis.credentialsSecretRef',
  },
}

/** Why Redis could not be read or written, as data. Anything else is a fault of the program and is thrown again. */
export function redisTrouble(error: unknown): RedisTrouble {
  const cause = error instanceof Error ? error.cause : undefined
  for (const one of [error, cause]) {
    if (one instanceof WrongPassword) return trouble('RedisAuthFailed', one.message)
    if (one instanceof SecretMissing) return trouble('SecretMissing', one.message)
    if (one instanceof NotPrimary) return trouble('RedisNotPrimary', one.message)
    if (one instanceof SentinelFailed) return trouble('RedisSentinelFailed', one.message)
    if (one instanceof TlsFailed) return trouble('RedisTlsFailed', one.message)
    if (one instanceof Refused) return refusal(one)
  }
  if (error instanceof KubeError) return trouble('SecretUnreadable', error.message)
  if (error instanceof KeyshiftError) return trouble('RedisUnreachable', error.message)
  throw error
}

function refusal({ redisCode, message }: Refused): RedisTrouble {
  const known = REFUSALS[redisCode]
  return known === undefined ? trouble('RedisRefused', message) : trouble(known.reason, `${known.advice} (${message})`)
}

function trouble(reason: Reason, message: string): RedisTrouble {
  return { known: false, reason, message }
}
