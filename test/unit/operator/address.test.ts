import { resolvePrometheus, resolveRedis } from '../../../src/operator/address.ts'

describe('an address of a spec', () => {
  const redis: readonly (readonly [string, string, string])[] = [
    ['a host without a dot is a Service of the namespace', 'redis://redis:6379/0', 'redis.app.svc'],
    ['a name with a dot stays', 'redis://redis.prod.svc:6379/1', 'redis.prod.svc'],
    ['an IPv4 address stays', 'redis://127.0.0.1:6379/0', '127.0.0.1'],
    ['an IPv6 address stays', 'redis://[fd00::1]:6379/0', 'fd00::1'],
  ]
  it.each(redis)('%s', (_, address, host) => {
    expect(resolveRedis(address, 'app').host).toBe(host)
  })

  it('of Prometheus keeps scheme, port and path', () => {
    expect(resolvePrometheus('http://prometheus:9090/prom/', 'app')).toBe('http://prometheus.app.svc:9090/prom')
    expect(resolvePrometheus('https://p.example/x', 'app')).toBe('https://p.example/x')
    expect(resolvePrometheus('http://[fd00::1]:9090', 'app')).toBe('http://[fd00::1]:9090')
  })
})
