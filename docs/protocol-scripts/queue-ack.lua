#!lua flags=allow-oom
-- Ends the work on an entry. Nothing is done when the lease has passed to someone else.
-- KEYS 1 fence, 2 processing, 3 leases, 4 queued, 5 depth
-- ARGV 1 token, 2 epoch, 3 entry, 4 lease end
-- Answers OK | LEASE_LOST | NOPERM what | STALE_EPOCH fence | NO_FENCE
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
-- First of the commands that the user may not run, or nil. Asked before the first write: a refused command in the middle
-- stops a script and nothing is undone.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] .. ' on ' .. command[2] end
  end
  return nil
end

-- Depth of a queue by workspace. `queued` remembers who was counted for an entry, so that entries of other producers,
-- repeated ones, and those whose job is gone keep the sum right.
-- `look_at_counts` comes before the first write.
local function look_at_counts(queued, depth)
  ours('hash', 'HGET', queued, '')
  ours('hash', 'HGET', depth, '')
end

local function count_entry(queued, depth, entry, workspace)
  if redis.call('HSETNX', queued, entry, workspace) == 1 then redis.call('HINCRBY', depth, workspace, 1) end
end

local function uncount_entry(queued, depth, entry)
  local workspace = redis.call('HGET', queued, entry)
  if not workspace then return end
  redis.call('HDEL', queued, entry)
  if redis.call('HINCRBY', depth, workspace, -1) <= 0 then redis.call('HDEL', depth, workspace) end
end

-- Type of the app's queue where it cannot be used as a list, else nil.
local function not_a_list(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= 'list' then return kind end
  return nil
end
local token, entry = ARGV[1], ARGV[3]
local refusal, fence = fence_refusal(KEYS[1], tonumber(ARGV[2]))
if refusal then return { token, refusal, fence } end
local score = ours('zset', 'ZSCORE', KEYS[3], entry)
if not score or tonumber(score) ~= tonumber(ARGV[4]) then return { token, 'LEASE_LOST' } end
local lacks = missing_right({
  { 'LREM', KEYS[2], '1', 'a' }, { 'ZREM', KEYS[3], 'a' }, { 'HDEL', KEYS[4], 'a' }, { 'HINCRBY', KEYS[5], 'a', '1' },
  { 'HDEL', KEYS[5], 'a' },
})
if lacks then return { token, 'NOPERM', lacks } end
ours('list', 'LLEN', KEYS[2])
look_at_counts(KEYS[4], KEYS[5])
redis.call('ZREM', KEYS[3], entry)
redis.call('LREM', KEYS[2], -1, entry)
uncount_entry(KEYS[4], KEYS[5], entry)
return { token, 'OK' }
