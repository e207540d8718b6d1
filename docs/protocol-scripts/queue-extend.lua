#!lua flags=allow-oom
-- Prolongs the lease of an entry that is still held.
-- KEYS 1 fence, 2 leases
-- ARGV 1 token, 2 epoch, 3 entry, 4 lease end, 5 lease ms from now
-- Answers OK lease-end | LEASE_LOST | STALE_EPOCH fence | NO_FENCE
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
local token, entry = ARGV[1], ARGV[3]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local score = ours('zset', 'ZSCORE', KEYS[2], entry)
if not score or tonumber(score) ~= tonumber(ARGV[4]) then return { token, 'LEASE_LOST' } end
local lease_end = decimal(now_ms() + tonumber(ARGV[5]))
redis.call('ZADD', KEYS[2], lease_end, entry)
return { token, 'OK', lease_end }
