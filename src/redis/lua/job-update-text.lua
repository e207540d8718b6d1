#!lua
-- Replaces the text of a job on each key that exists, where the stored bytes are still those that the caller read.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer; 9 old text; 10 new text
-- Answers OK unscoped | CONFLICT | WORKSPACE (changed, or not readable) | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME
--         | NOPERM what | OPERATION_REUSED | STALE_EPOCH fence | NO_FENCE
-- The expiry stays. The value is compared and stored as bytes: cjson only reads the workspace.
--- @include "lib/job"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('update-text')
if before then return before end
local state = look()
if state.status ~= 'OK' then return answer(state.status) end
if redis.call('GET', state.found[1]) ~= ARGV[9] then return answer('CONFLICT') end
local given = workspace_in_text(ARGV[10], field)
-- Epochs 0 and 1: a value without a usable workspace may stay as it is.
if given ~= workspace and not (state.unscoped == '1' and given == workspace_in_text(ARGV[9], field)) then
  return answer('WORKSPACE')
end
local lacks = lacking({ { 'SET', 'a', 'KEEPTTL' } })
if lacks then return answer('NOPERM', lacks) end
for _, key in ipairs(state.found) do redis.call('SET', key, ARGV[10], 'KEEPTTL') end
return remember('update-text', ARGV[8], 'OK', state.unscoped)
