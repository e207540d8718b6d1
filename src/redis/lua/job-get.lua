#!lua flags=allow-oom
-- Reads a job in the order of its routing, with fallback to the other key in the same step.
-- KEYS 1-3 as in lib/job; 4 the fence again; 5 backfilled, 6 fallback counter
-- ARGV 1-7 as in lib/job
-- Answers OK served('target' 'fallback' 'legacy') unscoped('0' '1') expiry(ms, -1: none) value(list of field, value; or text)
--         | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME | NOPERM what | STALE_EPOCH fence | NO_FENCE
-- Counts a fallback (legacy after a target miss) while the backfill is recorded as complete.
--- @include "lib/job"
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local state = look()
local key = state.found[1]
if not key then return answer(state.status) end
-- In phases 0-1 legacy alone is read, whatever else exists.
local served = key == TARGET and has_target and 'target' or 'legacy'
if served == 'legacy' and order == 'TL' then
  served = 'fallback'
  if redis.call('EXISTS', KEYS[5]) == 1 then
    -- A fallback that is not counted would let the phase end too early.
    local lacks = missing_right({ { 'INCR', KEYS[6] } })
    if lacks then return answer('NOPERM', lacks) end
    ours('string', 'INCR', KEYS[6])
  end
end
local value = redis.call(encoding == 'hash' and 'HGETALL' or 'GET', key)
return answer('OK', served, state.unscoped, redis.call('PEXPIRETIME', key), value)
