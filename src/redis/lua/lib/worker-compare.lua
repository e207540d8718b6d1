-- Typed comparison. Equal hashes may differ in the order of their fields, so dumps would not do.
local HASH_PAGE = 500

local function equal_page(fields, key)
  local names, values = {}, {}
  for i = 1, #fields, 2 do
    names[#names + 1], values[#values + 1] = fields[i], fields[i + 1]
  end
  -- HSCAN gives a hash in compact encoding whole, whatever its COUNT, and unpack is limited by the Lua stack.
  for first = 1, #names, HASH_PAGE do
    local others = redis.call('HMGET', key, unpack(names, first, math.min(first + HASH_PAGE - 1, #names)))
    for i = 1, #others do
      if others[i] ~= values[first + i - 1] then return false end
    end
  end
  return true
end

local function equal_hashes(left, right)
  local size = redis.call('HLEN', left)
  if size ~= redis.call('HLEN', right) then return false end
  if size <= HASH_PAGE then return equal_page(redis.call('HGETALL', left), right) end
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', left, cursor, 'COUNT', HASH_PAGE)
    cursor = page[1]
    if not equal_page(page[2], right) then return false end
  until cursor == '0'
  return true
end

-- What differs between two keys that are both there, or nil: 'type', 'value' or 'expiry'.
local function difference(left, left_kind, right, right_kind)
  if left_kind ~= right_kind then return 'type' end
  if left_kind == 'hash' then
    if not equal_hashes(left, right) then return 'value' end
  elseif redis.call('GET', left) ~= redis.call('GET', right) then
    return 'value'
  end
  if redis.call('PEXPIRETIME', left) ~= redis.call('PEXPIRETIME', right) then return 'expiry' end
  return nil
end
