import type { Redis } from 'ioredis'

/** Makes a key of each type that Redis has. */
export const keysOfEachType = (redis: () => Redis): Readonly<Record<string, (key: string) => Promise<unknown>>> => ({
  string: (key) => redis().set(key, 'x'),
  hash: (key) => redis().hset(key, 'x', 'y'),
  list: (key) => redis().rpush(key, 'x'),
  set: (key) => redis().sadd(key, 'x'),
  zset: (key) => redis().zadd(key, 1, 'x'),
  stream: (key) => redis().xadd(key, '*', 'x', 'y'),
})
