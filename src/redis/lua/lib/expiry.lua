--- @include "lib/time"
-- Absolute expiry (ms, decimal text) that `mode` asks for: 'none' -> '', 'ttl' -> now + value, 'at' -> value.
local function absolute_expiry(mode, value)
  if mode == 'ttl' then return decimal(now_ms() + tonumber(value)) end
  if mode == 'at' then return value end
  return ''
end

-- One expiry for each of the keys: the same absolute value, or none.
local function set_expiry(keys, at)
  for _, key in ipairs(keys) do
    if at == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, at) end
  end
end
