#!lua flags=allow-oom
-- Entries in processing whose lease has ended, oldest first. Entries without a lease (their holder was no Keyshift client, or
-- a second copy was acknowledged) get one now, so that they come back too.
-- KEYS 1 fence, 2 processing, 3 leases
-- ARGV 1 token, 2 epoch, 3 lease ms, 4 limit
-- Answers OK entry lease-end, ... | NOPERM what | STALE_EPOCH fence | NO_FENCE
--- @include "lib/fence"
--- @include "lib/time"
--- @include "lib/rights"
local token = ARGV[1]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local lacks = missing_right({ { 'ZADD', KEYS[3], '1', 'a' }, { 'ZREM', KEYS[3], 'a' } })
if lacks then return { token, 'NOPERM', lacks } end
local now = now_ms()
local entries = ours('list', 'LRANGE', KEYS[2], -1000, -1)
ours('zset', 'ZSCORE', KEYS[3], '')
for _, entry in ipairs(entries) do
  if not redis.call('ZSCORE', KEYS[3], entry) then redis.call('ZADD', KEYS[3], decimal(now + tonumber(ARGV[3])), entry) end
end
local out = { token, 'OK' }
for i, item in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, ARGV[4], 'WITHSCORES')) do
  out[#out + 1] = i % 2 == 0 and decimal(tonumber(item)) or item
end
return out
