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

local legacy_prefix, legacy_suffix = config.legacyPrefix, config.legacySuffix
local target_prefix, target_suffix = config.targetPrefix, config.targetSuffix
local delimiter, forbidden = config.delimiter, config.forbidden
local same_ends = legacy_prefix == target_prefix and legacy_suffix == target_suffix
local find, sub = string.find, string.sub
-- Only a template that begins as control keys do can match one.
local meets_control = find(config.controlRoot, legacy_prefix, 1, true) == 1 or find(config.controlRoot, target_prefix, 1, true) == 1
local some_ignored = #config.ignore > 0 or meets_control

local function is_ignored(key)
  for _, pattern in ipairs(config.ignore) do
    if glob(pattern, key) then return true end
  end
  return meets_control and find(key, config.controlRoot, 1, true) == 1
end

local function between(key, prefix, suffix)
  local size = #key - #prefix - #suffix
  if size < 0 or find(key, prefix, 1, true) ~= 1 then return nil end
  if suffix ~= '' and sub(key, #key - #suffix + 1) ~= suffix then return nil end
  return sub(key, #prefix + 1, #prefix + size)
end

-- Whether the delimiter at `at` parts two ids that can be used. Finds instead of cuts: this runs for every key.
local function parts_ids(inner, at)
  local first, second = at - 1, #inner - at - #delimiter + 1
  return first > 0 and second > 0 and first <= 512 and second <= 512
    and find(inner, forbidden, 1, true) == at and not find(inner, forbidden, at + #delimiter, true) and is_utf8(inner)
end

-- 'target', inner, at (see ids_of) | 'legacy', job | 'misnamed', why (a legacy name whose id cannot be used) | 'other'
local function classify(key)
  if some_ignored and is_ignored(key) then return 'other' end
  local inner = between(key, target_prefix, target_suffix)
  local at = inner and find(inner, delimiter, 1, true)
  if at and parts_ids(inner, at) then return 'target', inner, at end
  local job = inner
  if not same_ends then job = between(key, legacy_prefix, legacy_suffix) end
  if not job then return 'other' end
  if usable_id(job, forbidden) then return 'legacy', job end
  return 'misnamed', 'job id ' .. id_fault(job)
end

-- Workspace and job of a target name.
local function ids_of(inner, at)
  local first, second = sub(inner, 1, at - 1), sub(inner, at + #delimiter)
  if config.workspaceFirst then return first, second end
  return second, first
end

local function legacy_key(job)
  return legacy_prefix .. job .. legacy_suffix
end

local function target_key(workspace, job)
  local first, second = workspace, job
  if not config.workspaceFirst then first, second = job, workspace end
  return target_prefix .. first .. delimiter .. second .. target_suffix
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
