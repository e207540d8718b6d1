#!lua flags=allow-oom
-- Entries in processing whose lease has ended, oldest first. Entries without a lease (their holder was no Keyshift client, or
-- a second copy was acknowledged) get one now, so that they come back too.
-- KEYS 1 fence, 2 processing, 3 leases
-- ARGV 1 token, 2 epoch, 3 lease ms, 4 limit
-- Answers OK entry lease-end, ... | NOPERM what | STALE_EPOCH fence | NO_FENCE
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
local token = ARGV[1]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local lacks = missing_right({ { 'ZADD', KEYS[3], '1', 'a' }, { 'ZREM', KEYS[3], 'a' } })
if lacks then return { token, 'NOPERM', lacks } end
local now = now_ms()
local entries = ours('list', 'LRANGE', KEYS[2], -1000, -1)
ours('zset', 'ZSCORE', KEYS[3], '')
for _, entry in ipairs(entries) do
  if not redis.call('ZSCORE', KEYS[3], entry) then redis.call('ZADD', KEYS[3], decimal(now + tonumber(ARGV[3])), entry) end
end
local out = { token, 'OK' }
for i, item in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, ARGV[4], 'WITHSCORES')) do
  out[#out + 1] = i % 2 == 0 and decimal(tonumber(item)) or item
end
return out
