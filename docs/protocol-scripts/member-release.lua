#!lua flags=allow-oom
-- Ends the lease of a member that closes, and hands in the illegal ids not yet counted. Its record stays.
-- KEYS 1 lease, 2 illegal ids
-- ARGV 1 token, 2 member id, 3 new illegal ids, 4 an example
-- Answers OK
-- redis.call on a key of ours, read before anything is written. Where another type stands in its place the script ends with an
-- error that names key and types; WRONGKIND tells src/redis/errors.ts that nothing was done.
local function ours(kind, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.sub(reply.err, 1, 9) ~= 'WRONGTYPE' then error(reply) end
  local found = redis.pcall('TYPE', key).ok or 'key of another type'
  error({ err = 'WRONGKIND ' .. key .. ' is a ' .. found .. ', and Keyshift keeps a ' .. kind .. ' there: delete it or rename it' })
end
-- Redis TIME in ms; the same for the whole script.
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- A whole number as decimal text: tostring would write 1.6e+12.
local function decimal(n)
  return string.format('%.0f', n)
end
ours('string', 'GET', KEYS[1])
if tonumber(ARGV[3]) > 0 then ours('hash', 'HGET', KEYS[2], 'count') end
redis.call('DEL', KEYS[1])
if tonumber(ARGV[3]) > 0 then
  redis.call('HINCRBY', KEYS[2], 'count', ARGV[3])
  redis.call('HSET', KEYS[2], 'lastAt', decimal(now_ms()), 'example', ARGV[4], 'member', ARGV[2])
end
return { ARGV[1], 'OK' }
