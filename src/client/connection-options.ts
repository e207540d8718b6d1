import { parseRedisAddress, parseSentinel, type RedisPlace } from '../redis/address.ts'
import type { ConnectionOptions } from '../redis/connection.ts'
import { InvalidArgument } from './errors.ts'
import type { ClientOptions } from './types.ts'

/** What the caller says of Redis, as its connection takes it. @throws InvalidArgument, Error saying what to write instead */
export function connectionOptions(redis: ClientOptions['redis']): Omit<ConnectionOptions, 'name'> {
  const { sentinel, tls, credentials, Redis } = redis
  return {
    address: placeOf(redis),
    credentials,
    sentinelCredentials: sentinel?.credentials,
    tls: tls === undefined || typeof tls === 'function' ? tls : async () => tls,
    Redis,
  }
}

function placeOf({ address, sentinel }: ClientOptions['redis']): RedisPlace {
  if (address !== undefined && sentinel === undefined) return parseRedisAddress(address)
  if (address !== undefined || sentinel === undefined)
    throw new InvalidArgument('give either redis.address or redis.sentinel')
  const { masterName, addresses, db } = sentinel
  if (!/^[A-Za-z0-9._-]+$/.test(masterName))
    throw new InvalidArgument('redis.sentinel.masterName is the name that the Sentinels have for it, such as mymaster')
  if (!Number.isSafeInteger(db) || db < 0) throw new InvalidArgument('redis.sentinel.db must be written, for example 0')
  if (addresses.length === 0) throw new InvalidArgument('redis.sentinel.addresses must name a Sentinel')
  return { sentinels: addresses.map((text) => parseSentinel(text)), masterName, db }
}
