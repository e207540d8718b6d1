--- @include "lib/ours"
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
