#!lua flags=allow-oom
-- Writes the record where it is absent, older, or the same epoch and hash of the same owner.
-- KEYS 1 record
-- ARGV 1 epoch, 2 hash, 3 cluster, 4 owner; then field, value, ... (every field of RecordFields)
-- Answers OK | NEWER epoch | HASH (equal epoch, another hash) | OWNER cluster owner | TYPE
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then return { 'TYPE' } end
local epoch, hash, cluster, owner = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'hash', 'cluster', 'owner'))
if epoch then
  if cluster ~= ARGV[3] or owner ~= ARGV[4] then return { 'OWNER', cluster, owner } end
  if tonumber(epoch) > tonumber(ARGV[1]) then return { 'NEWER', epoch } end
  if tonumber(epoch) == tonumber(ARGV[1]) and hash ~= ARGV[2] then return { 'HASH' } end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return { 'OK' }
