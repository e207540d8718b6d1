#!lua
-- Puts an entry back to the end of its queue, in the form that the phase writes: for nack by its holder, or by the reaper once
-- the lease has ended.
-- KEYS, ARGV as in lib/queue-entry; ARGV 12 'nack' or 'reap', 13 what stands between the ids of a pair: the forbidden character
-- Answers OK | GONE | MALFORMED | LEASE_LOST | QUEUE type (not a list) | NOPERM what | STALE_EPOCH fence | NO_FENCE
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
-- First of the commands that the user may not run, or nil. Asked before the first write: a refused command in the middle
-- stops a script and nothing is undone.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] .. ' on ' .. command[2] end
  end
  return nil
end
-- What the scripts begin with that hold one entry of a processing list and must find its job.
-- KEYS 1 fence, 2 queue, 3 processing, 4 leases, 5 queued, 6 depth, 7 dead,
--      8 legacy key and 9 target key of the pair (or of the job id) that the entry spells, 10 legacy key of the whole entry as a
--      job id. Where one does not apply: the fence again.
-- ARGV 1 token, 2 epoch, 3 workspace field, 4 forbidden character, 5 order as in lib/job, 6 phase index, 7 entry,
--      8 lease end, 9 form 'pair' 'id or pair' (the job of the whole entry first) 'job' 'malformed', 10 workspace of a pair, 11 job id that it spells
local token, epoch, field, forbidden, order = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local phase, entry, lease_end, form = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9]
local FENCE, QUEUE, PROCESSING, LEASES, QUEUED, DEPTH, DEAD = unpack(KEYS, 1, 7)

local function answer(...)
  return { token, ... }
end

local function holds_lease()
  local score = ours('zset', 'ZSCORE', LEASES, entry)
  return score and tonumber(score) == lease_end
end

-- A workspace that a client can name: in Legacy also one that no target key can hold.
local function named(stored)
  return usable_id(stored, forbidden) or phase == 0 and type(stored) == 'string' and stored ~= '' and is_utf8(stored)
end

-- 'job', workspace (or '' where phases 0-1 serve it without), job id; 'gone'; 'malformed'.
local function find_job()
  if form == 'id or pair' then
    local kind, stored = read_workspace(KEYS[10], field)
    if (kind == 'hash' or kind == 'string') and named(stored) then return 'job', stored, entry end
    form = 'pair'
  end
  if form == 'pair' then
    for i, key in ipairs({ KEYS[8], KEYS[9] }) do
      if i == 1 or order ~= 'L' then
        local kind, stored = read_workspace(key, field)
        if stored == ARGV[10] and (kind == 'hash' or kind == 'string') then return 'job', stored, ARGV[11] end
      end
    end
  end
  local key, id = nil, entry
  if form == 'job' then key = KEYS[8]
  elseif phase <= 1 and KEYS[10] ~= FENCE then key = KEYS[10] end
  if key == nil then return form == 'malformed' and 'malformed' or 'gone' end
  local kind, stored = read_workspace(key, field)
  if kind == 'none' then return form == 'malformed' and phase > 1 and 'malformed' or 'gone' end
  if kind ~= 'hash' and kind ~= 'string' then return 'malformed' end
  if named(stored) then return 'job', stored, id end
  if epoch <= 1 then return 'job', '', id end
  return 'malformed'
end

local RIGHTS = {
  { 'LREM', PROCESSING, '1', 'a' }, { 'ZREM', LEASES, 'a' }, { 'HDEL', QUEUED, 'a' }, { 'HSETNX', QUEUED, 'a', 'b' },
  { 'HINCRBY', DEPTH, 'a', '1' }, { 'HDEL', DEPTH, 'a' }, { 'LPUSH', DEAD, 'a' }, { 'LPUSH', QUEUE, 'a' },
}

local function look_at_lists()
  ours('list', 'LLEN', PROCESSING)
  ours('list', 'LLEN', DEAD)
  look_at_counts(QUEUED, DEPTH)
end

-- Takes the entry out of processing; false where it was not there any more.
local function take_out()
  redis.call('ZREM', LEASES, entry)
  if redis.call('LREM', PROCESSING, -1, entry) == 0 then return false end
  uncount_entry(QUEUED, DEPTH, entry)
  return true
end

local function bury()
  if take_out() then redis.call('LPUSH', DEAD, entry) end
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
local refusal, fence = fence_refusal(FENCE, epoch)
if refusal then return answer(refusal, fence) end
if not holds_lease() then return answer('LEASE_LOST') end
if ARGV[12] == 'reap' and lease_end > now_ms() then return answer('LEASE_LOST') end
local kind = not_a_list(QUEUE)
if kind then return answer('QUEUE', kind) end
look_at_lists()
local lacks = missing_right(RIGHTS)
if lacks then return answer('NOPERM', lacks) end
local found, workspace, job = find_job()
if found == 'gone' then
  take_out()
  return answer('GONE')
end
if found == 'malformed' then
  bury()
  return answer('MALFORMED')
end
local fresh = job
if phase >= 2 then fresh = workspace .. ARGV[13] .. job end
if not take_out() then return answer('GONE') end
redis.call('LPUSH', QUEUE, fresh)
if workspace ~= '' then count_entry(QUEUED, DEPTH, fresh, workspace) end
return answer('OK')
