--- @include "lib/ids"
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
