--- @include "lib/ids"
-- Names of keys, read exactly as src/protocol/templates.ts reads them, over bytes.
-- config: the decoded ARGV[1], see batchConfig in src/worker/batch.ts.
local config = cjson.decode(ARGV[1])

-- Why an id cannot stand in a key, or nil when it can: usable_id in words.
local function id_fault(id)
  if usable_id(id, config.forbidden) then return nil end
  if id == '' then return 'is empty' end
  if string.find(id, config.forbidden, 1, true) then return 'contains "' .. config.forbidden .. '"' end
  -- Its bytes are looked at one by one: not those of a megabyte.
  if #id > 512 then return 'is too long' end
  return 'is not UTF-8'
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

-- Whether a character changes how the line around it looks: control characters, marks of direction, separators of lines,
-- and what has no width.
local function disturbs(char)
  local a, b, c = string.byte(char, 1, 3)
  if a < 32 or a == 127 or (a == 194 and b < 160) then return true end
  if a == 226 then return (b == 128 and (c <= 143 and c >= 139 or c >= 168 and c <= 174)) or (b == 129 and c >= 160 and c <= 175) end
  return a == 239 and b == 187 and c == 191
end

-- The beginning of a key name: enough to show, and no character cut in two.
local function beginning(key)
  if #key <= 800 then return key end
  for size = 800, 797, -1 do
    if is_utf8(sub(key, 1, size)) then return sub(key, 1, size) end
  end
  return sub(key, 1, 800)
end

-- A key name for people: bytes that are no UTF-8 and characters that disturb as \xNN, at most 200 characters.
local function printable(key)
  local text = beginning(key)
  local plain = is_utf8(text)
  local out, size = {}, 0
  for piece in string.gmatch(text, plain and '[%z\1-\127\194-\244][\128-\191]*' or '.') do
    local width = 1
    if (not plain and string.byte(piece) > 127) or disturbs(piece) then
      width = 4 * #piece
      piece = string.gsub(piece, '.', function(byte) return string.format('\\x%02x', string.byte(byte)) end)
    end
    size = size + width
    if size > 199 then out[#out + 1] = '…' break end
    out[#out + 1] = piece
  end
  return table.concat(out)
end
