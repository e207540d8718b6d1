#!lua
-- Creates a job that does not exist, on legacy and, where asked, on target, with one absolute expiry, and pushes its queue
-- entry in the same step. A stray target (phases 0-1) is overwritten.
-- KEYS 1-4 as in lib/job; 5 queue, 6 queued, 7 depth (all three the fence again: no queue)
-- ARGV 1-7 as in lib/job; 8 '1': also on target; 9 expiry mode 'none' 'ttl' 'at'; 10 its ms; 11 queue entry;
--      12 ms to keep the operation's answer; 13... field, value, ... or one text
-- Answers OK expiry | EXISTS | DENIED | MALFORMED | SHARED_NAME | WORKSPACE | EXPIRY (in the past) | QUEUE type (not a list)
--         | NOPERM what | OPERATION_REUSED | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
--- @include "lib/counted-queue"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('create')
if before then return before end

local state = look()
if state.legacy == 'other' then return answer('DENIED') end
if state.legacy == 'loose' or state.legacy == 'wrong' then return answer('MALFORMED') end
if state.status == 'OK' then return answer('EXISTS') end
if state.status == 'SHARED_NAME' then return answer(state.status) end
local to_target = has_target and (ARGV[8] == '1' or state.target == 'mine')
if to_target and state.target ~= 'none' and state.target ~= 'mine' then return answer('MALFORMED') end

local given
if encoding == 'hash' then
  for i = 13, #ARGV, 2 do
    if ARGV[i] == field then given = ARGV[i + 1] end
  end
else
  given = workspace_in_text(ARGV[13], field)
end
if given ~= workspace then return answer('WORKSPACE') end
local at = absolute_expiry(ARGV[9], ARGV[10])
if at ~= '' and tonumber(at) <= now_ms() then return answer('EXPIRY') end
local has_queue = KEYS[5] ~= KEYS[1]
if has_queue then
  local kind = (KEYS[5] == LEGACY or KEYS[5] == TARGET) and encoding or not_a_list(KEYS[5])
  if kind then return answer('QUEUE', kind) end
  look_at_counts(KEYS[6], KEYS[7])
end

local more = {}
if to_target then more[1] = { 'COPY', LEGACY, TARGET, 'REPLACE' } end
if has_queue then
  more[#more + 1] = { 'LPUSH', KEYS[5], 'a' }
  more[#more + 1] = { 'HSETNX', KEYS[6], 'a', 'b' }
  more[#more + 1] = { 'HINCRBY', KEYS[7], 'a', '1' }
end
local commands = { encoding == 'hash' and { 'HSET', 'a', 'b' } or { 'SET', 'a' } }
if at ~= '' then commands[2] = { 'PEXPIREAT', '1' } end
local lacks = lacking(commands, more)
if lacks then return answer('NOPERM', lacks) end

if encoding == 'hash' then
  -- In parts: unpack is limited by the Lua stack.
  for i = 13, #ARGV, 1000 do redis.call('HSET', LEGACY, unpack(ARGV, i, math.min(i + 999, #ARGV))) end
else
  redis.call('SET', LEGACY, ARGV[13])
end
if at ~= '' then redis.call('PEXPIREAT', LEGACY, at) end
if to_target then redis.call('COPY', LEGACY, TARGET, 'REPLACE') end
if has_queue then
  redis.call('LPUSH', KEYS[5], ARGV[11])
  count_entry(KEYS[6], KEYS[7], ARGV[11], workspace)
end
return remember('create', ARGV[12], 'OK', at)
