#!lua flags=allow-oom
-- Registers a member (again, where its record was pruned), renews its lease, and adds the illegal ids it met.
-- KEYS 1 fence, 2 members, 3 lease, 4 illegal ids
-- ARGV 1 token, 2 member id, 3 epoch, 4 hash, 5 lease ms, 6 pod UID, 7 pod name, 8 version, 9 new illegal ids, 10 an example
-- Answers OK fence(decimal, '' where absent) | NOPERM what
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
-- Redis TIME in ms; the same for the whole script.
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- A whole number as decimal text: tostring would write 1.6e+12.
local function decimal(n)
  return string.format('%.0f', n)
end
-- First of the commands that the user may not run, or nil. Asked before the first write: a refused command in the middle
-- stops a script and nothing is undone.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] .. ' on ' .. command[2] end
  end
  return nil
end
local token, id = ARGV[1], ARGV[2]
local now = decimal(now_ms())
local lacks = missing_right({ { 'HSETNX', KEYS[2], 'a', 'b' }, { 'SET', KEYS[3], 'a', 'PX', '1' } })
if lacks then return { token, 'NOPERM', lacks } end
local known = ours('hash', 'HEXISTS', KEYS[2], id) == 1
ours('string', 'GET', KEYS[3])
if tonumber(ARGV[9]) > 0 then ours('hash', 'HGET', KEYS[4], 'count') end
if not known then
  local quoted = { podUid = ARGV[6], podName = ARGV[7], version = ARGV[8] }
  -- The number is written by hand: cjson would round it.
  local body = string.sub(cjson.encode(quoted), 1, -2)
  redis.call('HSET', KEYS[2], id, body .. ',"registeredAt":' .. now .. '}')
end
redis.call('SET', KEYS[3], '{"epoch":' .. ARGV[3] .. ',"hash":' .. cjson.encode(ARGV[4]) .. '}', 'PX', ARGV[5])
if tonumber(ARGV[9]) > 0 then
  redis.call('HINCRBY', KEYS[4], 'count', ARGV[9])
  redis.call('HSET', KEYS[4], 'lastAt', now, 'example', ARGV[10], 'member', id)
end
local fence = read_fence(KEYS[1])
return { token, 'OK', fence and decimal(fence) or '' }
