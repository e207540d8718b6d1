#!lua flags=allow-oom
-- Writes the record where it is absent or not newer: a lower epoch, or the same epoch and hash and no higher revision, of the same
-- owner. Taking over, whatever is there gives way unless it is newer.
-- KEYS 1 record
-- ARGV 1 epoch, 2 revision, 3 hash, 4 cluster, 5 owner, 6 '1' to take over; then field, value, ... (every field of RecordFields)
-- Answers OK | NEWER epoch revision | HASH (equal epoch, another hash) | OWNER cluster owner | TYPE
local takeOver = ARGV[6] == '1'
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  local epoch, revision, hash, cluster, owner =
    unpack(redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'hash', 'cluster', 'owner'))
  if not takeOver and (cluster ~= ARGV[4] or owner ~= ARGV[5]) then
    return { 'OWNER', cluster or '', owner or '' }
  end
  local atEpoch, atRevision = tonumber(epoch or '') or 0, tonumber(revision or '') or 0
  local newEpoch, newRevision = tonumber(ARGV[1]), tonumber(ARGV[2])
  if atEpoch > newEpoch then return { 'NEWER', epoch, tostring(atRevision) } end
  if atEpoch == newEpoch and not takeOver then
    if hash ~= ARGV[3] then return { 'HASH' } end
    if atRevision > newRevision then return { 'NEWER', epoch, revision } end
  end
elseif kind ~= 'none' and not takeOver then
  return { 'TYPE' }
end
if takeOver then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
return { 'OK' }
