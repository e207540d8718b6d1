#!lua flags=allow-oom
-- Deletes a job on each key that exists, a stray target of it as well.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer
-- Answers OK unscoped | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME | NOPERM what | OPERATION_REUSED
--         | STALE_EPOCH fence | NO_FENCE
-- redis.call on a key of ours, read before anything is written. Where another type stands in its place the script ends with an
-- error that names key and types; WRONGKIND tells src/redis/errors.ts that nothing was done.
local function ours(kind, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.sub(reply.err, 1, 9) ~= 'WRONGTYPE' then error(reply) end
  local found = redis.pcall('TYPE', key).ok or 'key of another type'
  error({ err = 'WRONGKIND ' .. key .. ' is a ' .. found .. ', and Keyshift keeps a ' .. kind .. ' there: delete it or rename it' })
end
-- Decimal min_epoch, or nil where it is absent or not a number. Digits alone: no epoch is below a "nan".
local function read_fence(key)
  local fence = ours('string', 'GET', key)
  return fence and string.find(fence, '^%d+$') and tonumber(fence) or nil
end

-- nil where an operation of `epoch` may go on; else the status and the fence. An absent fence is fine for epochs 0 and 1 only.
local function fence_refusal(key, epoch)
  local fence = read_fence(key)
  if fence == nil then
    if epoch <= 1 then return nil end
    return 'NO_FENCE', '0'
  end
  if epoch < fence then return 'STALE_EPOCH', tostring(fence) end
  return nil
end
-- Whether `s` is well-formed UTF-8 (no overlong forms, no surrogates).
local function is_utf8(s)
  if not string.find(s, '[\128-\255]') then return true end
  local i, n = 1, #s
  while i <= n do
    local a, b, c, d = string.byte(s, i, i + 3)
    local function tail(x) return x ~= nil and x >= 128 and x <= 191 end
    if a < 128 then i = i + 1
    elseif a >= 194 and a <= 223 and tail(b) then i = i + 2
    elseif a >= 224 and a <= 239 and tail(b) and tail(c)
      and not (a == 224 and b < 160) and not (a == 237 and b > 159) then i = i + 3
    elseif a >= 240 and a <= 244 and tail(b) and tail(c) and tail(d)
      and not (a == 240 and b < 144) and not (a == 244 and b > 143) then i = i + 4
    else return false end
  end
  return true
end

-- The same rule as checkId in src/protocol/templates.ts.
local function usable_id(s, forbidden)
  return type(s) == 'string' and s ~= '' and #s <= 512 and not string.find(s, forbidden, 1, true) and is_utf8(s)
end
-- Whether it is JSON, and its value. NUL ends a text for cjson, whatever follows.
local function decode_text(text)
  if string.find(text, '\0', 1, true) then return false end
  return pcall(cjson.decode, text)
end

-- Workspace in the bytes of a JSON text: its top-level field, or nil. Never guessed at. Of a field that stands there twice
-- the last one counts, as for JSON.parse.
local function decoded_workspace(text, field)
  local ok, value = decode_text(text)
  if not ok or type(value) ~= 'table' then return nil end
  local ws = value[field]
  if type(ws) ~= 'string' then return nil end
  return ws
end

-- The same; the two keys of a job hold the same text as a rule, and it is decoded once.
local last = {}
local function workspace_in_text(text, field)
  if last.text ~= text or last.field ~= field then
    last = { text = text, field = field, workspace = decoded_workspace(text, field) }
  end
  return last.workspace
end

-- Type of the key ('none' where absent) and the workspace its value names (nil: none that can be read).
local function read_workspace(key, field)
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then
    return kind, redis.call('HGET', key, field) or nil
  elseif kind == 'string' then
    return kind, workspace_in_text(redis.call('GET', key), field)
  end
  return kind, nil
end
-- Redis TIME in ms; the same for the whole script.
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- A whole number as decimal text: tostring would write 1.6e+12.
local function decimal(n)
  return string.format('%.0f', n)
end
-- Absolute expiry (ms, decimal text) that `mode` asks for: 'none' -> '', 'ttl' -> now + value, 'at' -> value.
local function absolute_expiry(mode, value)
  if mode == 'ttl' then return decimal(now_ms() + tonumber(value)) end
  if mode == 'at' then return value end
  return ''
end

-- One expiry for each of the keys: the same absolute value, or none.
local function set_expiry(keys, at)
  for _, key in ipairs(keys) do
    if at == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, at) end
  end
end
-- First of the commands that the user may not run, or nil. Asked before the first write: a refused command in the middle
-- stops a script and nothing is undone.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] .. ' on ' .. command[2] end
  end
  return nil
end
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
