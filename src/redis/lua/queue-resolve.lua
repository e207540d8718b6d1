#!lua flags=allow-oom
-- Second half of dequeue: finds the job of an entry that was moved. Entries whose job is gone are removed, malformed ones
-- go to the dead list.
-- KEYS, ARGV as in lib/queue-entry
-- Answers OK workspace job | GONE | MALFORMED | LEASE_LOST | NOPERM what | STALE_EPOCH fence | NO_FENCE
--- @include "lib/queue-entry"
local refusal, fence = fence_refusal(FENCE, epoch)
if refusal then return answer(refusal, fence) end
if not holds_lease() then return answer('LEASE_LOST') end
local found, workspace, job = find_job()
if found == 'job' then return answer('OK', workspace, job) end
look_at_lists()
local lacks = missing_right(RIGHTS)
if lacks then return answer('NOPERM', lacks) end
if found == 'gone' then
  take_out()
  return answer('GONE')
end
bury()
return answer('MALFORMED')
