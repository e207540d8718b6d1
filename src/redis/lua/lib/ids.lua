-- Whether `s` is well-formed UTF-8 (no overlong forms, no surrogates).
local function is_utf8(s)
  if not string.find(s, '[\128-\255]') then return true end
  local i, n = 1, #s
  while i <= n do
    local a, b, c, d = string.byte(s, i, i + 3)
    local function tail(x) return x ~= nil and x >= 128 and x <= 191 end
    if a < 128 then i = i + 1
    elseif a >= 194 and a <= 223 and tail(b) then i = i + 2
    elseif a >= 224 and a <= 239 and tail(b) and tail(c)
      and not (a == 224 and b < 160) and not (a == 237 and b > 159) then i = i + 3
    elseif a >= 240 and a <= 244 and tail(b) and tail(c) and tail(d)
      and not (a == 240 and b < 144) and not (a == 244 and b > 143) then i = i + 4
    else return false end
  end
  return true
end

-- The same rule as checkId in src/protocol/templates.ts.
local function usable_id(s, forbidden)
  return type(s) == 'string' and s ~= '' and #s <= 512 and not string.find(s, forbidden, 1, true) and is_utf8(s)
end
