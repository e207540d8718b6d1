#!lua flags=allow-oom
-- Registers a member (again, where its record was pruned), renews its lease, and adds the illegal ids it met.
-- KEYS 1 fence, 2 members, 3 lease, 4 illegal ids
-- ARGV 1 token, 2 member id, 3 epoch, 4 hash, 5 lease ms, 6 pod UID, 7 pod name, 8 version, 9 new illegal ids, 10 an example
-- Answers OK fence(decimal, '' where absent) | NOPERM what
--- @include "lib/fence"
--- @include "lib/time"
--- @include "lib/rights"
local token, id = ARGV[1], ARGV[2]
local now = decimal(now_ms())
local lacks = missing_right({ { 'HSETNX', KEYS[2], 'a', 'b' }, { 'SET', KEYS[3], 'a', 'PX', '1' } })
if lacks then return { token, 'NOPERM', lacks } end
local known = ours('hash', 'HEXISTS', KEYS[2], id) == 1
ours('string', 'GET', KEYS[3])
if tonumber(ARGV[9]) > 0 then ours('hash', 'HGET', KEYS[4], 'count') end
if not known then
  local quoted = { podUid = ARGV[6], podName = ARGV[7], version = ARGV[8] }
  -- The number is written by hand: cjson would round it.
  local body = string.sub(cjson.encode(quoted), 1, -2)
  redis.call('HSET', KEYS[2], id, body .. ',"registeredAt":' .. now .. '}')
end
redis.call('SET', KEYS[3], '{"epoch":' .. ARGV[3] .. ',"hash":' .. cjson.encode(ARGV[4]) .. '}', 'PX', ARGV[5])
if tonumber(ARGV[9]) > 0 then
  redis.call('HINCRBY', KEYS[4], 'count', ARGV[9])
  redis.call('HSET', KEYS[4], 'lastAt', now, 'example', ARGV[10], 'member', id)
end
local fence = read_fence(KEYS[1])
return { token, 'OK', fence and decimal(fence) or '' }
