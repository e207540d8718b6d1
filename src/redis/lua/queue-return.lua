#!lua
-- Puts an entry back to the end of its queue, in the form that the phase writes: for nack by its holder, or by the reaper once
-- the lease has ended.
-- KEYS, ARGV as in lib/queue-entry; ARGV 12 'nack' or 'reap', 13 what stands between the ids of a pair: the forbidden character
-- Answers OK | GONE | MALFORMED | LEASE_LOST | QUEUE type (not a list) | NOPERM what | STALE_EPOCH fence | NO_FENCE
--- @include "lib/queue-entry"
--- @include "lib/time"
local refusal, fence = fence_refusal(FENCE, epoch)
if refusal then return answer(refusal, fence) end
if not holds_lease() then return answer('LEASE_LOST') end
if ARGV[12] == 'reap' and lease_end > now_ms() then return answer('LEASE_LOST') end
local kind = not_a_list(QUEUE)
if kind then return answer('QUEUE', kind) end
look_at_lists()
local lacks = missing_right(RIGHTS)
if lacks then return answer('NOPERM', lacks) end
local found, workspace, job = find_job()
if found == 'gone' then
  take_out()
  return answer('GONE')
end
if found == 'malformed' then
  bury()
  return answer('MALFORMED')
end
local fresh = job
if phase >= 2 then fresh = workspace .. ARGV[13] .. job end
if not take_out() then return answer('GONE') end
redis.call('LPUSH', QUEUE, fresh)
if workspace ~= '' then count_entry(QUEUED, DEPTH, fresh, workspace) end
return answer('OK')
