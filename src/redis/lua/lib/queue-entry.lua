--- @include "lib/fence"
--- @include "lib/workspace"
--- @include "lib/counted-queue"
--- @include "lib/rights"
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
