#!lua
-- Sets fields of a job's hash on each key that exists, where the expected fields still hold.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer; 9 number of expected fields; then for each: field, '1'
--      (has this value) or '0' (is absent), value; then field, value, ...
-- Answers OK unscoped | CONFLICT field | WORKSPACE | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME
--         | NOPERM what | OPERATION_REUSED | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('update')
if before then return before end
local state = look()
if state.status ~= 'OK' then return answer(state.status) end

local first = 10 + 3 * tonumber(ARGV[9])
for i = first, #ARGV, 2 do
  if ARGV[i] == field and ARGV[i + 1] ~= workspace then return answer('WORKSPACE') end
end
-- Against the key that reads come to first: that is what the caller saw.
for i = 10, first - 1, 3 do
  local stored = redis.call('HGET', state.found[1], ARGV[i])
  local holds
  if ARGV[i + 1] == '1' then holds = stored == ARGV[i + 2] else holds = not stored end
  if not holds then return answer('CONFLICT', ARGV[i]) end
end
local lacks = lacking({ { 'HSET', 'a', 'b' } })
if lacks then return answer('NOPERM', lacks) end

for _, key in ipairs(state.found) do
  for i = first, #ARGV, 1000 do redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, #ARGV))) end
end
return remember('update', ARGV[8], 'OK', state.unscoped)
