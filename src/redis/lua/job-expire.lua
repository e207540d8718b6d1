#!lua flags=allow-oom
-- Gives each key of a job the same absolute expiry, or takes it away. One in the past deletes the job.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer; 9 mode 'none' 'ttl' 'at'; 10 its ms
-- Answers OK unscoped expiry | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME | NOPERM what | OPERATION_REUSED
--         | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('expire')
if before then return before end
local state = look()
if state.status ~= 'OK' then return answer(state.status) end
local at = absolute_expiry(ARGV[9], ARGV[10])
local lacks = lacking({ at == '' and { 'PERSIST' } or { 'PEXPIREAT', '1' } })
if lacks then return answer('NOPERM', lacks) end
set_expiry(state.found, at)
return remember('expire', ARGV[8], 'OK', state.unscoped, at)
