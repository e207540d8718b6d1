#!lua
-- Runs a list of hash commands on each key that exists. Where one of them fails (not a number, overflow) none is done.
-- KEYS 1-4 as in lib/job
-- ARGV 1-7 as in lib/job; 8 ms to keep the operation's answer; then for each command: name, number of arguments, arguments.
--      HSET (field, value), HDEL (field), HINCRBY and HINCRBYFLOAT (field, by)
-- Answers OK unscoped result... | WORKSPACE | INVALID message | NOT_FOUND | DENIED | MALFORMED | SHARED_NAME
--         | NOPERM what | OPERATION_REUSED | STALE_EPOCH fence | NO_FENCE
--- @include "lib/job"
local ARITY = { HSET = 2, HDEL = 1, HINCRBY = 2, HINCRBYFLOAT = 2 }
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return answer(refusal, fence) end
local before = remembered('mutate')
if before then return before end
local state = look()
if state.status ~= 'OK' then return answer(state.status) end

local commands, i = {}, 9
while i <= #ARGV do
  local name, count = ARGV[i], tonumber(ARGV[i + 1])
  if ARITY[name] ~= count then return answer('INVALID', 'command ' .. name) end
  local subject, value = ARGV[i + 2], ARGV[i + 3]
  if subject == field and not (name == 'HSET' and value == workspace) then return answer('WORKSPACE') end
  commands[#commands + 1] = { name, subject, count == 2 and value or nil }
  i = i + 2 + count
end
-- Their results are unpacked into one answer, and the Lua stack ends at 8000.
if #commands > 1000 then return answer('INVALID', 'of more than 1000 commands') end
-- HSET, HDEL and the expiry are what undoing needs.
local lacks = lacking({
  { 'HSET', 'a', 'b' }, { 'HDEL', 'a' }, { 'HINCRBY', 'a', '1' }, { 'HINCRBYFLOAT', 'a', '1' }, { 'PEXPIREAT', '1' },
})
if lacks then return answer('NOPERM', lacks) end

local undo = {}
local function note(key)
  local old = { key = key, at = redis.call('PEXPIRETIME', key), fields = {} }
  for _, command in ipairs(commands) do
    old.fields[command[2]] = redis.call('HGET', key, command[2])
  end
  undo[#undo + 1] = old
end
local function undo_all()
  for _, old in ipairs(undo) do
    for name, value in pairs(old.fields) do
      if value then redis.call('HSET', old.key, name, value) else redis.call('HDEL', old.key, name) end
    end
    if old.at >= 0 then redis.call('PEXPIREAT', old.key, decimal(old.at)) end
  end
end

local results
for _, key in ipairs(state.found) do
  note(key)
  local got = {}
  for _, command in ipairs(commands) do
    local name, subject, value = unpack(command)
    local result
    if value ~= nil then
      result = redis.pcall(name, key, subject, value)
    else
      result = redis.pcall(name, key, subject)
    end
    if type(result) == 'table' and result.err then
      undo_all()
      return answer('INVALID', name .. ' ' .. subject .. ': ' .. result.err)
    end
    -- A reply of HINCRBY comes to Lua as a double.
    if name == 'HINCRBY' then result = redis.call('HGET', key, subject) end
    got[#got + 1] = type(result) == 'number' and decimal(result) or result
  end
  results = results or got
end
return remember('mutate', ARGV[8], 'OK', state.unscoped, unpack(results))
