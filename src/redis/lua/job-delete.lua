#!lua flags=allow-oom
-- Deletes a job on each key that exists, a stray target of it as well.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer
-- Answers OK unscoped | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME | NOPERM what | OPERATION_REUSED
--         | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('delete')
if before then return before end
local state = look()
if state.status == 'DENIED' or state.status == 'MALFORMED' then return answer(state.status) end
local lacks = lacking({ { 'UNLINK' } })
if lacks then return answer('NOPERM', lacks) end
for _, key in ipairs(state.found) do redis.call('UNLINK', key) end
if state.status ~= 'OK' then
  if state.target == 'mine' then redis.call('UNLINK', TARGET) end
  return answer(state.status)
end
return remember('delete', ARGV[8], 'OK', state.unscoped)
