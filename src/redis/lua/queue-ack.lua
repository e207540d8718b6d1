#!lua flags=allow-oom
-- Ends the work on an entry. Nothing is done when the lease has passed to someone else.
-- KEYS 1 fence, 2 processing, 3 leases, 4 queued, 5 depth
-- ARGV 1 token, 2 epoch, 3 entry, 4 lease end
-- Answers OK | LEASE_LOST | NOPERM what | STALE_EPOCH fence | NO_FENCE
--- @include "lib/fence"
--- @include "lib/rights"
--- @include "lib/counted-queue"
local token, entry = ARGV[1], ARGV[3]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local score = ours('zset', 'ZSCORE', KEYS[3], entry)
if not score or tonumber(score) ~= tonumber(ARGV[4]) then return { token, 'LEASE_LOST' } end
local lacks = missing_right({
  { 'LREM', KEYS[2], '1', 'a' }, { 'ZREM', KEYS[3], 'a' }, { 'HDEL', KEYS[4], 'a' }, { 'HINCRBY', KEYS[5], 'a', '1' },
  { 'HDEL', KEYS[5], 'a' },
})
if lacks then return { token, 'NOPERM', lacks } end
ours('list', 'LLEN', KEYS[2])
look_at_counts(KEYS[4], KEYS[5])
redis.call('ZREM', KEYS[3], entry)
redis.call('LREM', KEYS[2], -1, entry)
uncount_entry(KEYS[4], KEYS[5], entry)
return { token, 'OK' }
