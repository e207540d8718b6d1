--- @include "lib/ids"
-- Names of keys, read exactly as src/protocol/templates.ts reads them, over bytes.
-- config: the decoded ARGV[1], see batchConfig in src/worker/batch.ts.
local config = cjson.decode(ARGV[1])

-- Why an id cannot stand in a key, or nil when it can: usable_id in words.
local function id_fault(id)
  if usable_id(id, config.forbidden) then return nil end
  if id == '' then return 'is empty' end
  if string.find(id, config.forbidden, 1, true) then return 'contains "' .. config.forbidden .. '"' end
  if not is_utf8(id) then return 'is not UTF-8' end
  return 'is too long'
end

local function between(key, prefix, suffix)
  local size = #key - #prefix - #suffix
  if size < 0 or string.sub(key, 1, #prefix) ~= prefix then return nil end
  if string.sub(key, #key - #suffix + 1) ~= suffix then return nil end
  return string.sub(key, #prefix + 1, #prefix + size)
end

-- '*' is the only wildcard. Parts are found left to right, so that no pattern can make it slow.
local function glob(pattern, text)
  local star = string.find(pattern, '*', 1, true)
  if not star then return pattern == text end
  local head = string.sub(pattern, 1, star - 1)
  if string.sub(text, 1, #head) ~= head then return false end
  local at, from = #head + 1, star + 1
  while true do
    local next_star = string.find(pattern, '*', from, true)
    if not next_star then
      local tail = string.sub(pattern, from)
      return #text - #tail + 1 >= at and string.sub(text, #text - #tail + 1) == tail
    end
    local part = string.sub(pattern, from, next_star - 1)
    local found, stop = string.find(text, part, at, true)
    if not found then return false end
    at, from = stop + 1, next_star + 1
  end
end

local function is_ignored(key)
  for _, pattern in ipairs(config.ignore) do
    if glob(pattern, key) then return true end
  end
  return string.sub(key, 1, #config.controlRoot) == config.controlRoot
end

-- 'target', workspace, job | 'legacy', nil, job | 'misnamed', why (a legacy name whose id cannot be used) | 'other'
local function classify(key)
  if is_ignored(key) then return 'other' end
  local inner = between(key, config.targetPrefix, config.targetSuffix)
  local at = inner and string.find(inner, config.delimiter, 1, true)
  if at then
    local first, second = string.sub(inner, 1, at - 1), string.sub(inner, at + #config.delimiter)
    if not id_fault(first) and not id_fault(second) then
      if config.workspaceFirst then return 'target', first, second end
      return 'target', second, first
    end
  end
  local job = between(key, config.legacyPrefix, config.legacySuffix)
  if not job then return 'other' end
  local fault = id_fault(job)
  if fault then return 'misnamed', 'job id ' .. fault end
  return 'legacy', nil, job
end

local function legacy_key(job)
  return config.legacyPrefix .. job .. config.legacySuffix
end

local function target_key(workspace, job)
  local first, second = workspace, job
  if not config.workspaceFirst then first, second = job, workspace end
  return config.targetPrefix .. first .. config.delimiter .. second .. config.targetSuffix
end

-- A key name for people: bytes that are no UTF-8 and control characters as \xNN, at most 200 characters.
local function printable(key)
  local plain = is_utf8(key)
  local out, size = {}, 0
  for piece in string.gmatch(string.sub(key, 1, 800), plain and '[%z\1-\127\194-\244][\128-\191]*' or '.') do
    local byte = string.byte(piece)
    if byte < 32 or byte == 127 or (not plain and byte > 127) then piece = string.format('\\x%02x', byte) end
    size = size + (#piece == 4 and string.sub(piece, 1, 2) == '\\x' and 4 or 1)
    if size > 199 then out[#out + 1] = '…' break end
    out[#out + 1] = piece
  end
  return table.concat(out)
end
