#!lua flags=allow-oom
-- Reads the jobs of one SCAN page that belong to the workspace; a job with both keys counts once, by its legacy key.
-- KEYS 1 fence; then pairs: legacy key, target key (the legacy key again where the scan met the legacy key)
-- ARGV 1 token, 2 epoch, 3 workspace, 4 workspace field, 5 'hash' or 'string', 6 order as in lib/job
-- Answers OK index expiry value, index expiry value, ... (index of the pair, from 1) | STALE_EPOCH fence | NO_FENCE
--- @include "lib/fence"
--- @include "lib/workspace"
local token, epoch, workspace, field, encoding, order = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return { token, refusal, fence } end
local function mine(key)
  local kind, stored = read_workspace(key, field)
  return kind == encoding and stored == workspace
end
local out = { token, 'OK' }
for i = 2, #KEYS, 2 do
  local key
  local legacy, target = KEYS[i], KEYS[i + 1]
  if legacy == target then
    if mine(legacy) then key = legacy end
  elseif order ~= 'L' and not mine(legacy) and mine(target) then
    key = target
  end
  if key then
    out[#out + 1] = i / 2
    out[#out + 1] = redis.call('PEXPIRETIME', key)
    out[#out + 1] = redis.call(encoding == 'hash' and 'HGETALL' or 'GET', key)
  end
end
return out
