#!lua
-- First half of dequeue: moves the oldest entry to the processing list and gives it a lease.
-- KEYS 1 fence, 2 queue, 3 processing, 4 leases
-- ARGV 1 token, 2 epoch, 3 lease ms
-- Answers OK entry lease-end | EMPTY | QUEUE type (not a list) | NOPERM what | STALE_EPOCH fence | NO_FENCE
--- @include "lib/fence"
--- @include "lib/time"
--- @include "lib/rights"
--- @include "lib/counted-queue"
local token = ARGV[1]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local kind = not_a_list(KEYS[2])
if kind then return { token, 'QUEUE', kind } end
ours('list', 'LLEN', KEYS[3])
ours('zset', 'ZSCORE', KEYS[4], '')
if redis.call('LLEN', KEYS[2]) == 0 then return { token, 'EMPTY' } end
local lacks = missing_right({ { 'LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'LEFT' }, { 'ZADD', KEYS[4], '1', 'a' } })
if lacks then return { token, 'NOPERM', lacks } end
local entry = redis.call('LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'LEFT')
local lease_end = decimal(now_ms() + tonumber(ARGV[3]))
redis.call('ZADD', KEYS[4], lease_end, entry)
return { token, 'OK', entry, lease_end }
