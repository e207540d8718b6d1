#!lua flags=allow-oom
-- Reads the jobs of one SCAN page that belong to the workspace; a job with both keys counts once, by its legacy key.
-- KEYS 1 fence; then pairs: legacy key, target key (the legacy key again where the scan met the legacy key)
-- ARGV 1 token, 2 epoch, 3 workspace, 4 workspace field, 5 'hash' or 'string', 6 order as in lib/job
-- Answers OK index expiry value, index expiry value, ... (index of the pair, from 1) | STALE_EPOCH fence | NO_FENCE
-- redis.call on a key of ours, read before anything is written. Where another type stands in its place the script ends with an
-- error that names key and types; WRONGKIND tells src/redis/errors.ts that nothing was done.
local function ours(kind, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.sub(reply.err, 1, 9) ~= 'WRONGTYPE' then error(reply) end
  local found = redis.pcall('TYPE', key).ok or 'key of another type'
  error({ err = 'WRONGKIND ' .. key .. ' is a ' .. found .. ', and Keyshift keeps a ' .. kind .. ' there: delete it or rename it' })
end
-- Decimal min_epoch, or nil where it is absent or not a number. Digits alone: no epoch is below a "nan".
local function read_fence(key)
  local fence = ours('string', 'GET', key)
  return fence and string.find(fence, '^%d+$') and tonumber(fence) or nil
end

-- nil where an operation of `epoch` may go on; else the status and the fence. An absent fence is fine for epochs 0 and 1 only.
local function fence_refusal(key, epoch)
  local fence = read_fence(key)
  if fence == nil then
    if epoch <= 1 then return nil end
    return 'NO_FENCE', '0'
  end
  if epoch < fence then return 'STALE_EPOCH', tostring(fence) end
  return nil
end
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
local token, epoch, workspace, field, encoding, order = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local refusal, fence = fence_refusal(KEYS[1], epoch)
if refusal then return { token, refusal, fence } end
local function mine(key)
  local kind, stored = read_workspace(key, field)
  return kind == encoding and stored == workspace
end
local out = { token, 'OK' }
for i = 2, #KEYS, 2 do
  local key
  local legacy, target = KEYS[i], KEYS[i + 1]
  if legacy == target then
    if mine(legacy) then key = legacy end
  elseif order ~= 'L' and not mine(legacy) and mine(target) then
    key = target
  end
  if key then
    out[#out + 1] = i / 2
    out[#out + 1] = redis.call('PEXPIRETIME', key)
    out[#out + 1] = redis.call(encoding == 'hash' and 'HGETALL' or 'GET', key)
  end
end
return out
