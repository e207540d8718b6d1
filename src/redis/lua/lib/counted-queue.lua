-- Depth of a queue by workspace. `queued` remembers who was counted for an entry, so that entries of other producers,
-- repeated ones, and those whose job is gone keep the sum right.
local function count_entry(queued, depth, entry, workspace)
  if redis.call('HSETNX', queued, entry, workspace) == 1 then redis.call('HINCRBY', depth, workspace, 1) end
end

local function uncount_entry(queued, depth, entry)
  local workspace = redis.call('HGET', queued, entry)
  if not workspace then return end
  redis.call('HDEL', queued, entry)
  if redis.call('HINCRBY', depth, workspace, -1) <= 0 then redis.call('HDEL', depth, workspace) end
end

-- Whether the key can be used as a list.
local function is_list(key)
  local kind = redis.call('TYPE', key).ok
  return kind == 'none' or kind == 'list'
end
