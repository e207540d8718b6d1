--- @include "lib/workspace"
-- Why no workspace can be told. stored: what read_workspace found, if anything.
local function workspace_fault(key, kind, stored)
  if stored then return config.field .. ' ' .. id_fault(stored) end
  if kind == 'hash' then return 'no ' .. config.field end
  if kind ~= 'string' then return 'wrong type: ' .. kind end
  local readable, value = decode_text(redis.call('GET', key))
  if not readable then return 'JSON cannot be decoded' end
  if type(value) ~= 'table' then return 'no JSON object' end
  if value[config.field] == nil then return 'no ' .. config.field end
  return config.field .. ' is not a text'
end

-- Type of a key ('none' where it is gone), then the workspace that its value names, or nil and why not.
local function job_at(key)
  local kind, stored = read_workspace(key, config.field)
  if kind == 'none' then return kind end
  if usable_id(stored, config.forbidden) then return kind, stored end
  return kind, nil, workspace_fault(key, kind, stored)
end
