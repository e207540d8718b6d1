--- @include "lib/fence"
--- @include "lib/workspace"
--- @include "lib/expiry"
--- @include "lib/rights"
-- What every operation on one job begins with.
-- KEYS 1 fence, 2 legacy key, 3 target key (the legacy key again: none), 4 operation key (the fence again: none)
-- ARGV 1 token, 2 epoch, 3 workspace, 4 workspace field, 5 'hash' or 'string', 6 forbidden character,
--      7 order: 'L' legacy alone decides existence and is read; 'LT' or 'TL' either decides, read in this order;
--        'L?' as 'L', before any epoch made targets; 'L!' as well, for an id whose legacy key has the name of a target of its
--        workspace, which is refused with SHARED_NAME once there may be targets
local token, epoch, workspace = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local field, encoding, forbidden, order = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local LEGACY, TARGET, OPERATION = KEYS[2], KEYS[3], KEYS[4]
local has_target, has_operation = TARGET ~= LEGACY, OPERATION ~= KEYS[1]
local shares_name = false
if order == 'L?' or order == 'L!' then
  -- The next epoch is published only after the fence has reached this one.
  local no_targets = (read_fence(KEYS[1]) or 0) < epoch
  if no_targets then has_target, TARGET = false, LEGACY end
  shares_name = order == 'L!' and not no_targets
  order = 'L'
end

-- The token comes back first, so that a shifted reply is noticed.
local function answer(...)
  return { token, ... }
end

-- 'none'; 'mine'; 'other' (another workspace's); 'loose' (no usable workspace); 'wrong' (of another type).
local function state_of(key)
  local kind, stored = read_workspace(key, field)
  if kind == 'none' then return 'none' end
  if kind ~= encoding then return 'wrong' end
  if stored == workspace then return 'mine' end
  if not usable_id(stored, forbidden) then return 'loose' end
  return 'other'
end

-- Which keys this operation applies to.
-- found: keys that hold this job, the one that reads come to first in front; status where the job does not exist.
local function look()
  if shares_name then return { legacy = 'none', target = 'none', found = {}, status = 'SHARED_NAME', unscoped = '0' } end
  local l = state_of(LEGACY)
  local t = has_target and state_of(TARGET) or 'none'
  local unscoped = l == 'loose' and epoch <= 1
  local legacy_here = l == 'mine' or unscoped
  local target_here = t == 'mine'
  local found = {}
  if legacy_here then found[1] = LEGACY end
  if target_here and (legacy_here or order ~= 'L') then
    table.insert(found, order == 'TL' and 1 or #found + 1, TARGET)
  end
  local status = 'OK'
  if #found == 0 then
    if l == 'other' or t == 'other' then status = 'DENIED'
    elseif l == 'loose' or l == 'wrong' then status = 'MALFORMED'
    else status = 'NOT_FOUND' end
  end
  return { legacy = l, target = t, found = found, status = status, unscoped = unscoped and '1' or '0' }
end

-- Names an operation on a job of a workspace; the length keeps two pairs of ids with spaces apart.
local function named(what)
  return what .. ' ' .. #workspace .. ' ' .. workspace .. ' ' .. LEGACY
end

-- The answer of an earlier try with the same operation id, or nil. `what` tells operations apart.
local function remembered(what)
  if not has_operation then return nil end
  local kept = ours('hash', 'HMGET', OPERATION, 'what', 'answer')
  if not kept[1] then return nil end
  if kept[1] ~= named(what) then return answer('OPERATION_REUSED') end
  return answer(unpack(cmsgpack.unpack(kept[2])))
end

-- Keeps the answer of a write that was done, for `keep_ms`, and returns it.
local function remember(what, keep_ms, ...)
  if has_operation then
    redis.call('HSET', OPERATION, 'what', named(what), 'answer', cmsgpack.pack({ ... }))
    redis.call('PEXPIRE', OPERATION, keep_ms)
  end
  return answer(...)
end

-- Rights that `commands` (names with further arguments) need on the job's keys, and those of the operation key.
local function lacking(commands, more)
  local list = more or {}
  for _, command in ipairs(commands) do
    for _, key in ipairs(has_target and { LEGACY, TARGET } or { LEGACY }) do
      local full = { command[1], key }
      for i = 2, #command do full[#full + 1] = command[i] end
      list[#list + 1] = full
    end
  end
  if has_operation then
    list[#list + 1] = { 'HSET', OPERATION, 'a', 'b' }
    list[#list + 1] = { 'PEXPIRE', OPERATION, '1' }
  end
  return missing_right(list)
end
