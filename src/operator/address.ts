import { parseRedisAddress, type RedisAddress } from '../redis/address.ts'

/**
 * The one place where hosts of a spec become hosts of the network: a host without a dot is a Service in the namespace of
 * the resource. IPv6 addresses and names with a dot stay as they are.
 */
export function resolveHost(host: string, namespace: string): string {
  return host.includes('.') || host.includes(':') ? host : `${host}.${namespace}.svc`
}

/** `redis://host:port/db` of a spec, resolved. @throws Error where the text is no address */
export function resolveRedis(text: string, namespace: string): RedisAddress {
  const address = parseRedisAddress(text)
  return { ...address, host: resolveHost(address.host, namespace) }
}

/** Base URL of Prometheus of a spec, resolved. @throws TypeError where the text is no URL */
export function resolvePrometheus(text: string, namespace: string): string {
  const url = new URL(text)
  url.hostname = resolveHost(url.hostname, namespace)
  return url.href.replace(/\/+$/, '')
}
