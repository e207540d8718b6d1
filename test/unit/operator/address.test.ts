import { formatRedisAddress, parseRedisPlace } from '../../../src/redis/address.ts'
import { resolvePrometheus, resolveRedis } from '../../../src/operator/address.ts'

const NOTHING_ELSE = { observers: [], assume: {} }

describe('an address of a spec', () => {
  const redis: readonly (readonly [string, string, string])[] = [
    ['a host without a dot is a Service of the namespace', 'redis://redis:6379/0', 'redis.app.svc'],
    ['a name with a dot stays', 'redis://redis.prod.svc:6379/1', 'redis.prod.svc'],
    ['an IPv4 address stays', 'redis://127.0.0.1:6379/0', '127.0.0.1'],
    ['an IPv6 address stays', 'redis://[fd00::1]:6379/0', 'fd00::1'],
  ]
  it.each(redis)('%s', (_, address, host) => {
    expect(resolveRedis({ ...NOTHING_ELSE, address }, 'app')).toMatchObject({ host })
  })

  it('of Sentinels is resolved likewise, each for itself', () => {
    const sentinel = { masterName: 'mymaster', addresses: ['sentinel', 's.prod.svc:1', '[fd00::1]:2'], db: 3 }
    const place = resolveRedis({ ...NOTHING_ELSE, sentinel }, 'app')
    expect(place).toEqual({
      sentinels: [
        { host: 'sentinel.app.svc', port: 26379 },
        { host: 's.prod.svc', port: 1 },
        { host: 'fd00::1', port: 2 },
      ],
      masterName: 'mymaster',
      db: 3,
    })
    expect(parseRedisPlace(formatRedisAddress(place))).toEqual(place)
  })

  it('of Prometheus keeps scheme, port and path', () => {
    expect(resolvePrometheus('http://prometheus:9090/prom/', 'app')).toBe('http://prometheus.app.svc:9090/prom')
    expect(resolvePrometheus('https://p.example/x', 'app')).toBe('https://p.example/x')
    expect(resolvePrometheus('http://[fd00::1]:9090', 'app')).toBe('http://[fd00::1]:9090')
  })
})
