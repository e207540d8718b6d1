import { redisPlaceOf } from '../api/resource.ts'
import type { Spec } from '../api/schema.ts'
import { isSentinelGroup, parseRedisPlace, type HostPort, type RedisPlace } from '../redis/address.ts'

/**
 * The one place where hosts of a spec become hosts of the network: a host without a dot is a Service in the namespace of
 * the resource. IPv6 addresses and names with a dot stay as they are.
 */
export function resolveHost(host: string, namespace: string): string {
  return host.includes('.') || host.includes(':') ? host : `${host}.${namespace}.svc`
}

/** Where the Redis of a spec is, resolved. @throws Error where a text is no address */
export function resolveRedis(redis: Spec['redis'], namespace: string): RedisPlace {
  const place = parseRedisPlace(redisPlaceOf(redis))
  const resolved = <T extends HostPort>(end: T): T => ({ ...end, host: resolveHost(end.host, namespace) })
  return isSentinelGroup(place) ? { ...place, sentinels: place.sentinels.map(resolved) } : resolved(place)
}

/** Base URL of Prometheus of a spec, resolved. @throws TypeError where the text is no URL */
export function resolvePrometheus(text: string, namespace: string): string {
  const url = new URL(text)
  url.hostname = resolveHost(url.hostname, namespace)
  return url.href.replace(/\/+$/, '')
}
