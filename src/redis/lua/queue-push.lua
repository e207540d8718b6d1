#!lua
-- Pushes the entry of a job that exists.
-- KEYS 1-4 as in lib/job; 5 queue, 6 queued, 7 depth
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer; 9 queue entry
-- Answers OK unscoped | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME | QUEUE type (not a list)
--         | NOPERM what | OPERATION_REUSED | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
--- @include "lib/counted-queue"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('push')
if before then return before end
local state = look()
if state.status ~= 'OK' then return answer(state.status) end
local kind = not_a_list(KEYS[5])
if kind then return answer('QUEUE', kind) end
look_at_counts(KEYS[6], KEYS[7])
local lacks = lacking({}, { { 'LPUSH', KEYS[5], 'a' }, { 'HSETNX', KEYS[6], 'a', 'b' }, { 'HINCRBY', KEYS[7], 'a', '1' } })
if lacks then return answer('NOPERM', lacks) end
redis.call('LPUSH', KEYS[5], ARGV[9])
count_entry(KEYS[6], KEYS[7], ARGV[9], workspace)
return remember('push', ARGV[8], 'OK', state.unscoped)
