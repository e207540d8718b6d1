#!lua flags=allow-oom
-- Ends the lease of a member that closes, and hands in the illegal ids not yet counted. Its record stays.
-- KEYS 1 lease, 2 illegal ids
-- ARGV 1 token, 2 member id, 3 new illegal ids, 4 an example
-- Answers OK
--- @include "lib/ours"
--- @include "lib/time"
ours('string', 'GET', KEYS[1])
if tonumber(ARGV[3]) > 0 then ours('hash', 'HGET', KEYS[2], 'count') end
redis.call('DEL', KEYS[1])
if tonumber(ARGV[3]) > 0 then
  redis.call('HINCRBY', KEYS[2], 'count', ARGV[3])
  redis.call('HSET', KEYS[2], 'lastAt', decimal(now_ms()), 'example', ARGV[4], 'member', ARGV[2])
end
return { ARGV[1], 'OK' }
