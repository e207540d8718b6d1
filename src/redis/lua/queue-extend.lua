#!lua flags=allow-oom
-- Prolongs the lease of an entry that is still held.
-- KEYS 1 fence, 2 leases
-- ARGV 1 token, 2 epoch, 3 entry, 4 lease end, 5 lease ms from now
-- Answers OK lease-end | LEASE_LOST | STALE_EPOCH fence | NO_FENCE
--- @include "lib/fence"
--- @include "lib/time"
local token, entry = ARGV[1], ARGV[3]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local score = ours('zset', 'ZSCORE', KEYS[2], entry)
if not score or tonumber(score) ~= tonumber(ARGV[4]) then return { token, 'LEASE_LOST' } end
local lease_end = decimal(now_ms() + tonumber(ARGV[5]))
redis.call('ZADD', KEYS[2], lease_end, entry)
return { token, 'OK', lease_end }
