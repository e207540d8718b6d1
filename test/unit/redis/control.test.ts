import { replicasBehind } from '../../../src/redis/control.ts'

test('replicas that hold the fence up are those in full sync, and those below the offset', () => {
  const info = [
    'role:master',
    'connected_slaves:4',
    'slave0:ip=10.0.0.1,port=6379,state=online,offset=100,lag=0',
    'slave1:ip=10.0.0.2,port=6379,state=online,offset=99,lag=1',
    'slave2:ip=fd00::3,port=6380,state=wait_bgsave,offset=0,lag=0',
    'slave3:ip=redis-3.redis,port=6379,state=send_bulk,offset=0,lag=0,type=rdb-channel',
    'master_repl_offset:120',
  ].join('\r\n')
  expect(replicasBehind(info, 100)).toEqual([
    '10.0.0.2:6379 (online, lags behind)',
    '[fd00::3]:6380 (in full sync: wait_bgsave)',
    'redis-3.redis:6379 (in full sync: send_bulk)',
  ])
  expect(replicasBehind('role:master\r\nconnected_slaves:0', 100)).toEqual([])
})
